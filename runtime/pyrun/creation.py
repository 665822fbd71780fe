# SPDX-License-Identifier: Apache-2.0
"""Creating a container: from a plan to an init that is ready for its program. `create` leaves it
waiting at the exec fifo, `run` starts it itself.

Nothing is made that is not on record first, so that whoever comes after a crash can undo it.
"""

from __future__ import annotations

import os
import time

from pyrun import config as configs
from pyrun import (
    exec_record,
    idmaps,
    init,
    interruption,
    launch,
    log,
    process_limits,
    shortcut,
    starting,
    state,
    sync,
    teardown,
)
from pyrun.cgroup import driver
from pyrun.compile import cgroup_mounts
from pyrun.compile.donations import donations, namespace
from pyrun.errors import Error, from_os
from pyrun.linux import CLONE_NEWUSER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.launch import Answer, Child
    from pyrun.net_devices import Move
    from pyrun.prepare import Prepared
    from pyrun.types import Config

SPEC_VERSION = "1.3.0"


class Creation:
    """One create: what it has made so far, and how it answers the executor's questions."""

    def __init__(self, prepared: Prepared) -> None:
        self.config = prepared.config
        self.facts = prepared.facts
        self.opts = prepared.opts
        self.prepared = prepared
        self.mapped = 0  # mounts that have got their id maps
        self.told = 0  # hooks of which the log tells
        self.master = -1  # the terminal, for `run` in the foreground
        self.net_devices: Move | None = None
        starting.load_hooks(self.config.get("hooks"))
        self.container = state.claim(prepared.opts, prepared.opts["id"])

    def create(self) -> Child:
        """Until the init is READY. On any failure everything is undone. Raises Error."""
        try:
            interruption.catch()  # which may find one that waits
            self._write_intent()
            self._make_cgroup()
            self._make_layers()
            child = self._spawn()
            launch.serve(child, self._answers(), sync.READY, self.prepared.steps, self.config)
            self._ready(child)
        except BaseException as error:  # noqa: BLE001 - also an interrupt is undone, and raised
            why = self.why(error)  # before the evidence goes
            self.undo()
            raise why from None
        return child

    def _make_cgroup(self, pid: int = 0) -> None:
        """By its record, which is stored again if some of it turned out otherwise. systemd makes
        none before there is a process, `pid`, to be in it."""
        record = self.container.intent["cgroup"]
        if record["manager"] == "systemd" and not pid:
            return
        planned = {**record, "paths": {**record["paths"]}}
        if pid:
            from pyrun.cgroup import systemd

            systemd.create(record, self.config, self.container.id, pid)
        else:
            driver.create(record, self._resources())
        if uid := cgroup_mounts.owner(self.config, self.facts):
            driver.delegate(record, uid)
        if record != planned:
            self.container.write_intent()

    def _plan_rdt_groups(self) -> Config:
        """For the few containers that have them: what the intent says of them."""
        rdt = (self.config.get("linux") or {}).get("intelRdt")
        if rdt is None:
            return {}
        from pyrun import intel_rdt

        root = intel_rdt.host_mount_point()
        return {"intel_rdt": intel_rdt.plan(rdt, self.container.id, root)}

    def _enter_rdt_groups(self, child: Child) -> None:
        record = self.container.intent.get("intel_rdt")
        if record is None:
            return
        from pyrun import intel_rdt

        try:
            intel_rdt.create(record, self.config["linux"]["intelRdt"])
        finally:
            self.container.write_intent()  # a directory may have turned out not to be ours
        intel_rdt.join(record, child.pid)

    def _make_layers(self) -> None:
        if self.facts["layers"]:
            # Only for a root made of layers.
            from pyrun import layers

            layers.make_place(self.container, self.facts["layers"])

    def undo(self) -> None:
        """As if it had not been; also after a `run` that could not start its program."""
        interruption.ignore()
        if self.net_devices:
            self.net_devices.give_back()
        teardown.undo(self.container)

    def why(self, error: BaseException) -> BaseException:
        """The same error, with its reason where the cgroup, the config or a hook has told it."""
        if isinstance(error, Error):
            from pyrun import failed_init, hook_output

            cgroup = self.container.intent.get("cgroup") or {"paths": {}}
            failed_init.explain(error, cgroup, self.config, self.facts)
            hook_output.explain(self.container, error)
            self.tell_of_hooks()
        return error

    def _resources(self) -> Config:
        found: Config = (self.config.get("linux") or {}).get("resources") or {}
        return found

    def _write_intent(self) -> None:
        driver.check(self.prepared.cgroup)
        self.container.intent = {**intent(self.prepared), **self._plan_rdt_groups()}
        if self.facts["layers"]:
            from pyrun import layers

            self.container.intent["layers"] = layers.record(self.config)
        self.container.write_intent()
        if self.facts["notify"]:
            from pyrun import notify

            notify.make_folder(self.container)

    def _spawn(self) -> Child:
        """The executor in its namespaces and cgroup, on record, with its maps and its plan."""
        donated = self._donate()
        cgroup = self.container.intent["cgroup"]
        title = f"pyrun:init {self.container.id}"
        flags = self.prepared.flags
        preserve, privileged = self.facts["preserve_fds"], self.facts["privileged"]
        # Whatever fails, undoing it must not lack the descriptors that are held here.
        try:
            cgroup_fd = driver.open_into(cgroup)
            try:
                child = launch.spawn(title, flags, cgroup_fd, preserve, privileged)
            finally:
                if cgroup_fd >= 0:
                    os.close(cgroup_fd)
            self._record(child)
            if cgroup["manager"] == "systemd":
                self._make_cgroup(child.pid)
            else:
                driver.join(cgroup, child.pid, born=cgroup["layout"] == "v2")
            process_limits.write_oom_score(child.pid, self.config)
            if flags & CLONE_NEWUSER:
                idmaps.write_maps(child.pid, self.config, self.facts["privileged"])
            launch.send_plan(child, self.prepared.steps, donated)
        finally:
            for fd in donated:
                os.close(fd)
        return child

    def _record(self, child: Child) -> None:
        _, started = init.start_time(child.pid)
        self.container.state |= {
            "init_process_pid": child.pid,
            "init_process_start": started,
            "phase": init.CREATING,
        }
        self.container.write_state()

    def _donate(self) -> list[int]:
        """Open what the plan's first slots stand for, in order (compile/donations.py)."""
        fds: list[int] = []
        try:
            for kind, *details in donations(self.config, self.facts):
                fds.append(self._open_donation(kind, details))
        except BaseException:
            for fd in fds:
                os.close(fd)
            raise
        return fds

    def _open_donation(self, kind: str, details: list[str]) -> int:
        folder = self.container.fd
        if kind == "fifo":
            os.mkfifo(state.EXEC_FIFO, 0o600, dir_fd=folder)
            # Both ways: the init must neither wait for a writer to open it nor see one close it.
            return os.open(state.EXEC_FIFO, os.O_RDWR | os.O_CLOEXEC, dir_fd=folder)
        if kind == "result":
            os.mkfifo(state.RESULT_FIFO, 0o600, dir_fd=folder)
            both = os.open(state.RESULT_FIFO, os.O_RDWR | os.O_CLOEXEC, dir_fd=folder)
            fd = os.open(state.RESULT_FIFO, os.O_WRONLY | os.O_CLOEXEC, dir_fd=folder)
            os.close(both)
            return fd
        if kind == "overlay":
            from pyrun import layers

            return layers.made_apart(self.container, self.config, self.facts["layers"])
        path = details[-1] if kind == "namespace" else details[0]
        try:
            if kind == "namespace":
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            return launch.open_tree(path, details[1])
        except OSError as error:
            pointer = "/linux/namespaces" if kind == "namespace" else details[2]
            raise from_os(error, f"open {path}", pointer) from None

    def _answers(self) -> dict[int, Answer]:
        return {
            0: self._new_init,
            sync.ID_MAPS: self._map_ids,
            sync.TIME_OFFSETS: self._offset_time,
            sync.NET_DEVICES: self._move_net_devices,
            sync.CONSOLE: self._console,
            sync.RUNTIME_HOOKS: self._run_hooks,
            sync.CREATE_STATE: self._state_when_creating,
            sync.START_STATE: self._state_when_created,
            sync.HOOK_OUTPUT: self._output_for_hooks,
            sync.HOOK_STDOUT: lambda _child, _fd: self._file_for_hooks("run.oci.hooks.stdout"),
            sync.HOOK_STDERR: lambda _child, _fd: self._file_for_hooks("run.oci.hooks.stderr"),
            sync.MOUNT_MAP: self._map_mount,
            sync.LISTENER: self._send_listener,
        }

    def _new_init(self, child: Child, _fd: int) -> None:
        self._record(child)
        launch.reap_stages(child)

    def _map_ids(self, child: Child, _fd: int) -> None:
        idmaps.write_maps(child.pid, self.config, self.facts["privileged"])

    def _map_mount(self, _child: Child, fd: int) -> None:
        # Only for containers with such mounts.
        from pyrun import idmapped_mounts

        steps = self.prepared.steps
        self.mapped = idmapped_mounts.set_next(steps, self.config, self.mapped, fd)

    def _offset_time(self, child: Child, _fd: int) -> None:
        idmaps.write_time_offsets(child.pid, self.config)

    def _move_net_devices(self, child: Child, _fd: int) -> None:
        # Only for containers with such devices: a large library.
        from pyrun import net_devices

        self.net_devices = net_devices.Move(child.pid)
        self.net_devices.move(self.config["linux"]["netDevices"])

    def _console(self, _child: Child, fd: int) -> None:
        # Only for containers with a terminal.
        from pyrun import console

        self.master = console.hand_over(self.opts.get("console_socket") or "", fd)

    def _begin_hooks(self) -> None:
        """From here on poststop is owed, whatever becomes of the container."""
        if not self.container.state.get("hooks_begun"):
            self.container.state["hooks_begun"] = True
            self.container.write_state()

    def _run_hooks(self, child: Child, _fd: int) -> None:
        from pyrun import lifecycle_hooks

        self._begin_hooks()
        for kind in ("prestart", "createRuntime"):
            wanted = (self.config.get("hooks") or {}).get(kind) or []
            lifecycle_hooks.run(self.container, kind, wanted, init.CREATING, child.pid)

    def _state_when_creating(self, child: Child, _fd: int) -> int:
        # In a joined pid namespace there is no init yet, and so no pid to tell.
        joined = (namespace(self.config, "pid") or {}).get("path")
        return self._state_for_hooks(init.CREATING, 0 if joined else init.inner_pid(child.pid))

    def _state_when_created(self, child: Child, _fd: int) -> int:
        return self._state_for_hooks(init.CREATED, init.inner_pid(child.pid))

    def _state_for_hooks(self, status: str, pid: int) -> int:
        """In the container, pid is what the container sees (runtime.md, state)."""
        from pyrun import lifecycle_hooks

        self._begin_hooks()
        document = lifecycle_hooks.state_document(self.container, status, pid)
        return launch.seal("state", document)

    def _output_for_hooks(self, _child: Child, _fd: int) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(state.HOOKS_LOG, flags, 0o600, dir_fd=self.container.fd)

    def _file_for_hooks(self, annotation: str) -> int:
        from pyrun import hook_output

        return hook_output.open_file(self.config["annotations"], annotation)

    def tell_of_hooks(self) -> None:
        """With --debug: how the hooks went that have run in the container since the last time."""
        calls = [(pointer, op[1][0]) for pointer, op in self.prepared.steps if op[0] == "run_hook"]
        if calls and log.debugging():
            from pyrun import hook_output

            self.told += hook_output.tell(self.container, calls, self.told)

    def _send_listener(self, child: Child, fd: int) -> None:
        # Only for profiles with SCMP_ACT_NOTIFY.
        from pyrun import seccomp_agent

        try:
            seccomp_agent.send(self.container, self.config, child.pid, fd)
        finally:
            os.close(fd)

    def _ready(self, child: Child) -> None:
        """All that a caller of `create` may rely on when it returns 0, then the word to go on."""
        process_limits.set_rlimits(child.pid, self.config)
        self._enter_rdt_groups(child)
        if "delegated" in self.container.intent["cgroup"]:
            from pyrun.cgroup import systemd

            systemd.descend(self.container.intent["cgroup"], child.pid)
        record = self.container.state
        record["phase"] = init.CREATED
        record["hooks_begun"] = True
        if self.facts["fifo"]:
            record["rest"] = starting.rest(self.prepared.steps, self.config)
        exec_record.leave(self.container, self.config, self.facts)
        if self.opts.get("pid_file"):
            teardown.write_pid_file(self.opts["pid_file"], child.pid)
        notes = self.config.get("annotations") or {}
        for path in (self.opts.get("pidfd_socket"), notes.get("run.oci.pidfd_receiver")):
            if path:
                from pyrun import console

                console.send(path, child.pidfd, "pidfd")
        # From here on it is created, whoever interrupts us: the exit code says the same.
        interruption.ignore()
        self.container.write_state()
        shortcut.leave(self.container)
        if self.net_devices:
            self.net_devices.release()
        launch.go(child, self.prepared.steps, self.config)
        self.tell_of_hooks()
        log.debug(f"container {self.container.id}: init is ready, pid {child.pid}")


def intent(prepared: Prepared) -> Config:
    """What is on record before the first effect, of any container."""
    config, facts, opts = prepared.config, prepared.facts, prepared.opts
    hooks = config.get("hooks") or {}
    namespaces = (config.get("linux") or {}).get("namespaces") or []
    return {
        "ociVersion": SPEC_VERSION,
        "id": opts["id"],
        "bundle": facts["bundle"],
        "config": configs.chosen(opts),
        "rootfs": facts["rootfs"],
        "created": timestamp(),
        "boot_id": init.boot_id(),
        "cgroup": prepared.cgroup,
        "annotations": config.get("annotations") or {},
        "hooks": {kind: hooks[kind] for kind in ("poststart", "poststop") if hooks.get(kind)},
        "own_pids": any(e["type"] == "pid" and not e.get("path") for e in namespaces),
        "umask": opts.get("umask", 0o022),
        "notify": facts["notify"],
        "stdio": facts["stdio"],
    }


def timestamp() -> str:
    """Now, UTC, RFC 3339 with nanoseconds."""
    now = time.time_ns()
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 1_000_000_000))
    return f"{seconds}.{now % 1_000_000_000:09d}Z"
