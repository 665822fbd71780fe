# SPDX-License-Identifier: Apache-2.0
"""The words of mounts[].options, from mount(8) and config.md: what each does to a mount."""

from __future__ import annotations

from pyrun import ops
from pyrun.errors import Error
from pyrun.linux import (
    AT_RECURSIVE,
    AT_SYMLINK_NOFOLLOW,
    MOUNT_ATTR__ATIME,
    MOUNT_ATTR_NOATIME,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW,
    MOUNT_ATTR_RDONLY,
    MOUNT_ATTR_RELATIME,
    MOUNT_ATTR_STRICTATIME,
    MS_PRIVATE,
    MS_SHARED,
    MS_SLAVE,
    MS_UNBINDABLE,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts, Steps

# option: (attributes to set, attributes to clear) of mount_setattr(2). With an r before it, it is
# for the mounts below a bind mount too.
ATTRIBUTES = {
    "ro": (MOUNT_ATTR_RDONLY, 0),
    "rw": (0, MOUNT_ATTR_RDONLY),
    "nosuid": (MOUNT_ATTR_NOSUID, 0),
    "suid": (0, MOUNT_ATTR_NOSUID),
    "nodev": (MOUNT_ATTR_NODEV, 0),
    "dev": (0, MOUNT_ATTR_NODEV),
    "noexec": (MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, MOUNT_ATTR_NOEXEC),
    "nodiratime": (MOUNT_ATTR_NODIRATIME, 0),
    "diratime": (0, MOUNT_ATTR_NODIRATIME),
    "relatime": (MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME),
    "norelatime": (MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME),
    "noatime": (MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME),
    "atime": (MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME),
    "strictatime": (MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME),
    "nostrictatime": (MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME),
    "nosymfollow": (MOUNT_ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, MOUNT_ATTR_NOSYMFOLLOW),
}
# option: (MS_* of mount_setattr's propagation, whether for the mounts below too)
PROPAGATION = {
    "private": (MS_PRIVATE, False),
    "rprivate": (MS_PRIVATE, True),
    "shared": (MS_SHARED, False),
    "rshared": (MS_SHARED, True),
    "slave": (MS_SLAVE, False),
    "rslave": (MS_SLAVE, True),
    "unbindable": (MS_UNBINDABLE, False),
    "runbindable": (MS_UNBINDABLE, True),
}
# flags of a file system that fsconfig(2) takes by their names, as it takes data
FLAGS = ("sync", "dirsync", "mand", "lazytime")
# those that are the default, or mean nothing on a new one. A file system that can count its
# changes (iversion) does so unasked: ext4 since 6.1, the others always. The last three are crun's:
# what they ask for is the file system's, and can't differ from mount to mount.
DEFAULTS = (
    "async", "nomand", "silent", "loud", "nolazytime", "iversion", "noiversion",
    "rsync", "rdirsync", "rmand",
)  # fmt: skip
# the defaults that take back a flag that was named before them
TAKEN_BACK = {"async": "sync", "nomand": "mand", "nolazytime": "lazytime"}
# what takes more than an attribute: mount_maps.py and unusual_mounts.py
RARE = (
    "idmap", "ridmap", "tmpcopyup", "copy-symlink", "src-nofollow", "dest-nofollow", "remount",
)  # fmt: skip
MAPPED = ("idmap", "ridmap")  # those that may have a value
# every option that is not left to the file system, as features.md wants them listed
KNOWN = sorted(
    ("bind", "rbind", "defaults", *FLAGS, *DEFAULTS, *RARE, *PROPAGATION, *ATTRIBUTES)
    + tuple(f"r{name}" for name in ATTRIBUTES)
)


def is_bind(mount: Config) -> bool:
    """Whether the source is a place in the host's tree: the option decides, not the type."""
    options = mount.get("options") or ()
    return ("bind" in options or "rbind" in options) and "remount" not in options


def on_existing(mount: Config) -> bool:
    """Whether it changes a mount that is there: `remount`, or propagation without a type."""
    options = mount.get("options") or ()
    if "remount" in options:
        return True
    typeless = mount.get("type", "") in ("", "none") and not is_bind(mount)
    return typeless and any(option in PROPAGATION for option in options)


def depth(mount: Config) -> str:
    """How the source of a bind mount is cloned, in words for tree_flags(): "recursive" takes the
    mounts below along, "nofollow" a symbolic link in its place."""
    word = "recursive" if "rbind" in (mount.get("options") or ()) else ""
    return f"{word} nofollow".lstrip() if keeps_link(mount) else word


def tree_flags(words: str) -> int:
    """AT_* of open_tree(2)."""
    flags = AT_RECURSIVE if "recursive" in words else 0
    return flags | (AT_SYMLINK_NOFOLLOW if "nofollow" in words else 0)


def keeps_link(mount: Config) -> bool:
    """Whether a bind source that is a symbolic link is taken as one."""
    options = mount.get("options") or ()
    return "copy-symlink" in options or "src-nofollow" in options


def link_to_copy(mount: Config, facts: Facts) -> str:
    """What the source leads to if it is a symbolic link and shall be made again, else ""."""
    if "copy-symlink" not in (mount.get("options") or ()):
        return ""
    text: str = facts["links"].get(source(mount, facts), "")
    return text


def source(mount: Config, facts: Facts) -> str:
    """The source of a bind mount as an absolute path: a relative one starts at the bundle."""
    path: str = mount.get("source") or ""
    return path if path.startswith("/") else f"{facts['bundle']}/{path}"


def destination(mount: Config) -> str:
    """The normal form; a relative one starts at the root of the container, as with the peers."""
    parts: list[str] = []
    for part in mount["destination"].split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def propagate(tree: int, options: Config, pointer: str) -> Steps:
    """The propagation options in the order given, on a mount that has its place already."""
    for flag, recursive in options["propagation"]:
        flags = AT_RECURSIVE if recursive else 0
        yield f"{pointer}/options", ops.mount_setattr(tree, flags, 0, 0, flag)


def from_host(config: Config) -> int:
    """MS_*: how mounts of the host hang together with the container's, by rootfsPropagation."""
    word = (config.get("linux") or {}).get("rootfsPropagation") or "rslave"
    if word.endswith("unbindable"):
        return MS_PRIVATE  # nothing could be bound from the host any more
    return PROPAGATION[word][0]


def parse(mount: Config, pointer: str) -> Config:
    """Sort the options: {"set", "clear", "recursive": (set, clear), "propagation": [...],
    "data": [(key, value | None)], "rare": {option: value}}. Raises Error."""
    own, below = (0, 0), (0, 0)
    propagation = []
    data: list[tuple[str, str | None]] = []
    rare = {"idmap": ""} if mount.get("uidMappings") else {}
    bind = is_bind(mount)
    for number, option in enumerate(mount.get("options") or ()):
        key, equals, value = option.partition("=")
        if option in ATTRIBUTES:
            own = _added(own, ATTRIBUTES[option])
        elif option in PROPAGATION:
            propagation.append(PROPAGATION[option])
        elif option[:1] == "r" and option[1:] in ATTRIBUTES:
            if not bind:
                what = f"the mount option {option!r} is for bind mounts"
                hint = f"nothing is mounted below a new file system: {option[1:]} does it"
                raise Error(what, f"{pointer}/options/{number}", hint)
            below = _added(below, ATTRIBUTES[option[1:]])
        elif key in RARE and (not equals or key in MAPPED):
            rare[key] = value
        elif option in ("bind", "rbind", "defaults", "", *DEFAULTS) or (bind and option in FLAGS):
            # a flag of the file system: a bind mount has the one that it finds
            data = [entry for entry in data if entry[0] != TAKEN_BACK.get(option)]
        elif bind:
            # The kernel would pass over it. It may be a misspelt nosuid.
            what = f"the mount option {option!r} means nothing on a bind mount"
            hint = "it has no file system of its own to take it"
            raise Error(what, f"{pointer}/options/{number}", hint)
        else:
            data.append((key, value if equals else None))
    return {
        "set": own[0],
        "clear": own[1],
        "recursive": below,
        "propagation": propagation,
        "data": data,
        "rare": rare,
    }


def _added(attributes: tuple[int, int], more: tuple[int, int]) -> tuple[int, int]:
    """(set, clear) after one more option: the last word about each thing wins."""
    return attributes[0] & ~more[1] | more[0], attributes[1] & ~more[0] | more[1]
