# SPDX-License-Identifier: Apache-2.0
"""What few mounts ask for: the options in mount_options.RARE. Loaded when one does."""

from __future__ import annotations

from errno import ELOOP

from pyrun import ops
from pyrun.compile.mount_options import destination, is_bind, on_existing, propagate
from pyrun.compile.slots import CONTEXT, COVERED, PARENT, ROOT, TARGET, TREE
from pyrun.errors import Error
from pyrun.linux import (
    AT_RECURSIVE,
    MOUNT_ATTR_NODEV,
    MS_PRIVATE,
    O_DIRECTORY,
    O_NOFOLLOW,
    O_PATH,
    RESOLVE_NO_SYMLINKS,
    S_IFDIR,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrun.types import Config, Op, Steps

LAYERS = ("lowerdir", "upperdir", "workdir")
STRING_LIMIT = 256  # bytes, with the NUL at the end
FOR_BINDS = ("copy-symlink", "src-nofollow")


def check(mount: Config, options: Config, pointer: str) -> None:
    """Refuse an option where it would mean nothing. Raises Error."""
    rare = options["rare"]
    for word in FOR_BINDS:
        if word in rare and not is_bind(mount):
            raise Error(f"the mount option {word!r} is for bind mounts", f"{pointer}/options")
    if "tmpcopyup" in rare and (is_bind(mount) or mount.get("type") != "tmpfs"):
        raise Error("the mount option 'tmpcopyup' is for type tmpfs", f"{pointer}/options")
    is_cgroup = mount.get("type") in ("cgroup", "cgroup2") and not is_bind(mount)
    if is_cgroup and not on_existing(mount):
        word = min(rare)
        raise Error(f"the mount option {word!r} is not for cgroup mounts", f"{pointer}/options")


def _parent(mount: Config) -> tuple[Op, str]:
    """What opens, as PARENT, the directory in which the destination is; and the name there."""
    folder, _, name = destination(mount).rpartition("/")
    return ops.make_in_root(ROOT, folder or "/", S_IFDIR | 0o755, 0, PARENT), name


def unfollowed_target(mount: Config, mode: int, pointer: str) -> Steps:
    """dest-nofollow: what is at the destination itself, be it a symbolic link; made if missing."""
    op, name = _parent(mount)
    yield pointer, op
    make = ops.make_in_root(PARENT, name, mode, RESOLVE_NO_SYMLINKS, TARGET)
    yield pointer, ops.tolerate(ELOOP, make)  # a link: it is there
    yield pointer, ops.open_in_root(PARENT, name, O_PATH | O_NOFOLLOW, 0, TARGET)


def copy_symlink(mount: Config, text: str, pointer: str) -> Steps:
    """copy-symlink: a source that is a symbolic link is made again at the destination. It leads
    somewhere in the container."""
    op, name = _parent(mount)
    yield pointer, op
    yield pointer, ops.make_symlink(text, PARENT, name)


def copy_up(tree: int, options: Config, pointer: str) -> Steps:
    """tmpcopyup: into the new tmpfs `tree` what the directory at TARGET holds. The source is a
    clone, on which a device of the image can't be opened whenever it is put there."""
    pointer = f"{pointer}/options"
    if not any(key in ("uid", "gid") for key, _ in options["data"]):
        yield pointer, ops.copy_owner(tree, TARGET)
    yield pointer, ops.open_tree(TARGET, "", AT_RECURSIVE, COVERED)
    yield pointer, ops.mount_setattr(COVERED, AT_RECURSIVE, MOUNT_ATTR_NODEV, 0, MS_PRIVATE)
    yield pointer, ops.copy_up(tree, COVERED)
    yield pointer, ops.close_slot(COVERED)


def overlay(data: list[tuple[str, str | None]], pointer: str) -> Steps:
    """Of an overlay. fsconfig(2) takes no more than 255 bytes as a string, where mount(2) took a
    page: the layers of a longer one go one by one, by descriptors."""
    pointer = f"{pointer}/options"
    for key, value in data:
        if value is None or key not in LAYERS or len(value.encode()) < STRING_LIMIT:
            yield pointer, ops.fsconfig(CONTEXT, key, value)
        else:
            for name, path in _layers(key, value):
                yield pointer, ops.open_host(path, O_PATH | O_DIRECTORY, TREE)
                yield pointer, ops.fsconfig_fd(CONTEXT, name, TREE)


def _layers(key: str, text: str) -> Iterator[tuple[str, str]]:
    """(option, path) of each layer; `::` comes before those for data alone (overlayfs.rst)."""
    from pyrun.compile.layers import split  # few overlays are that long

    if key != "lowerdir":
        yield key, text
        return
    name = "lowerdir+"
    for path in split(text):
        if path:
            yield name, path
        else:
            name = "datadir+"


def change(mount: Config, options: Config, pointer: str) -> Steps:
    """A mount that is there already: `remount`, or nothing but propagation. As with mount(8), what
    the options don't name stays as it is."""
    # A link of the image could lead to another mount, which nobody meant to change.
    yield pointer, ops.open_in_root(ROOT, destination(mount), O_PATH, RESOLVE_NO_SYMLINKS, TARGET)
    pointer_of_options = f"{pointer}/options"
    if options["data"]:
        yield pointer_of_options, ops.fspick(TARGET, CONTEXT)
        for key, value in options["data"]:
            yield pointer_of_options, ops.fsconfig(CONTEXT, key, value)
        yield pointer_of_options, ops.reconfigure(CONTEXT)
    if options["set"] or options["clear"]:
        op = ops.mount_setattr(TARGET, 0, options["set"], options["clear"], 0)
        yield pointer_of_options, op
    yield from propagate(TARGET, options, pointer)
