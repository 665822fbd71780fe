# SPDX-License-Identifier: Apache-2.0
"""idmap and ridmap: where the maps come from, and that nobody sees the mount before it has them."""

from __future__ import annotations

from typing import Any

import pytest

from pyrun.compile import mount_maps, mount_options
from pyrun.compile import mounts as rules
from pyrun.errors import Error
from pyrun.linux import AT_RECURSIVE
from unit.compile.rules import Config, bind, listed, mounts, told


def ids(*extents: tuple[int, int, int]) -> list[dict[str, int]]:
    return [{"containerID": a, "hostID": b, "size": c} for a, b, c in extents]


MAPS = {"uidMappings": ids((0, 1000, 10)), "gidMappings": ids((0, 2000, 20))}
OWN = {"uidMappings": ids((0, 100000, 10), (10, 500, 100)), "gidMappings": ids((0, 100000, 10))}


def wanted(option: str, maps: Config | None = None, *kinds: str, **linux: Any) -> Config:
    mount = {**bind("/m", "/src", "bind", *([option] if option else [])), **(maps or {})}
    rare = mount_options.parse(mount, "/mounts/0")["rare"]
    config = mounts(mount, kinds=("mount", *kinds), **linux)
    return mount_maps.wanted(mount, rare, "/mounts/0", config)


@pytest.mark.parametrize("option", ["", "idmap", "ridmap"])
def test_the_mount_s_own(option: str) -> None:
    assert wanted(option, MAPS) == MAPS
    assert wanted(option, MAPS, "user", **OWN) == MAPS


def test_those_of_the_container() -> None:
    assert wanted("idmap", None, "user", **OWN) == OWN
    assert wanted("ridmap", None, "user@/u") == {"path": "/u"}


INLINE = [
    ("uids=0-5-1;gids=0-6-2", ids((0, 5, 1)), ids((0, 6, 2))),
    ("gids=0-6-2;uids=0-5-1#1-9-3", ids((0, 5, 1), (1, 9, 3)), ids((0, 6, 2))),
    ("uids=@1-3-4;gids=7-1-1", ids((1, 100003, 4)), ids((7, 1, 1))),
    # a range that the container has in pieces
    ("uids=@0-8-4;gids=@0-0-1#5-5-1", ids((0, 100008, 2), (2, 500, 2)),
     ids((0, 100000, 1), (5, 5, 1))),
]  # fmt: skip


@pytest.mark.parametrize("word", ["idmap", "ridmap"])
@pytest.mark.parametrize(("text", "uids", "gids"), INLINE)
def test_inline(word: str, text: str, uids: Any, gids: Any) -> None:
    found = wanted(f"{word}={text}", None, "user", **OWN)
    assert found == {"uidMappings": uids, "gidMappings": gids}


REFUSED = [
    ("idmap", {}, "which has none"),
    ("idmap=uids=0-1-1;gids=0-1-1", MAPS, "has id maps of its own"),
    ("idmap=uids=0-1-1", {}, "gidMappings is required beside uidMappings"),
    ("idmap=uids=0-1;gids=0-1-1", {}, "not a list of id maps"),
    ("idmap=uids=0-1-x;gids=0-1-1", {}, "not a list of id maps"),
    ("idmap=users=0-1-1;gids=0-1-1", {}, "not a list of id maps"),
    ("idmap=uids=0-1-1;uids=0-1-1", {}, "not a list of id maps"),
    ("idmap=uids=0-1-0;gids=0-1-1", {}, "must be at least 1"),
    ("idmap=uids=0-1-2#1-7-1;gids=0-1-1", {}, "overlaps"),
    ("idmap=uids=@0-1-1;gids=0-1-1", {}, "linux.uidMappings does not map 1 to 1"),
]


@pytest.mark.parametrize(("option", "maps", "words"), REFUSED)
def test_refused(option: str, maps: Config, words: str) -> None:
    with pytest.raises(Error, match=words) as caught:
        wanted(option, maps)
    assert caught.value.pointer == "/mounts/0/options"


def test_a_range_that_the_container_lacks() -> None:
    with pytest.raises(Error, match=r"linux\.gidMappings does not map 5 to 14"):
        wanted("idmap=uids=0-1-1;gids=@0-5-10", None, "user", **OWN)


SEND = "mounts[0].options: sync_send(the id maps of a mount, {tree})"


def test_before_it_has_its_place() -> None:
    mount = {**bind("/m", "/src", "rbind", "ridmap", "ro"), **MAPS}
    assert told(rules.mount_all, mounts(mount)) == listed(
        f"""mounts[0].source: open_tree(host, "/src", AT_RECURSIVE) = tree
        mounts[0].options: mount_setattr(tree, 0, MOUNT_ATTR_RDONLY, 0, 0)
        {SEND.format(tree="tree")}
        mounts[0]: make_in_root(root, "/m", S_IFDIR|0755, 0) = target
        mounts[0]: move_mount(tree, target)"""
    )


@pytest.mark.parametrize("kinds", [("mount",), ("user", "mount")])
def test_other_file_systems(kinds: tuple[str, ...]) -> None:
    """After what is copied into it, by the ids of the file system."""
    mount = {"destination": "/m", "type": "tmpfs", "options": ["idmap", "tmpcopyup"], **MAPS}
    lines = told(rules.mount_all, mounts(mount, kinds=kinds))
    assert lines[-3:] == [
        "mounts[0].options: close_slot(covered)",
        SEND.format(tree="tree"),
        "mounts[0]: move_mount(tree, target)",
    ]


def test_not_without_privileges() -> None:
    mount = {**bind("/m", "/src", "bind", "idmap"), **MAPS}
    with pytest.raises(Error, match="need privileges"):
        told(rules.mount_all, mounts(mount, kinds=("user", "mount")), privileged=False)


@pytest.mark.parametrize(("option", "flags"), [("idmap", 0), ("ridmap", AT_RECURSIVE), ("", 0)])
def test_depth(option: str, flags: int) -> None:
    mount = {**bind("/m", "/src", "rbind", option), **MAPS}
    assert mount_maps.flags(mount_options.parse(mount, "/mounts/0")["rare"]) == flags
