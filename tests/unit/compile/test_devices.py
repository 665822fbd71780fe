# SPDX-License-Identifier: Apache-2.0
"""/dev: the nodes and links that every container has, and linux.devices."""

from __future__ import annotations

import os
from typing import Any

import pytest

from pyrun.compile import devices
from pyrun.compile import mounts as mount_rules
from unit.compile.rules import Config, bind, listed, mounts, spaces, told

FUSE = {"type": "c", "path": "/dev/fuse", "major": 10, "minor": 229}
DEV = {"destination": "/dev", "type": "tmpfs", "options": ["mode=755"]}
LINKS = """linux.devices: symlinkat("/proc/self/fd", {0}, "fd"), or EEXIST
linux.devices: symlinkat("/proc/self/fd/0", {0}, "stdin"), or EEXIST
linux.devices: symlinkat("/proc/self/fd/1", {0}, "stdout"), or EEXIST
linux.devices: symlinkat("/proc/self/fd/2", {0}, "stderr"), or EEXIST
linux.devices: unlinkat({0}, "ptmx"), or ENOENT
linux.devices: symlinkat("pts/ptmx", {0}, "ptmx")"""
NODES = """linux.devices: make_node({0}, "null", S_IFCHR|0666, makedev(1, 3), 0, 0)
linux.devices: make_node({0}, "zero", S_IFCHR|0666, makedev(1, 5), 0, 0)
linux.devices: make_node({0}, "full", S_IFCHR|0666, makedev(1, 7), 0, 0)
linux.devices: make_node({0}, "random", S_IFCHR|0666, makedev(1, 8), 0, 0)
linux.devices: make_node({0}, "urandom", S_IFCHR|0666, makedev(1, 9), 0, 0)
linux.devices: make_node({0}, "tty", S_IFCHR|0666, makedev(5, 0), 0, 0)"""
NAMES = ("null", "zero", "full", "random", "urandom", "tty")
MAKE_DEV = (
    'linux.devices: make_in_root(root, "/dev", S_IFDIR|0755, '
    "RESOLVE_NO_XDEV|RESOLVE_NO_SYMLINKS) = target"
)


def bound(path: str, field: str = "linux.devices", tree: str = "") -> list[str]:
    opened = [] if tree else [f'{field}: open_tree(host, "{path}", 0) = tree']
    return [
        *opened,
        f"{field}: mount_setattr({tree or 'tree'}, 0, 0, 0, MS_PRIVATE)",
        f'{field}: make_in_root(root, "{path}", S_IFREG|0644, 0) = target',
        f"{field}: move_mount({tree or 'tree'}, target)",
    ]


def test_into_the_tmpfs_before_it_is_attached() -> None:
    lines = told(mount_rules.mount_all, mounts(DEV))
    first = lines.index(listed(LINKS.format("tree"))[0])
    assert lines[first : first + 12] == listed(f"{LINKS}\n{NODES}".format("tree"))
    assert lines[first + 12] == "mounts[0]: move_mount(tree, target)"
    assert told(devices.make_all, mounts(DEV)) == []  # nothing is left to do


def test_into_a_dev_of_the_image() -> None:
    config = spaces("mount")
    expected = f"{MAKE_DEV}\n{LINKS}\n{NODES}".format("target")
    assert told(devices.make_all, config) == listed(expected)


@pytest.mark.parametrize(
    "config", [spaces("pid"), mounts(bind("/dev", "/dev")), mounts({**DEV, "type": "devtmpfs"})]
)
def test_a_dev_of_the_host_is_not_ours(config: Config) -> None:
    """Without a mount namespace, bound, or as the one devtmpfs that there is."""
    lines = told(devices.make_all, config) + told(mount_rules.mount_all, config, sources=SOURCES)
    assert not [line for line in lines if line.startswith("linux.devices")]
    assert devices.sources(config) == []


SOURCES = {"/dev": "directory"}


def test_what_is_listed_elsewhere_is_made_beside_a_dev_of_the_host() -> None:
    paths = ("/srv/x", "/dev/fuse", "//x/../dev/y")
    config = mounts(bind("/dev", "/dev"), devices=[{**FUSE, "path": path} for path in paths])
    assert [path for path, _ in devices.sources(config)] == ["/srv/x"]
    place, made = told(devices.make_all, config, sources=SOURCES)
    assert (
        place
        == 'linux.devices[0]: make_in_root(root, "/srv", S_IFDIR|0755, RESOLVE_NO_XDEV) = target'
    )
    assert made.startswith('linux.devices[0]: make_node(target, "x", ')
    place = told(devices.make_all, config, sources=SOURCES, binds_devices=True)[2]
    assert 'make_in_root(root, "/srv/x", S_IFREG|0644, RESOLVE_NO_XDEV)' in place


@pytest.mark.parametrize("where", ["/dev/", "dev", "//dev", "/x/../dev/."])
def test_dev_by_its_normal_form(where: str) -> None:
    assert told(devices.make_all, mounts({**DEV, "destination": where})) == []


def test_kcore() -> None:
    lines = told(devices.make_all, spaces("mount"), has_kcore=True)
    assert 'linux.devices: symlinkat("/proc/kcore", target, "core"), or EEXIST' in lines


def test_in_a_user_namespace_nodes_are_bound() -> None:
    """mknod(2) is not for it. Without privileges, by the executor..."""
    config = mounts(DEV, kinds=("mount", "user"), devices=[FUSE])
    found = told(devices.make_all, config, privileged=False, binds_devices=True)
    expected = [line for name in NAMES for line in bound(f"/dev/{name}")]
    assert found == expected + bound("/dev/fuse", "linux.devices[0]")


def test_in_a_user_namespace_the_runtime_opens_the_nodes() -> None:
    """...with them, by the runtime: one donation a use."""
    config = mounts(DEV, kinds=("mount", "user"), devices=[FUSE, {**FUSE, "path": "/dev/ptmx"}])
    sources = devices.sources(config)
    assert sources == [
        *((f"/dev/{name}", "/linux/devices") for name in NAMES),
        ("/dev/fuse", "/linux/devices/0"),
    ]
    found = told(devices.make_all, config, binds_devices=True, device_sources=sources)
    expected = [line for name in NAMES for line in bound(f"/dev/{name}", tree=f"tree[/dev/{name}]")]
    assert found == expected + bound("/dev/fuse", "linux.devices[0]", "tree[/dev/fuse]")


def node(**members: Any) -> list[str]:
    config = mounts(DEV, devices=[{**FUSE, **members}])
    return told(devices.make_all, config)


PLACE = 'linux.devices[0]: make_in_root(root, "{}", S_IFDIR|0755, 0) = target'
MADE = "linux.devices[0]: make_node(target, "


@pytest.mark.parametrize(
    ("members", "folder", "made"),
    [
        ({}, "/dev", '"fuse", S_IFCHR|0666, makedev(10, 229), 0, 0)'),
        ({"type": "u"}, "/dev", '"fuse", S_IFCHR|0666, makedev(10, 229), 0, 0)'),
        ({"type": "b", "major": 259}, "/dev", '"fuse", S_IFBLK|0666, makedev(259, 229), 0, 0)'),
        ({"path": "/x"}, "/", '"x", S_IFCHR|0666, makedev(10, 229), 0, 0)'),
        ({"path": "/a/b/c/"}, "/a/b", '"c", S_IFCHR|0666, makedev(10, 229), 0, 0)'),
        ({"fileMode": 0o600}, "/dev", '"fuse", S_IFCHR|0600, makedev(10, 229), 0, 0)'),
        ({"fileMode": 0}, "/dev", '"fuse", S_IFCHR|0, makedev(10, 229), 0, 0)'),
        # engines pass st_mode as it is: the type is in `type`
        ({"fileMode": 0o60640}, "/dev", '"fuse", S_IFCHR|0640, makedev(10, 229), 0, 0)'),
        ({"uid": 3, "gid": 4}, "/dev", '"fuse", S_IFCHR|0666, makedev(10, 229), 3, 4)'),
        # a pipe has no numbers, whatever the config says
        ({"type": "p", "major": -1}, "/dev", '"fuse", S_IFIFO|0666, makedev(0, 0), 0, 0)'),
    ],
)
def test_listed(members: Config, folder: str, made: str) -> None:
    assert node(**members) == [PLACE.format(folder), MADE + made]


def test_a_pipe_is_made_in_a_user_namespace_too() -> None:
    config = mounts(DEV, kinds=("mount", "user"), devices=[{"type": "p", "path": "/dev/pipe"}])
    found = told(devices.make_all, config, privileged=False, binds_devices=True)
    assert found[-1] == MADE + '"pipe", S_IFIFO|0666, makedev(0, 0), 0, 0)'


def test_ptmx_stays_a_link_and_a_listed_default_is_made_once() -> None:
    null = {"type": "c", "path": "/dev/null", "major": 1, "minor": 3, "fileMode": 0o600}
    config = mounts(DEV, devices=[{**FUSE, "path": "/dev/ptmx"}, null])
    lines = told(mount_rules.mount_all, config) + told(devices.make_all, config)
    assert not [line for line in lines if "makedev(10, 229)" in line]
    assert [line for line in lines if '"null"' in line] == [
        'linux.devices[1]: make_node(target, "null", S_IFCHR|0600, makedev(1, 3), 0, 0)'
    ]


@pytest.mark.parametrize("major", [0, 1, 255, 256, 4095])
@pytest.mark.parametrize("minor", [0, 3, 255, 256, 1048575])
def test_makedev(major: int, minor: int) -> None:
    assert devices.makedev(major, minor) == os.makedev(major, minor)
