# SPDX-License-Identifier: Apache-2.0
"""mounts: each is made as a descriptor, gets its attributes, and only then a place in the root."""

from __future__ import annotations

from pyrun import ops
from pyrun.compile import devices
from pyrun.compile.cgroup_mounts import mount_cgroup
from pyrun.compile.donations import namespace, opens_sources, slot_of
from pyrun.compile.mount_options import (
    depth,
    destination,
    from_host,
    is_bind,
    keeps_link,
    link_to_copy,
    on_existing,
    parse,
    propagate,
    source,
    tree_flags,
)
from pyrun.compile.slots import CONTEXT, HOST, ROOT, TARGET, TREE, deferred
from pyrun.errors import Error
from pyrun.linux import (
    AT_RECURSIVE,
    MOUNT_ATTR_RDONLY,
    MS_SHARED,
    MS_SLAVE,
    O_DIRECTORY,
    O_PATH,
    RESOLVE_NO_SYMLINKS,
    S_IFDIR,
    S_IFREG,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts, Op, Steps

DIRECTORY = S_IFDIR | 0o755
FILE = S_IFREG | 0o644


def mount_all(config: Config, facts: Facts) -> Steps:
    """In the order given: a later one may lie in an earlier one."""
    if not namespace(config, "mount"):
        return
    later = late(config)
    for index, mount in enumerate(config.get("mounts") or []):
        pointer, tree = f"/mounts/{index}", TREE
        options = parse(mount, pointer)
        if options["rare"] or on_existing(mount):
            from pyrun.compile import unusual_mounts

            unusual_mounts.check(mount, options, pointer)
            if on_existing(mount):
                yield from unusual_mounts.change(mount, options, pointer)
                continue
            if text := link_to_copy(mount, facts):
                yield from unusual_mounts.copy_symlink(mount, text, pointer)
                continue
        if is_bind(mount):
            tree = _bind_slot(mount, pointer, config, facts)
            yield from _bind(mount, options, (pointer, tree), config, facts)
        elif mount.get("type") in ("cgroup", "cgroup2"):
            yield from mount_cgroup(mount, options, pointer, config, facts)
        else:
            if index in later:
                options["set"] &= ~MOUNT_ATTR_RDONLY
                tree = deferred(later.index(index))
            yield from _new(mount, options, (pointer, tree), config, facts)
        if destination(mount) == "/":
            # It covers the root: what comes after it goes into it, and it is what we pivot to.
            yield pointer, ops.open_in_root(tree, "/", O_PATH | O_DIRECTORY, 0, ROOT)


def late(config: Config) -> list[int]:
    """Which of the mounts are read-only tmpfs. Mount points and nodes may still have to be made in
    them: they become read-only when all is there."""
    return [
        index
        for index, mount in enumerate(config.get("mounts") or [])
        if mount.get("type") == "tmpfs"
        and not is_bind(mount)
        and not on_existing(mount)
        and parse(mount, f"/mounts/{index}")["set"] & MOUNT_ATTR_RDONLY
    ]


def finish(config: Config, facts: Facts) -> Steps:
    """The read-only tmpfs that mount_all left writable, by their descriptors."""
    if not namespace(config, "mount"):
        return
    for count, index in enumerate(late(config)):
        op = ops.mount_setattr(deferred(count), 0, MOUNT_ATTR_RDONLY, 0, 0)
        yield f"/mounts/{index}", op


def _target(mount: Config, options: Config, mode: int, pointer: str) -> Steps:
    # A link on the way to /proc or /sys would let the image choose what we write labels into.
    resolve = RESOLVE_NO_SYMLINKS if mount.get("type") in ("proc", "sysfs") else 0
    if "dest-nofollow" in options["rare"] and destination(mount) != "/" and not resolve:
        from pyrun.compile import unusual_mounts

        yield from unusual_mounts.unfollowed_target(mount, mode, pointer)
    else:
        yield pointer, ops.make_in_root(ROOT, destination(mount), mode, resolve, TARGET)


def _attach(mount: Config, tree: int) -> Op:
    """A place in a procfs has to be named by the config: checks_mounts has those that may be."""
    is_proc = mount.get("type") == "proc" and not is_bind(mount)
    named = is_proc or f"{destination(mount)}/".startswith("/proc/")
    return (ops.cover_proc if named else ops.move_mount)(tree, TARGET)


def _bind_slot(mount: Config, pointer: str, config: Config, facts: Facts) -> int:
    if not opens_sources(config, facts):
        return TREE
    return slot_of(facts, "tree", source(mount, facts), depth(mount), pointer)


def _map(
    mount: Config, options: Config, place: tuple[str, int], config: Config, facts: Facts
) -> Steps:
    """idmap and ridmap: while it is in nobody's view."""
    if "idmap" in options["rare"] or "ridmap" in options["rare"]:
        from pyrun.compile import mount_maps

        yield from mount_maps.apply(mount, options, place, config, facts)


def _bind(
    mount: Config, options: Config, place: tuple[str, int], config: Config, facts: Facts
) -> Steps:
    pointer, tree = place
    path = source(mount, facts)
    is_link = keeps_link(mount) and path in facts["links"]
    kind = "link" if is_link else facts["sources"].get(path, "")
    if not kind:
        raise Error(
            f"bind source {path}: no such file or directory",
            f"{pointer}/source",
            "the source does not exist on the host",
        )
    if not opens_sources(config, facts):
        yield f"{pointer}/source", ops.open_tree(HOST, path, tree_flags(depth(mount)), TREE)
    else:
        # The runtime's clone is a peer of the host's mount, ours would be what prepare() made it:
        # never a peer in a user namespace, whose root may mount what it likes.
        flag = MS_SLAVE if from_host(config) == MS_SHARED else from_host(config)
        yield f"{pointer}/source", ops.mount_setattr(tree, AT_RECURSIVE, 0, 0, flag)
    if options["set"] or options["clear"]:
        op = ops.mount_setattr(tree, 0, options["set"], options["clear"], 0)
        yield f"{pointer}/options", op
    below_set, below_clear = options["recursive"]
    if below_set or below_clear:
        op = ops.mount_setattr(tree, AT_RECURSIVE, below_set, below_clear, 0)
        yield f"{pointer}/options", op
    yield from _map(mount, options, place, config, facts)
    yield from _target(mount, options, DIRECTORY if kind == "directory" else FILE, pointer)
    yield pointer, _attach(mount, tree)
    yield from propagate(tree, options, pointer)


def _new(
    mount: Config, options: Config, place: tuple[str, int], config: Config, facts: Facts
) -> Steps:
    pointer, tree = place
    kind = mount.get("type") or ""
    if not kind:
        raise Error("a mount without bind or rbind needs a type", f"{pointer}/type")
    yield from _target(mount, options, DIRECTORY, pointer)
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
    if kind == "overlay":
        from pyrun.compile import unusual_mounts

        yield from unusual_mounts.overlay(data, pointer)
        data = []
    for key, value in data:
        yield f"{pointer}/options", ops.fsconfig(CONTEXT, key, value)
    labelled = (config.get("linux") or {}).get("mountLabel")
    if labelled:
        from pyrun.compile import labels  # rare

        yield from labels.context(kind, config)
    yield pointer, ops.fsmount(CONTEXT, options["set"], tree)
    if labelled:
        yield from labels.mounted(kind, tree, config)
    if "tmpcopyup" in options["rare"]:
        from pyrun.compile import unusual_mounts

        yield from unusual_mounts.copy_up(tree, options, pointer)
    yield from _map(mount, options, place, config, facts)
    if destination(mount) == "/dev" and kind != "devtmpfs":
        yield from devices.fill(tree, config, facts)
    yield pointer, _attach(mount, tree)
    yield from propagate(tree, options, pointer)
