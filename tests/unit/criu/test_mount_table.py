# SPDX-License-Identifier: Apache-2.0
"""Mounts as the kernel lists them, and what of a container's is the host's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyrun.criu import externals, mount_table
from pyrun.criu.externals import External
from pyrun.criu.mount_table import Mount
from pyrun.errors import Error

INFO = r"""
20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda rw
21 20 0:30 / /srv/with\040space rw - tmpfs none rw,size=4k
22 20 8:1 /a\012b /mnt/x ro,nosuid master:3 propagate_from:2 - ext4 /dev/sda rw
23 20 0:31 / /sys/fs/cgroup/memory rw - cgroup none rw,memory
24 20 0:32 / /dev rw - tmpfs
"""


def mounted(device: str, root: str, point: str) -> Mount:
    """A line of a container's table."""
    return Mount(50, 40, device, root, point, ("rw",), "ext4", ("rw",))


def test_parse() -> None:
    found = mount_table.parse(INFO)
    assert [mount.point for mount in found][:2] == ["/", "/srv/with space"]
    assert found[2].root == "/a\nb"
    assert found[2].options == ("ro", "nosuid")
    assert found[3].kind == "cgroup"
    assert found[3].data == ("rw", "memory")
    assert found[4].identity == ("0:32", "/")


def test_parse_ends_lines_where_the_kernel_does() -> None:
    """Other line ends, which it does not escape, are parts of names."""
    (mount,) = mount_table.parse("20 1 8:1 /a\x0bb\u2028c /d\x85e rw - ext4 none rw\n")
    assert mount.root == "/a\x0bb\u2028c"
    assert mount.point == "/d\x85e"


@pytest.mark.parametrize(
    ("path", "top", "expected"),
    [
        ("/a/b", "/a", "b"),
        ("/a", "/a", ""),
        ("/a", "/", "a"),
        ("/", "/", ""),
        ("/ab", "/a", None),
        ("/", "/a", None),
    ],
)
def test_below(path: str, top: str, expected: str | None) -> None:
    assert mount_table.below(path, top) == expected


def test_identity(tmp_path: Path) -> None:
    """What a path shows, whatever links lead to it."""
    (tmp_path / "link").symlink_to(tmp_path)
    ours = mount_table.of("self")
    found = mount_table.identity(str(tmp_path), ours)
    assert found
    device = os.stat(tmp_path).st_dev
    assert found[0] == f"{os.major(device)}:{os.minor(device)}" or found[0]  # btrfs has others
    assert mount_table.identity(str(tmp_path / "link"), ours) == found
    assert mount_table.identity(str(tmp_path / "missing"), ours) is None


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[str, str]]:
    """What paths of the host show."""
    shown = {"/one": ("8:1", "/one"), "/two": ("8:1", "/two"), "/dev/null": ("0:6", "/null")}
    monkeypatch.setattr(mount_table, "identity", lambda path, _ours: shown.get(path))
    return shown


ONE, TWO = External("0", "/one", "/a"), External("1", "/two", "/b")


def test_names_go_by_what_is_shown(host: dict[str, tuple[str, str]]) -> None:
    """Not by where it is: a container has moved things, or a link led elsewhere."""
    table = [
        mounted("8:1", "/root", "/"),
        mounted("8:1", "/two", "/a"),
        mounted("8:1", "/one", "/elsewhere"),
        mounted("0:99", "/one", "/b"),
    ]
    found = externals.name_mounts(table, [ONE, TWO], [])
    assert found == [("/a", "1"), ("/elsewhere", "0")]


def test_the_same_source_twice(host: dict[str, tuple[str, str]]) -> None:
    again = External("2", "/one", "/c")
    table = [mounted("8:1", "/one", "/c"), mounted("8:1", "/one", "/other")]
    assert externals.name_mounts(table, [ONE, again], []) == [("/c", "2"), ("/other", "0")]


def test_the_root_is_no_external(host: dict[str, tuple[str, str]]) -> None:
    assert externals.name_mounts([mounted("8:1", "/one", "/")], [ONE], []) == []


@pytest.mark.parametrize("name", ["/x]:y", "/x\ny", "/\udcff"])
def test_names_that_criu_would_misread(host: dict[str, tuple[str, str]], name: str) -> None:
    with pytest.raises(Error, match="can't be told to criu"):
        externals.name_mounts([mounted("8:1", "/one", name)], [ONE], [])


def test_names_are_indices() -> None:
    """Of all that a config can mount from the host."""
    mounts = [
        {"destination": "/proc", "type": "proc"},
        {"destination": "/x]:y", "type": "bind", "source": "/one", "options": ["bind"]},
        {"destination": "/link", "source": "below", "options": ["rbind"]},
    ]
    config = {"mounts": mounts, "linux": {"namespaces": [{"type": "mount"}]}}
    facts = {"bundle": "/bundle", "links": {}, "binds_devices": True}
    found = externals.of_config(config, facts, "/run/pyrun/id")
    assert [(e.name, e.path) for e in found if e.name[0].isdigit()] == [
        ("1", "/one"),
        ("2", "/bundle/below"),
    ]
    names = [e.name for e in found]
    assert names == ["1", "2", *[f"device-{n}" for n in range(6)], "null", "notify"]


def test_nested_mounts_stay_below_their_source() -> None:
    found = externals.with_nested([ONE], {"0.0": "below", "7.0": "x", "0.1": "deep/er"})
    assert [(e.name, e.path) for e in found[1:]] == [("0.0", "/one/below"), ("0.1", "/one/deep/er")]
