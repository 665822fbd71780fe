# SPDX-License-Identifier: Apache-2.0
"""The names of mounts between the config of a dump and that of its restore."""

from __future__ import annotations

from pyrun.criu.externals import External, destinations, named_as

NULL = External("null", "/dev/null", "")
DEVICE = External("device-0", "/dev/zero", "/a")


def mount(index: int, path: str, destination: str) -> External:
    return External(f"{index}", path, destination)


def test_what_is_told_of_a_dump() -> None:
    assert destinations([mount(3, "/x", "/a"), DEVICE, NULL]) == {"3": "/a", "device-0": "/a"}


def test_another_order() -> None:
    now = [mount(0, "/x", "/a"), mount(1, "/y", "/b"), NULL, DEVICE]
    names = {"5": "/b", "7": "/a", "device-2": "/a"}
    assert named_as(now, names) == [
        mount(7, "/x", "/a"),
        mount(5, "/y", "/b"),
        NULL,
        DEVICE._replace(name="device-2"),
    ]


def test_several_at_one_place_keep_their_order() -> None:
    now = [mount(4, "/x", "/a"), mount(6, "/y", "/a")]
    assert named_as(now, {"1": "/a", "2": "/a"}) == [mount(1, "/x", "/a"), mount(2, "/y", "/a")]


def test_what_was_not_there_takes_nobodys_name() -> None:
    """Its index may be that of another mount by then."""
    assert named_as([mount(1, "/new", "/n"), NULL], {"1": "/a"}) == [NULL]


def test_images_can_rename_nothing_else() -> None:
    names = {"null": "/a", "cgroup-memory": "/a", "1.5": "/a"}
    assert named_as([mount(1, "/x", "/a"), NULL], names) == [NULL]
