# SPDX-License-Identifier: Apache-2.0
"""Removing what a container has written into its own layer: any names, depth, modes and owners.

Nothing is followed and nothing is addressed by more than one name below a descriptor. A directory
in another goes up to the top first, so that neither depth nor the length of a path counts, and a
removal that was killed is finished by the next.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from _stat import S_ISDIR, S_ISREG

from pyrun.errors import Error
from pyrun.kernel._linux import lib
from pyrun.linux import CLONE_NEWUSER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrun.state import Container
    from pyrun.types import Config

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# ioctl_iflags(2); a container with CAP_LINUX_IMMUTABLE sets them
FS_IOC_GETFLAGS, FS_IOC_SETFLAGS = 0x80086601, 0x40086602
FS_IMMUTABLE_FL, FS_APPEND_FL = 0x10, 0x20


def remove(container: Container, name: str) -> None:
    """Remove a directory of the container's state folder. Raises OSError, or Error."""
    maps = container.intent.get("layers")
    try:
        _remove(container.fd, name)
    except PermissionError:
        if not maps or not maps["linux"] or os.geteuid() == 0:
            raise
        # Files of other ids than the caller's own: only who is root over them all may do it.
        _in_user_namespace(container.fd, name, maps)


def _remove(folder: int, name: str) -> None:
    top = os.open(name, _FOLDER, dir_fd=folder)
    numbers = _count()
    try:
        while names := os.listdir(top):
            for entry in names:
                if not _drop(top, entry):
                    _empty(top, entry, numbers)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=folder)


def _count() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


def _drop(folder: int, name: str) -> bool:
    """Remove what has this name, unless it is a directory with something in it."""
    try:
        _unlink(folder, name)
    except PermissionError:
        _permit(folder, name)
        return _drop_permitted(folder, name)
    except OSError as error:
        return _unless_full(error)
    return True


def _drop_permitted(folder: int, name: str) -> bool:
    try:
        _unlink(folder, name)
    except OSError as error:
        return _unless_full(error)
    return True


def _unless_full(error: OSError) -> bool:
    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
        raise error
    return False


def _unlink(folder: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except IsADirectoryError:
        os.rmdir(name, dir_fd=folder)


def _empty(top: int, name: str, numbers: Iterator[int]) -> None:
    """Remove a directory of the top; a directory in it that is not empty goes up."""
    try:
        folder = os.open(name, _FOLDER, dir_fd=top)
    except PermissionError:
        _permit(top, name)
        folder = os.open(name, _FOLDER, dir_fd=top)
    try:
        for entry in os.listdir(folder):
            if not _drop(folder, entry):
                _lift(folder, entry, top, numbers)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=top)


def _lift(folder: int, name: str, top: int, numbers: Iterator[int]) -> None:
    """Give a directory the first number that is free at the top: what has it may be left from a
    removal that was killed."""
    for number in numbers:
        try:
            _rename(folder, name, top, f"{number}")
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                continue
            raise
        return


def _rename(folder: int, name: str, top: int, new: str) -> None:
    try:
        os.rename(name, new, src_dir_fd=folder, dst_dir_fd=top)
    except PermissionError:
        _permit(folder, name)  # its own mode counts: ".." in it is written
        os.rename(name, new, src_dir_fd=folder, dst_dir_fd=top)


def _permit(folder: int, name: str) -> None:
    """Take away what keeps the owner, or root, from removing it: modes of the two directories, and
    its immutable or append-only flag (of the folder it has gone already: this came to it first)."""
    if os.geteuid() != 0:
        os.fchmod(folder, 0o700)
    entry = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        mode = os.fstat(entry).st_mode
        itself = f"/proc/self/fd/{entry}"
        # Never a device or a fifo: to open one has effects.
        if S_ISDIR(mode) or S_ISREG(mode):
            try:
                opened = os.open(itself, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except PermissionError:
                opened = -1  # who may not open it could not have set a flag either
            if opened >= 0:
                _clear_flags(opened)
                os.close(opened)
        if S_ISDIR(mode):
            os.chmod(itself, 0o700)
    finally:
        os.close(entry)


def _clear_flags(fd: int) -> None:
    try:
        flags = int.from_bytes(fcntl.ioctl(fd, FS_IOC_GETFLAGS, bytes(8))[:4], sys.byteorder)
        if flags & (FS_IMMUTABLE_FL | FS_APPEND_FL):
            flags &= ~(FS_IMMUTABLE_FL | FS_APPEND_FL)
            fcntl.ioctl(fd, FS_IOC_SETFLAGS, flags.to_bytes(8, sys.byteorder))
    except OSError:
        return  # a file system without such flags; or the removal itself will say what is wrong


def _in_user_namespace(folder: int, name: str, maps: Config) -> None:
    """As root over the ids that the container had: a child makes a user namespace, we map them."""
    from pyrun import idmaps

    ready, tell = os.pipe()
    proceed, release = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(release)
            made = lib.pyrun_unshare(CLONE_NEWUSER) == 0
            if made and os.write(tell, b"0") and os.read(proceed, 1):
                _remove(folder, name)
                code = 0
        finally:
            os._exit(code)
    os.close(tell)
    try:
        if os.read(ready, 1):
            idmaps.write_maps(pid, maps, privileged=False)
            os.write(release, b"0")
    finally:
        for fd in (ready, proceed, release):
            os.close(fd)
        _, status = os.waitpid(pid, 0)
    if status:
        raise Error(
            "the container's own layer can't be removed: no user namespace, or files of an id that"
            " linux.uidMappings has not"
        )
