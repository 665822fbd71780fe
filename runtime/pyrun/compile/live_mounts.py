# SPDX-License-Identifier: Apache-2.0
"""Mounts into and out of a container that runs: the plans of processes that do this and end.

Such a process belongs to the container's user, network and ipc namespaces, as what it mounts will.
Paths mean what they mean at create, for it has a mount namespace with the host's view of them. In
the container's it is only where a mount gets its place: nothing there has a say in what is mounted.
Targets are below the descriptor of the container's root, whichever namespace we are in.
"""

from __future__ import annotations

import errno

from pyrun import ops, sync
from pyrun.compile import mount_options, mounts, namespaces
from pyrun.compile.donations import namespace, opens_sources, slot_of
from pyrun.compile.slots import HOST, PROC, ROOT, VIEW, deferred
from pyrun.errors import Error
from pyrun.linux import (
    AT_RECURSIVE,
    CLONE_NEWNS,
    O_DIRECTORY,
    O_PATH,
    O_RDONLY,
    PR_SET_DUMPABLE,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyrun.types import Config, Facts, Op, Problem, Step, Steps

OWNERS = ("user", "network", "ipc")  # namespaces that a new file system belongs to
ATTACHING = ("move_mount", "cover_proc")
# Those that find what they name by its path; what they fill is their last operand.
OF_THE_HOST = ("fsopen", "fsopen_proc", "fsconfig", "fsconfig_fd", "fsmount", "open_host")
FILLING = ("open_tree", "fsmount", "open_host")


def problems(config: Config, facts: Facts) -> list[Problem]:
    """Mounts that are for a container in the making alone: what they do can't be taken back, or
    would cover what create has set up with care."""
    found = []
    for index, mount in enumerate(config["mounts"]):
        pointer = f"/mounts/{index}"
        place = mount_options.destination(mount)
        new = not mount_options.is_bind(mount)
        if mount_options.on_existing(mount):
            what = "a change of a mount that is there is not for a running container"
            found.append((f"{pointer}/options", what))
        elif new and mount.get("type") in ("cgroup", "cgroup2"):
            found.append((f"{pointer}/type", "cgroups are mounted when the container is created"))
        elif mount_options.link_to_copy(mount, facts):
            found.append((f"{pointer}/options", "copy-symlink makes a link, and no mount"))
        if place in ("/", "/proc", "/sys", "/dev"):
            what = f"{place} of a running container is not to be covered"
            found.append((f"{pointer}/destination", what))
    return found


def donations(config: Config, facts: Facts) -> list[tuple[str, ...]]:
    """What the runtime opens for the process, in slot order: see compile.donations."""
    found: list[tuple[str, ...]] = [("root",)]
    found += [
        ("namespace", entry["type"], entry["path"]) for entry in config["linux"]["namespaces"]
    ]
    if opens_sources(config, facts):
        for index, mount in enumerate(config["mounts"]):
            if mount_options.is_bind(mount):
                source = mount_options.source(mount, facts)
                found.append(("tree", source, mount_options.depth(mount), f"/mounts/{index}"))
    return found


def add(config: Config, facts: Facts) -> list[Step]:
    """All of config["mounts"], in their order; before one gets its place, the runtime gets a
    descriptor of it. Raises Error."""
    if len(facts["donations"]) + len(mounts.late(config)) > deferred(0):
        raise Error(f"too many mounts: {deferred(0)} descriptors must do", "/mounts")
    made = [*mounts.mount_all(config, facts), *mounts.finish(config, facts)]
    return [*_enter(config, facts), *_placed(made, _own(config, facts)), ("", ops.sync(sync.READY))]


def remove(config: Config, facts: Facts) -> list[Step]:
    """Those of facts["attached"]: (index in config["mounts"], mask and number for check_mount) of
    each. Not one is taken away before all are found to be what they were. Raises Error."""
    wanted = facts["attached"]
    if len(facts["donations"]) + len(wanted) > deferred(0):
        raise Error(f"too many mounts: {deferred(0)} descriptors must do", "/mounts")
    steps = [*_enter(config, facts), *_leave(_own(config, facts))]
    for count, (index, mask, number) in enumerate(wanted):
        place = mount_options.destination(config["mounts"][index])
        pointer = f"/mounts/{index}"
        steps.append((pointer, ops.open_in_root(ROOT, place, O_PATH, 0, deferred(count))))
        steps.append((pointer, ops.check_mount(deferred(count), mask, number)))
    for count, (index, _, _) in enumerate(wanted):
        steps.append((f"/mounts/{index}", ops.detach(deferred(count), PROC)))
    return [*steps, ("", ops.sync(sync.READY))]


def undo(config: Config, facts: Facts) -> list[Step]:
    """Take the mounts away that are among the donations: the last first, and not those that have
    not come so far as to have a place."""
    steps = [*_enter(config, facts), *_leave(_own(config, facts))]
    for slot, donation in reversed(list(enumerate(facts["donations"]))):
        if donation[0] == "mount":
            steps.append(("", ops.tolerate(errno.EINVAL, ops.detach(slot, PROC))))
    return [*steps, ("", ops.sync(sync.READY))]


def _own(config: Config, facts: Facts) -> int:
    """The slot of the container's mount namespace."""
    entry = namespace(config, "mount") or {}
    return slot_of(facts, "namespace", "mount", entry["path"])


def _enter(config: Config, facts: Facts) -> Steps:
    pointer = "/mounts"
    # Before the first setns: whoever is inside must not trace us or look at our memory.
    yield pointer, ops.prctl(PR_SET_DUMPABLE, 0)
    entries = [entry for entry in config["linux"]["namespaces"] if entry["type"] in OWNERS]
    joined = {"linux": {"namespaces": entries}}
    for rule in (namespaces.join, namespaces.become_root):
        for _, op in rule(joined, facts):
            yield pointer, op
    yield pointer, ops.unshare(CLONE_NEWNS)
    yield pointer, ops.open_host("/proc/self/ns/mnt", O_RDONLY, VIEW)
    yield pointer, ops.open_host("/", O_PATH | O_DIRECTORY, HOST)
    flag = mount_options.from_host(config)
    yield pointer, ops.mount_setattr(HOST, AT_RECURSIVE, 0, 0, flag)
    root = slot_of(facts, "root")
    yield pointer, ops.open_in_root(root, "/", O_PATH | O_DIRECTORY, 0, ROOT)


def _leave(own: int) -> Steps:
    """For the container's mount namespace, with a way to name a descriptor as umount2(2) takes
    it."""
    yield "/mounts", ops.open_host("/proc", O_PATH | O_DIRECTORY, PROC)
    yield "/mounts", ops.setns(own, CLONE_NEWNS)


def _placed(steps: Iterable[Step], own: int) -> Steps:
    """The same, each in the mount namespace that it takes."""
    inside = False
    attached: set[object] = set()
    for pointer, op in steps:
        wanted = _inside(op, attached)
        if wanted is not None and wanted != inside:
            yield pointer, ops.setns(own if wanted else VIEW, CLONE_NEWNS)
            inside = wanted
        if op[0] in ATTACHING:
            yield pointer, ops.sync_send(sync.MOUNT, mount_slot(op))
            attached.add(op[1][0])
        elif op[0] in FILLING:
            attached.discard(op[1][-1])
        yield pointer, op


def mount_slot(op: Op) -> int:
    """The mount that an operation attaches."""
    slot = op[1][0]
    assert isinstance(slot, int)
    return slot


def _inside(op: Op, attached: set[object]) -> bool | None:
    """Whether an operation takes the container's mount namespace; None for either."""
    name, operands = op[0], op[1]
    if name in ATTACHING or (name == "mount_setattr" and operands[0] in attached):
        return True
    if name == "open_tree":
        return operands[0] != HOST  # else a clone of what is at a target
    return False if name in OF_THE_HOST else None
