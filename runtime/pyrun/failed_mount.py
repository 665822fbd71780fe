# SPDX-License-Identifier: Apache-2.0
"""Which of source, destination, type and options is at fault when a mount fails. Loaded when
something has failed."""

from __future__ import annotations

import errno
import os
from _stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK

from pyrun import evidence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.types import Config, Step

# What makes a type of file system known to a kernel: an option, and a module of the same name.
OPTIONS = {
    "overlay": "CONFIG_OVERLAY_FS", "tmpfs": "CONFIG_TMPFS", "mqueue": "CONFIG_POSIX_MQUEUE",
    "fuse": "CONFIG_FUSE_FS", "devpts": "CONFIG_UNIX98_PTYS", "hugetlbfs": "CONFIG_HUGETLBFS",
    "cgroup": "CONFIG_CGROUPS", "cgroup2": "CONFIG_CGROUPS", "bpf": "CONFIG_BPF_SYSCALL",
    "securityfs": "CONFIG_SECURITYFS", "debugfs": "CONFIG_DEBUG_FS", "tracefs": "CONFIG_TRACING",
    "nfs": "CONFIG_NFS_FS", "nfs4": "CONFIG_NFS_V4", "9p": "CONFIG_9P_FS", "cifs": "CONFIG_CIFS",
    "virtiofs": "CONFIG_VIRTIO_FS", "configfs": "CONFIG_CONFIGFS_FS", "pstore": "CONFIG_PSTORE",
    "binder": "CONFIG_ANDROID_BINDERFS", "devtmpfs": "CONFIG_DEVTMPFS",
}  # fmt: skip
# FS_USERNS_MOUNT in the kernel's source
IN_USER_NAMESPACES = (
    "bpf, cgroup, cgroup2, devpts, fuse, mqueue, overlay, proc, ramfs, sysfs, tmpfs"
)
KINDS = {
    S_IFREG: "a regular file",
    S_IFDIR: "a directory",
    S_IFLNK: "a symbolic link",
    S_IFIFO: "a FIFO",
    S_IFSOCK: "a socket",
    S_IFCHR: "a character device",
    S_IFBLK: "a block device",
}


def unknown_type(kind: str) -> str:
    """What to do about fsopen's ENODEV."""
    if kind in ("bind", "rbind"):
        return f"{kind} is an option, not a type: options must have bind or rbind"
    option = OPTIONS.get(kind)
    by = f"it takes {option}, or " if option else ""
    return (
        f"this kernel has no file system {kind}: {by}`modprobe {kind}` on the host; those it"
        " has are in /proc/filesystems; a bind mount needs the option bind or rbind"
    )


def not_mounted(number: int, kind: str, source: str) -> str:
    """Why fsmount may have failed, for a type and source of file system."""
    if number == errno.EPERM:
        if kind == "proc":
            return (
                "in a user namespace proc takes a pid namespace of its own, and a /proc of the"
                " host of which nothing is masked or read-only"
            )
        if kind == "sysfs":
            return (
                "in a user namespace sysfs takes a network namespace of its own, and a /sys of"
                " the host of which nothing is masked or read-only"
            )
        return f"a user namespace may mount these types only: {IN_USER_NAMESPACES}"
    if number == errno.ENOTBLK:
        return f"the source {source} is no block device"
    if number == errno.ENOENT:
        return f"the source {source}, or a path among the options, is not there"
    if number == errno.EBUSY:
        return f"the source {source}, or a folder among the options, is in use by another mount"
    if number == errno.EINVAL:
        return (
            "the file system refuses one of the options, or what is in its source; the kernel's"
            " log (dmesg) may say more"
        )
    return ""


def missing_path(value: str) -> str:
    """Which of an option's paths (`lowerdir=a:b`) is not there, or no directory."""
    for path in value.split(":"):
        if path.startswith("/") and not os.path.isdir(path):
            missing = "is no directory" if os.path.exists(path) else "is not on the host"
            return f"{path} {missing}"
    return ""


def destination(number: int, path: str, seen: bytes) -> str:
    """Why a mount point in the container can't be opened or made."""
    sightings = evidence.sightings(seen)
    if not sightings:
        return ""
    found = sightings[0]  # the first part of the path that is not a folder, or not there
    name = evidence.text(found.path)
    kind = KINDS.get(S_IFMT(found.mode), "")
    if number == errno.EROFS:
        return (
            f"the mount point is missing ({name} in the container), and its file system is"
            " read-only"
        )
    if kind == KINDS[S_IFLNK]:
        target = evidence.text(found.content)
        return f"{name} in the container is a symbolic link to {target}"
    if number == errno.ENOTDIR and kind and found.path != path.encode():
        return f"{name} in the container is {kind}, not a directory"
    if number in (errno.EACCES, errno.EPERM):
        return (
            f"{name} is not there and can't be made, or may not be entered, by user"
            f" {evidence.user(seen)}"
        )
    return ""


def other_kind(steps: list[Step], index: int) -> str:
    """Source and destination differ: which is what. The mount point would have been made as what
    the source is."""
    mount = steps[index][0].split("/")[:3]
    for pointer, op in reversed(steps[:index]):
        operands: Any = op[1]
        if op[0] == "make_in_root" and pointer.split("/")[:3] == mount:
            if S_IFMT(operands[2]) == S_IFDIR:
                return f"the source is a directory, {operands[1]} in the container is not"
            return f"the source is not a directory, {operands[1]} in the container is one"
    return ""


def why(steps: list[Step], index: int, config: Config, number: int, seen: bytes) -> str:
    """The hint for a failed operation of a mount, "" if there is none better than that of HINTS."""
    pointer, (name, words, _) = steps[index]
    operands: Any = words
    if name in ("make_in_root", "open_in_root"):
        return destination(number, operands[1], seen)
    mount = _mount(pointer, config)
    if not mount:
        return ""
    if name == "fsopen" and number == errno.ENODEV:
        return unknown_type(operands[0])
    if name == "fsmount":
        kind = str(mount.get("type") or "")
        return not_mounted(number, kind, str(mount.get("source") or kind))
    if name == "fsconfig" and number in (errno.ENOENT, errno.ENOTDIR):
        return missing_path(operands[2] or "")
    if name in ("move_mount", "cover_proc") and number in (errno.ENOTDIR, errno.EINVAL):
        return other_kind(steps, index)
    return ""


def _mount(pointer: str, config: Config) -> Config:
    parts = pointer.split("/")
    if parts[1:2] != ["mounts"] or len(parts) < 3:
        return {}
    found: Config = config["mounts"][int(parts[2])]
    return found
