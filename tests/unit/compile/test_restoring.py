# SPDX-License-Identifier: Apache-2.0
"""What the executor does around CRIU."""

from __future__ import annotations

from typing import Any

from pyrun import ops
from pyrun.compile import restoring
from pyrun.compile.slots import HOST, ROOT, TARGET, TREE
from pyrun.linux import AT_RECURSIVE, MOUNT_ATTR_RDONLY, MS_SLAVE, S_IFDIR, S_IFREG

FACTS: dict[str, Any] = {
    "rootfs": "/bundle/rootfs",
    "bundle": "/bundle",
    "links": {},
    "hierarchies": {},
    "sources": {"/bundle/file": "file", "/folder": "directory"},
}
DIRECTORY, FILE = S_IFDIR | 0o755, S_IFREG | 0o644


def points(config: dict[str, Any]) -> list[tuple[str, int]]:
    """The mount points that are made."""
    steps = restoring.place({"root": {}, **config}, FACTS)
    found = [op for _, op in steps if op[0] == "make_in_root"]
    assert all(op[1][0] == ROOT for op in found), "only ever below the rootfs"
    return [(str(op[1][1]), int(str(op[1][2]))) for op in found]


def bind(destination: str, source: str) -> dict[str, Any]:
    """An entry of mounts."""
    return {"destination": destination, "source": source, "options": ["bind"]}


def test_nothing_reaches_the_host() -> None:
    """First of all; so the rootfs is no peer of its own mount on the host. A slave it stays, where
    it was shared: CRIU copies that to the container's root, if that was one."""
    steps = [op for _, op in restoring.place({"root": {}}, FACTS)]
    assert steps[1] == ops.mount_setattr(HOST, AT_RECURSIVE, 0, 0, MS_SLAVE)
    assert steps[2] == ops.open_tree(HOST, FACTS["rootfs"], 0, ROOT)
    assert not any(name == "mount_setattr" for name, *_ in steps[2:])
    assert steps[-2] == ops.move_mount(ROOT, TARGET)


def test_hierarchies() -> None:
    """Where CRIU looks for them, before anything of the image."""
    facts = {**FACTS, "hierarchies": {"/run/pyrun/x/hierarchies/unified": "/sys/fs/cgroup"}}
    steps = [op for _, op in restoring.place({"root": {}}, facts)]
    at = steps.index(ops.open_tree(HOST, "/sys/fs/cgroup", 0, TREE))
    assert steps[at + 1][1][0] == "/run/pyrun/x/hierarchies/unified"
    assert steps[at + 2] == ops.move_mount(TREE, TARGET)


def test_mount_points() -> None:
    mounts = [
        bind("/etc/hosts", "file"),
        bind("/data", "/folder"),
        {"destination": "/proc", "type": "proc"},
    ]
    found = points({"mounts": mounts})
    assert found == [("/etc/hosts", FILE), ("/data", DIRECTORY), ("/proc", DIRECTORY)]


def test_mount_points_in_other_mounts_come_with_them() -> None:
    mounts = [
        {"destination": "/dev", "type": "tmpfs"},
        {"destination": "/dev/shm", "type": "tmpfs"},
        {"destination": "/devices", "type": "tmpfs"},
    ]
    assert points({"mounts": mounts}) == [("/dev", DIRECTORY), ("/devices", DIRECTORY)]


def test_what_is_no_mount_point() -> None:
    mounts = [
        {"destination": "/", "type": "none", "options": ["remount", "ro"]},
        {"destination": "/x", "options": ["rshared"]},
    ]
    assert points({"mounts": mounts}) == []


def test_terminal_and_readonly_root() -> None:
    """/dev/console in a /dev of the image; a place for the old root where none can be made."""
    config = {"process": {"terminal": True}, "root": {"readonly": True}}
    assert points(config) == [("/tmp", DIRECTORY), ("/dev/console", S_IFREG | 0o600)]


def test_readonly_root() -> None:
    """In the container's mount namespace, by descriptor."""
    steps = [op for _, op in restoring.readonly_root({}, {})]
    assert [op[0] for op in steps] == ["setns", "open_host", "mount_setattr"]
    assert steps[-1] == ops.mount_setattr(ROOT, 0, MOUNT_ATTR_RDONLY, 0, 0)
