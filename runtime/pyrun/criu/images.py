# SPDX-License-Identifier: Apache-2.0
"""The directories of a checkpoint: its images, what CRIU works with and logs to, and a file of our
own beside the images, with what `restore` has to know of the container that was.

The images are as trustworthy as config.json: whoever writes them chooses what runs, and as whom.
"""

from __future__ import annotations

import os
import re
import stat
from typing import Any

from pyrun import jsonscan
from pyrun.errors import Error, from_os

DEFAULT = "checkpoint"  # --image-path, in the current directory
DESCRIPTORS = "descriptors.json"  # runc's name, and its form: what 0, 1 and 2 were
OURS = "pyrun.json"
PARENT = "parent"  # CRIU's link to the images that these are based on
DEEPEST = 100  # of those
# The names by which CRIU knows descriptors: numbers of the kernel, nothing that anybody chose.
DESCRIPTOR = re.compile(r"((pipe|socket):\[\d+\]|(file|tty)\[[0-9a-f]+:[0-9a-f]+\])\Z")


class Directory:
    """One directory, held open."""

    def __init__(self, path: str, *, make: bool, flag: str) -> None:
        """Open it; with `make`, it is made if it isn't there. Raises Error that names the flag."""
        self.path = os.path.abspath(path)
        try:
            if make:
                os.makedirs(self.path, 0o700, exist_ok=True)
            self.fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise from_os(error, f"{flag} {self.path}") from None

    def write(self, name: str, value: Any) -> None:
        """Put a JSON file there. Raises Error."""
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(name, flags, 0o600, dir_fd=self.fd)
            with open(fd, "w", encoding="utf-8") as file:
                file.write(jsonscan.dumps(value))
        except OSError as error:
            raise from_os(error, f"write {self.path}/{name}") from None

    def read(self, name: str) -> Any:
        """A JSON file of there; None if there is none. Raises Error."""
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            fd = os.open(name, flags, dir_fd=self.fd)
            with open(fd, "rb") as file:
                data = file.read(jsonscan.SIZE_LIMIT + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise from_os(error, f"read {self.path}/{name}") from None
        return jsonscan.loads(data, f"{self.path}/{name}")

    def remove(self, name: str) -> None:
        """What is left of an earlier time. Raises Error."""
        try:
            os.unlink(name, dir_fd=self.fd)
        except FileNotFoundError:
            return
        except OSError as error:
            raise from_os(error, f"remove {self.path}/{name}") from None


def open_pair(opts: dict[str, Any], *, make: bool) -> tuple[Directory, Directory]:
    """The images' directory and the work directory (the same by default), which is always made if
    it isn't there: engines pass one that is not. Raises Error."""
    images = Directory(opts["image_path"] or DEFAULT, make=make, flag="--image-path")
    if not opts["work_path"]:
        return images, images
    return images, Directory(opts["work_path"], make=True, flag="--work-path")


def read_descriptors(images: Directory) -> list[str]:
    """What 0, 1 and 2 of the container were, "" for what is of its own. Raises Error."""
    found = images.read(DESCRIPTORS)
    if found is None:
        return ["", "", ""]
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise Error(f"{images.path}/{DESCRIPTORS}: damaged: not a list of names")
    return [name if DESCRIPTOR.match(name) else "" for name in found[:3]]


def let_read(images: Directory, gid: int) -> None:
    """Let a group read the images, and those that they are based on: in a user namespace CRIU opens
    them as its root, whom the host does not know otherwise. Raises Error.
    """
    path = images.path
    for _ in range(DEEPEST):
        try:
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                _let_read(folder, gid)
                for name in os.listdir(folder):
                    if name.endswith(".img"):
                        _let_read_file(folder, name, gid)
            finally:
                os.close(folder)
        except OSError as error:
            raise from_os(error, f"let the container's root read {path}") from None
        path = os.path.join(path, PARENT)
        if not os.path.islink(path):
            return


def _let_read_file(folder: int, name: str, gid: int) -> None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(name, flags, dir_fd=folder)
    try:
        _let_read(fd, gid)
    finally:
        os.close(fd)


def _let_read(fd: int, gid: int) -> None:
    mode = os.fstat(fd).st_mode
    search = 0o010 if stat.S_ISDIR(mode) else 0
    os.fchown(fd, -1, gid)
    os.fchmod(fd, mode & 0o7707 | 0o040 | search)
