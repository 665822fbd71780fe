# SPDX-License-Identifier: Apache-2.0
"""mounts: each is made as a descriptor, gets its attributes, and only then a place in the root."""

from __future__ import annotations

from pyrun import ops
from pyrun.compile import devices
from pyrun.compile.cgroup_mounts import mount_cgroup
from pyrun.compile.donations import namespace, opens_sources, slot_of
from pyrun.compile.mount_options import is_bind, parse, source
from pyrun.compile.slots import CONTEXT, DEFERRED, HOST, ROOT, TARGET, TREE
from pyrun.errors import Error
from pyrun.linux import (
    AT_RECURSIVE,
    MOUNT_ATTR_RDONLY,
    RESOLVE_NO_SYMLINKS,
    S_IFDIR,
    S_IFREG,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts, Steps

DIRECTORY = S_IFDIR | 0o755
FILE = S_IFREG | 0o644


def mount_all(config: Config, facts: Facts) -> Steps:
    """In the order given: a later one may lie in an earlier one."""
    if not namespace(config, "mount"):
        return
    for index, mount in enumerate(config.get("mounts") or []):
        pointer = f"/mounts/{index}"
        options = parse(mount, pointer)
        if is_bind(mount):
            yield from _bind(mount, options, pointer, config, facts)
        elif mount.get("type") in ("cgroup", "cgroup2"):
            yield from mount_cgroup(mount, options, pointer, config, facts)
        elif _is_late(mount, options):
            options["set"] &= ~MOUNT_ATTR_RDONLY
            yield from _new(mount, options, (pointer, DEFERRED + index), config, facts)
        else:
            yield from _new(mount, options, (pointer, TREE), config, facts)


def _is_late(mount: Config, options: Config) -> bool:
    """Mount points and nodes may still have to be made in it: read-only when all is there."""
    return mount.get("type") == "tmpfs" and bool(options["set"] & MOUNT_ATTR_RDONLY)


def finish(config: Config, facts: Facts) -> Steps:
    """The read-only tmpfs that mount_all left writable, by their descriptors."""
    if not namespace(config, "mount"):
        return
    for index, mount in enumerate(config.get("mounts") or []):
        pointer = f"/mounts/{index}"
        if not is_bind(mount) and _is_late(mount, parse(mount, pointer)):
            yield pointer, ops.mount_setattr(DEFERRED + index, 0, MOUNT_ATTR_RDONLY, 0, 0)


def destination(mount: Config) -> str:
    """The normal form; a relative one starts at the root of the container, as with the peers."""
    parts: list[str] = []
    for part in mount["destination"].split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def _target(mount: Config, mode: int, pointer: str) -> Steps:
    # A link on the way to /proc or /sys would let the image choose what we write labels into.
    resolve = RESOLVE_NO_SYMLINKS if mount.get("type") in ("proc", "sysfs") else 0
    yield pointer, ops.make_in_root(ROOT, destination(mount), mode, resolve, TARGET)


def _bind(mount: Config, options: Config, pointer: str, config: Config, facts: Facts) -> Steps:
    path = source(mount, facts)
    kind = facts["sources"].get(path, "")
    if not kind:
        raise Error(
            f"bind source {path}: no such file or directory",
            f"{pointer}/source",
            "the source does not exist on the host",
        )
    recursive = "rbind" in mount["options"]
    tree = TREE
    if opens_sources(config, facts):
        tree = slot_of(facts, "tree", path, "recursive" if recursive else "")
    else:
        flags = AT_RECURSIVE if recursive else 0
        yield f"{pointer}/source", ops.open_tree(HOST, path, flags, TREE)
    if options["set"] or options["clear"]:
        op = ops.mount_setattr(tree, 0, options["set"], options["clear"], 0)
        yield f"{pointer}/options", op
    yield from _target(mount, DIRECTORY if kind == "directory" else FILE, pointer)
    yield pointer, ops.move_mount(tree, TARGET)
    yield from _propagate(tree, options, pointer)


def _new(
    mount: Config, options: Config, place: tuple[str, int], config: Config, facts: Facts
) -> Steps:
    pointer, tree = place
    kind = mount.get("type") or ""
    if not kind:
        raise Error("a mount without bind or rbind needs a type", f"{pointer}/type")
    yield from _target(mount, DIRECTORY, pointer)
    pid = namespace(config, "pid")
    if kind == "proc" and pid and pid.get("path"):
        slot = slot_of(facts, "namespace", "pid", pid["path"])
        yield f"{pointer}/type", ops.fsopen_proc(slot, CONTEXT)
    else:
        yield f"{pointer}/type", ops.fsopen(kind, CONTEXT)
    yield f"{pointer}/source", ops.fsconfig(CONTEXT, "source", mount.get("source") or kind)
    data = options["data"]
    if kind == "tmpfs" and not any(key == "mode" for key, _ in data):
        yield pointer, ops.copy_mode(CONTEXT, TARGET)
    for key, value in data:
        yield f"{pointer}/options", ops.fsconfig(CONTEXT, key, value)
    yield pointer, ops.fsmount(CONTEXT, options["set"], tree)
    if destination(mount) == "/dev":
        yield from devices.fill(tree, config, facts)
    yield pointer, ops.move_mount(tree, TARGET)
    yield from _propagate(tree, options, pointer)


def _propagate(tree: int, options: Config, pointer: str) -> Steps:
    for flag, recursive in options["propagation"]:
        flags = AT_RECURSIVE if recursive else 0
        yield f"{pointer}/options", ops.mount_setattr(tree, flags, 0, 0, flag)
