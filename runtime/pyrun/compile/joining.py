# SPDX-License-Identifier: Apache-2.0
"""How a process joins a container that lives: what `exec` does in place of making namespaces.

linux.namespaces of the config it is compiled from are those in which the container's init is and we
are not, each with its path. `exec` compares them; what the bundle says now doesn't count.
"""

from __future__ import annotations

from pyrun import ops
from pyrun.compile import process
from pyrun.compile.donations import namespace, namespaces, slot_of
from pyrun.compile.slots import OWN_PROC, PEER, ROOT, RULESET
from pyrun.linux import CLONE_NEWNS, NAMESPACES, O_DIRECTORY, O_PATH, PR_SET_DUMPABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts, Steps

AFFINITY = "/process/execCPUAffinity"


def donations(config: Config, facts: Facts) -> list[tuple[str, ...]]:
    """What the runtime opens for this, in slot order: a pidfd of the container's init; its root,
    where no mount namespace leads there; its pid namespace, for a procfs of it."""
    found: list[tuple[str, ...]] = [("init",)]
    if not namespace(config, "mount"):
        found.append(("root",))
    pid = namespace(config, "pid")
    if pid and process.labelled(config):
        found.append(("namespace", "pid", pid["path"]))
    return found


def hide(config: Config, facts: Facts) -> Steps:
    """Before the first setns: whoever is inside must not trace us, look at our memory, or get at
    our descriptors (CVE-2016-9962)."""
    yield "", ops.prctl(PR_SET_DUMPABLE, 0)


def prepare_labels(config: Config, facts: Facts) -> Steps:
    """Before we are inside: the container's masked /proc lets nobody mount another one. Without
    privileges we may mount where a mount namespace is our own."""
    if not process.labelled(config):
        return
    if _enters_first(config, facts):
        yield "", ops.setns(slot_of(facts, "init"), NAMESPACES["user"])
        yield "", ops.unshare(CLONE_NEWNS)
    yield from process.prepare_labels(config, facts)


def _enters_first(config: Config, facts: Facts) -> bool:
    """Whether the user namespace has been joined by then."""
    return not facts["privileged"] and namespace(config, "user") is not None


def join(config: Config, facts: Facts) -> Steps:
    """All at once: the kernel checks our right to each before it changes any (setns(2), 5.8). That
    of pids is for our children alone: we ourselves can't be seen from inside yet."""
    flags = 0
    for entry in namespaces(config):
        flags |= NAMESPACES[entry["type"]]
    if process.labelled(config) and _enters_first(config, facts):
        flags &= ~NAMESPACES["user"]
    if flags:
        yield "", ops.setns(slot_of(facts, "init"), flags)
    if not namespace(config, "mount"):
        yield "/root/path", ops.chroot(slot_of(facts, "root"))
    yield "", ops.open_host("/", O_PATH | O_DIRECTORY, ROOT)


def forget_outside(config: Config, facts: Facts) -> Steps:
    """What we brought along, before anybody inside can see us."""
    kept = (ROOT, PEER, OWN_PROC) if process.labelled(config) else (ROOT, PEER)
    yield "", ops.close_all_but(_numbers(facts, kept))


def forget_all(config: Config, facts: Facts) -> Steps:
    """What only the set-up needed: the runtime may keep us waiting."""
    kept = (RULESET,) if process.landlocked(config) else ()
    yield "", ops.close_all_but(_numbers(facts, kept))


def _numbers(facts: Facts, slots: tuple[int, ...]) -> bytes:
    return b"".join(number.to_bytes(4, facts["byteorder"]) for number in slots)


def set_umask(config: Config, facts: Facts) -> Steps:
    """process.user.umask, else that of whoever calls: config.md, User."""
    mode = (config["process"].get("user") or {}).get("umask")
    yield "/process/user/umask", ops.umask(facts["umask"] if mode is None else mode)


def affinity(config: Config, facts: Facts) -> Steps:
    """The final one of process.execCPUAffinity; with an initial one alone the kernel decides, as
    config.md has it. Without both it is as for the init: all that the cpuset allows."""
    wanted = config["process"].get("execCPUAffinity") or {}
    if wanted.get("final"):
        from pyrun.compile import number_list  # rare

        cpus = number_list.numbers(wanted["final"], number_list.CPUS)
        mask = number_list.mask(cpus, facts["byteorder"])
        yield f"{AFFINITY}/final", ops.sched_setaffinity(mask)
    elif not wanted.get("initial"):
        yield from process.affinity(config, facts)
