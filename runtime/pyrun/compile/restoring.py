# SPDX-License-Identifier: Apache-2.0
"""What `restore` lets the executor do around CRIU: the place where CRIU mounts the root, and what
it leaves undone. Loaded for `restore` alone.

CRIU works in a mount namespace of its own, a copy of the host's: nothing that it mounts, and
nothing that we mount for it, is ever seen by the host, whoever is killed when.
"""

from __future__ import annotations

from pyrun import ops, sync
from pyrun.compile import terminal
from pyrun.compile.mount_options import destination, is_bind, on_existing
from pyrun.compile.slots import HOST, ROOT, TARGET, TREE
from pyrun.linux import (
    AT_RECURSIVE,
    CLONE_NEWNET,
    CLONE_NEWNS,
    MOUNT_ATTR_RDONLY,
    MS_SLAVE,
    O_DIRECTORY,
    O_PATH,
    S_IFDIR,
    S_IFREG,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts, Steps

JOINED = 0  # the slot of a namespace of the container


def place(config: Config, facts: Facts) -> Steps:
    """The rootfs as a mount of its own, as CRIU wants it, with the mount points that it may lack by
    now: another rootfs of the same image never had them."""
    pointer = "/root/path"
    yield pointer, ops.open_host("/", O_PATH | O_DIRECTORY, HOST)
    yield pointer, ops.mount_setattr(HOST, AT_RECURSIVE, 0, 0, MS_SLAVE)
    yield pointer, ops.open_tree(HOST, facts["rootfs"], 0, ROOT)
    for directory, point in facts["hierarchies"].items():
        yield "/linux/cgroupsPath", ops.open_tree(HOST, point, 0, TREE)
        yield "/linux/cgroupsPath", ops.open_host(directory, O_PATH | O_DIRECTORY, TARGET)
        yield "/linux/cgroupsPath", ops.move_mount(TREE, TARGET)
    for where, path, mode in _mount_points(config, facts):
        yield where, ops.make_in_root(ROOT, path, mode, 0, TARGET)
    yield pointer, ops.open_host(facts["rootfs"], O_PATH | O_DIRECTORY, TARGET)
    yield pointer, ops.move_mount(ROOT, TARGET)
    yield pointer, ops.sync(sync.READY)


def _mount_points(config: Config, facts: Facts) -> list[tuple[str, str, int]]:
    """(pointer, path, mode) of those that lie in the rootfs itself: what is in another mount comes
    with its content."""
    found = []
    mounted: list[str] = []
    for index, mount in enumerate(config.get("mounts") or []):
        path = destination(mount)
        if on_existing(mount) or path == "/" or path in facts["links"]:
            continue
        if not any(f"{path}/".startswith(f"{other}/") for other in mounted):
            source = mount.get("source") or ""
            source = source if source.startswith("/") else f"{facts['bundle']}/{source}"
            is_file = is_bind(mount) and facts["sources"].get(source) == "file"
            mode = S_IFREG | 0o644 if is_file else S_IFDIR | 0o755
            found.append((f"/mounts/{index}", path, mode))
        mounted.append(path)
    if config["root"].get("readonly"):
        # CRIU puts the old root into /tmp for a moment, or into a directory that it makes.
        found.append(("/root/readonly", "/tmp", S_IFDIR | 0o755))
    if terminal.wanted(config) and "/dev" not in mounted:
        found.append((terminal.POINTER, "/dev/console", S_IFREG | 0o600))
    return found


def readonly_root(config: Config, facts: Facts) -> Steps:
    """In the restored container, before it runs on: CRIU needs a root that it can write to."""
    pointer = "/root/readonly"
    yield pointer, ops.setns(JOINED, CLONE_NEWNS)
    yield pointer, ops.open_host("/", O_PATH | O_DIRECTORY, ROOT)
    yield pointer, ops.mount_setattr(ROOT, 0, MOUNT_ATTR_RDONLY, 0, 0)


def loopback(config: Config, facts: Facts) -> Steps:
    """In the network namespace that CRIU has left empty."""
    pointer = "/linux/namespaces"
    yield pointer, ops.setns(JOINED, CLONE_NEWNET)
    yield pointer, ops.loopback_up()
