# SPDX-License-Identifier: Apache-2.0
"""Mounting into a container that runs, and taking that away again: by executors that join its
namespaces for it and end (compile/live_mounts.py has their plans).

What is added is on record by the number of its mount, before it has a place. Nothing else is ever
taken away: a container that moves its directories about must not have us uncover what is masked.
"""

from __future__ import annotations

import os

from pyrun import caller, config, host, init, launch, log, sync
from pyrun.compile import checks_mounts, mount_options
from pyrun.compile import live_mounts as rules
from pyrun.errors import ConfigError, Error, from_os
from pyrun.kernel._linux import ffi, lib
from pyrun.linux import SIGNALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.launch import Answer, Child
    from pyrun.state import Container
    from pyrun.types import Config, Facts, Step

RECORD = "mounts.json"
# In the order in which they are joined, as far as they are; the others follow.
NAMESPACES = {"user": "user", "network": "net", "ipc": "ipc", "mount": "mnt", "pid": "pid"}


class Live:
    """A running container, as the plans see it."""

    def __init__(self, container: Container, mounts: list[Config]) -> None:
        """`mounts` are entries as in config.json. Raises Error."""
        self.container = container
        self.title = f"pyrun:mounts {container.id}"
        self.process = open_process(container)
        own = config.load(container.intent["bundle"], container.intent.get("config") or config.NAME)
        linux = own.get("linux") or {}
        kept = ("mountLabel", "rootfsPropagation", "uidMappings", "gidMappings")
        self.config: Config = {
            "mounts": mounts,
            "linux": {
                **{name: linux[name] for name in kept if linux.get(name)},
                "namespaces": self._namespaces(),
            },
        }
        self.facts = self._facts()

    def close(self) -> None:
        """Of what it has open."""
        os.close(self.process)

    def _namespaces(self) -> list[Config]:
        """Those of the init that are not ours, by paths that lead to this process and no other."""
        found = []
        for kind, file in NAMESPACES.items():
            path = f"/proc/self/fd/{self.process}/ns/{file}"
            try:
                if not os.path.samefile(path, f"/proc/self/ns/{file}"):
                    found.append({"type": kind, "path": path})
            except OSError as error:
                raise from_os(error, f"look at the {kind} namespace of the container") from None
        if not any(entry["type"] == "mount" for entry in found):
            raise Error(
                f"container {self.container.id} has no mount namespace of its own",
                hint="what is mounted would be mounted on the host: mount(8) does that",
            )
        return found

    def _facts(self) -> Facts:
        bundle = self.container.intent["bundle"]
        facts: Facts = {
            "bundle": bundle,
            "privileged": caller.is_privileged(caller.effective_capabilities()),
            "sources": host.sources(self.config, bundle),
            "links": host.links(self.config, bundle),
        }
        return {**facts, "donations": rules.donations(self.config, facts)}

    def check(self) -> None:
        """What the mounts alone tell. Raises ConfigError with all problems."""
        found = [
            problem
            for rule in (checks_mounts.mount_types, checks_mounts.proc_mounts)
            for problem in rule(self.config)
        ]
        found += checks_mounts.mount_maps(self.config)
        found += rules.problems(self.config, self.facts)
        if found:
            raise ConfigError(found)

    def execute(self, steps: list[Step], answers: dict[int, Answer], held: list[int]) -> None:
        """Carry out a plan whose donations of the kind "mount" are `held`. Raises Error."""
        donated = self._donate(held)
        try:
            child = launch.spawn(self.title, 0, -1, 0, self.facts["privileged"])
        except BaseException:
            _close(donated)
            raise
        try:
            try:
                launch.send_plan(child, steps, donated)
            finally:
                _close(donated)
            launch.serve(child, answers, sync.READY, steps, self.config)
        finally:
            init.signal(child.pidfd, SIGNALS["KILL"])
            os.waitpid(child.pid, 0)
            os.close(child.pidfd)
            os.close(child.socket)

    def _donate(self, held: list[int]) -> list[int]:
        fds: list[int] = []
        try:
            for kind, *details in self.facts["donations"]:
                fds.append(self._open(kind, details, held))
        except BaseException:
            _close(fds)
            raise
        return fds

    def _open(self, kind: str, details: list[str], held: list[int]) -> int:
        if kind == "mount":
            return os.dup(held[int(details[0])])
        try:
            if kind == "tree":
                return launch.open_tree(details[0], details[1])
            if kind == "namespace":
                return os.open(details[1], os.O_RDONLY | os.O_CLOEXEC)
            flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
            return os.open(f"/proc/self/fd/{self.process}/root", flags)
        except OSError as error:
            what = f"open {details[0]}" if details else "open the root of the container"
            pointer = f"{details[2]}/source" if kind == "tree" else ""
            raise from_os(error, what, pointer) from None


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


def open_process(container: Container) -> int:
    """The directory of the init in procfs, which is never another process's. Raises Error."""
    pidfd = init.open_init(container)
    if pidfd < 0:
        raise Error("container not running")
    try:
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        process = os.open(f"/proc/{container.state['init_process_pid']}", flags)
    except OSError:
        raise Error("container not running") from None
    finally:
        ended = init.wait_end(pidfd, 0)
        os.close(pidfd)
    if ended:  # else its number was its own all the time
        os.close(process)
        raise Error("container not running")
    return process


def add(container: Container, mounts: list[Config]) -> None:
    """All of them, or none; the container's lock is held. Raises Error, or ConfigError."""
    live = Live(container, mounts)
    before = recorded(container)
    held: list[int] = []
    try:
        live.check()
        steps = rules.add(live.config, live.facts)
        try:
            live.execute(steps, _answers(live, steps, before, held), [])
        except BaseException:
            _undo(live, held)
            record(container, before)
            raise
    finally:
        _close(held)
        live.close()


def _answers(
    live: Live, steps: list[Step], before: list[Config], held: list[int]
) -> dict[int, Answer]:
    places = [
        mount_options.destination(live.config["mounts"][int(pointer.split("/")[2])])
        for pointer, op in steps
        if op[0] == "sync_send" and op[1][0] == sync.MOUNT
    ]
    added: list[Config] = []
    mapped = 0

    def note(_child: Child, fd: int) -> None:
        held.append(fd)
        mask, number = mount_number(fd)
        added.append({"destination": places[len(added)], "mask": mask, "number": number})
        record(live.container, before + added)

    def set_maps(_child: Child, fd: int) -> None:
        # Only for mounts that ask for it.
        from pyrun import idmapped_mounts

        nonlocal mapped
        mapped = idmapped_mounts.set_next(steps, live.config, mapped, fd)

    return {sync.MOUNT: note, sync.MOUNT_MAP: set_maps}


def recorded(container: Container) -> list[Config]:
    """{"destination", "mask", "number"} of each, in the order in which they came. Raises Error."""
    found: list[Config] = container.read_record(RECORD, {"mounts": list}).get("mounts", [])
    return found


def record(container: Container, mounts: list[Config]) -> None:
    """Before the effect of each. Raises Error."""
    container.write_record(RECORD, {"mounts": mounts})


def _undo(live: Live, held: list[int]) -> None:
    """Take away what has got a place. A failure of this is added to the log only."""
    if not held:
        return
    kinds = [donation for donation in live.facts["donations"] if donation[0] != "tree"]
    live.facts["donations"] = kinds + [("mount", str(count)) for count in range(len(held))]
    try:
        live.execute(rules.undo(live.config, live.facts), {}, held)
    except (Error, OSError) as error:
        log.warning(f"taking mounts back: {error}")


def mount_number(fd: int) -> tuple[int, int]:
    """What check_mount takes for the mount of a descriptor: (mask, number). Raises Error."""
    number = ffi.new("uint64_t *")
    mask = lib.pyrun_mount_number(fd, number)
    if mask < 0:
        raise from_os(OSError(-mask, ""), "statx of a mount")
    return int(mask), int(number[0])


def remove(container: Container, mounts: list[Config]) -> None:
    """Those that add() has put at the destinations of these; all of them, or none. The container's
    lock is held. Raises Error."""
    left = recorded(container)
    attached = []
    for index in reversed(range(len(mounts))):  # as they lie over each other
        place = mount_options.destination(mounts[index])
        entry = next((entry for entry in reversed(left) if entry["destination"] == place), None)
        if entry is None:
            what = f"nothing was mounted at {place} by `mounts add`"
            raise Error(what, f"/mounts/{index}/destination")
        left.remove(entry)
        attached.append((index, entry["mask"], entry["number"]))
    named = ("destination", "source", "type")  # by which an error calls it
    live = Live(container, [{k: mount[k] for k in named if k in mount} for mount in mounts])
    try:
        live.facts["attached"] = attached
        live.execute(rules.remove(live.config, live.facts), {}, [])
    finally:
        live.close()
    record(container, left)
