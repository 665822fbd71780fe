# SPDX-License-Identifier: Apache-2.0
"""Setting the id maps of a mount, on behalf of the executor. Loaded for containers that have such
mounts."""

from __future__ import annotations

import errno
import os

from pyrun import idmaps, init, launch, sync
from pyrun.compile import mount_maps, mount_options
from pyrun.errors import Error, from_os
from pyrun.linux import CLONE_NEWUSER, MOUNT_ATTR_IDMAP, SIGNALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Step

HINTS = {
    errno.EINVAL: "its file system, or one below it, can't be id-mapped on this kernel (tmpfs can"
    " since Linux 6.3), or has the same maps itself",
    errno.EPERM: "it is id-mapped already, or the caller has no rights over its file system",
}


def set_next(steps: list[Step], config: Config, done: int, mount_fd: int) -> int:
    """The next mount of a plan, of which so many are done, shown by the executor: its descriptor
    is closed. How many are done then. Raises Error."""
    asked = [
        pointer for pointer, op in steps if op[0] == "sync_send" and op[1][0] == sync.MOUNT_MAP
    ]
    try:
        set_maps(config, int(asked[done].split("/")[2]), mount_fd)
    finally:
        os.close(mount_fd)
    return done + 1


def set_maps(config: Config, index: int, mount_fd: int) -> None:
    """MOUNT_ATTR_IDMAP of mount_setattr(2) on mounts[index], which is attached nowhere yet.
    Raises Error."""
    mount, pointer = config["mounts"][index], f"/mounts/{index}"
    rare = mount_options.parse(mount, pointer)["rare"]
    maps = mount_maps.wanted(mount, rare, pointer, config)
    namespace = _open(maps["path"]) if "path" in maps else _make(maps, pointer)
    try:
        flags = mount_maps.flags(rare)
        launch.mount_setattr(mount_fd, flags, MOUNT_ATTR_IDMAP, 0, 0, namespace)
    except OSError as error:
        doing = f"id-map the mount at {mount['destination']}"
        hint = HINTS.get(error.errno or 0, "")
        raise from_os(error, doing, f"{pointer}/options", hint) from None
    finally:
        os.close(namespace)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise from_os(error, f"open {path}", "/linux/namespaces") from None


def _make(maps: Config, pointer: str) -> int:
    """A user namespace with these maps. The process in it, an executor that gets no plan, ends
    here; should we die before, it ends at once too."""
    child = launch.spawn("pyrun:idmap", CLONE_NEWUSER, -1, 0, privileged=True)
    try:
        idmaps.write_maps(child.pid, {"linux": maps}, privileged=True)
        return _open(f"/proc/{child.pid}/ns/user")
    except Error as error:
        error.pointer = pointer
        raise
    finally:
        init.signal(child.pidfd, SIGNALS["KILL"])
        os.waitpid(child.pid, 0)
        os.close(child.pidfd)
        os.close(child.socket)
