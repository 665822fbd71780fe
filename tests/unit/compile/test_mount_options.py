# SPDX-License-Identifier: Apache-2.0
"""The words of mounts[].options: what each does, which wins, which are refused."""

from __future__ import annotations

from typing import Any

import pytest

from pyrun.compile import mount_options
from pyrun.errors import Error
from pyrun.linux import (
    MOUNT_ATTR__ATIME,
    MOUNT_ATTR_NOATIME,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW,
    MOUNT_ATTR_RDONLY,
    MOUNT_ATTR_STRICTATIME,
)

ATTRIBUTES = [
    ("", 0, 0),
    ("defaults", 0, 0),
    ("ro", MOUNT_ATTR_RDONLY, 0),
    ("rw", 0, MOUNT_ATTR_RDONLY),
    ("nosuid", MOUNT_ATTR_NOSUID, 0),
    ("suid", 0, MOUNT_ATTR_NOSUID),
    ("nodev", MOUNT_ATTR_NODEV, 0),
    ("dev", 0, MOUNT_ATTR_NODEV),
    ("noexec", MOUNT_ATTR_NOEXEC, 0),
    ("exec", 0, MOUNT_ATTR_NOEXEC),
    ("nodiratime", MOUNT_ATTR_NODIRATIME, 0),
    ("diratime", 0, MOUNT_ATTR_NODIRATIME),
    # access times are one field of three bits: mount_setattr(2) wants it cleared whole
    ("relatime", 0, MOUNT_ATTR__ATIME),
    ("noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME),
    ("strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME),
    ("norelatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME),
    ("atime", 0, MOUNT_ATTR__ATIME),
    ("nostrictatime", 0, MOUNT_ATTR__ATIME),
    ("nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0),
    ("symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW),
    # the last word wins, about each thing
    ("ro rw", 0, MOUNT_ATTR_RDONLY),
    ("rw ro", MOUNT_ATTR_RDONLY, 0),
    ("nosuid ro suid", MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID),
    ("noatime strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME),
    ("strictatime relatime", 0, MOUNT_ATTR__ATIME),
]


def parsed(words: str, **mount: Any) -> dict[str, Any]:
    return mount_options.parse({"options": words.split(), **mount}, "/mounts/0")


@pytest.mark.parametrize(("words", "attr_set", "attr_clr"), ATTRIBUTES)
def test_attributes(words: str, attr_set: int, attr_clr: int) -> None:
    nothing = {"propagation": [], "data": [], "rare": {}}
    assert parsed(words) == {"set": attr_set, "clear": attr_clr, "recursive": (0, 0), **nothing}


@pytest.mark.parametrize(("words", "attr_set", "attr_clr"), ATTRIBUTES)
def test_recursive_attributes(words: str, attr_set: int, attr_clr: int) -> None:
    recursive = [f"r{word}" for word in words.split() if word != "defaults"]
    found = parsed(" ".join(["nodev", "rbind", *recursive]))
    assert found["recursive"] == (attr_set, attr_clr)
    assert (found["set"], found["clear"], found["data"]) == (MOUNT_ATTR_NODEV, 0, [])


@pytest.mark.parametrize("word", mount_options.ATTRIBUTES)
def test_recursive_attributes_are_for_bind_mounts(word: str) -> None:
    with pytest.raises(Error, match=f"'r{word}' is for bind mounts") as caught:
        parsed(f"ro r{word}")
    assert caught.value.pointer == "/mounts/0/options/1"


def test_known() -> None:
    """Those of the table in config.md, and crun's; none of them reaches a file system unawares."""
    known = mount_options.KNOWN
    assert known == sorted(set(known))
    assert {"rbind", "rro", "rnosymfollow", "lazytime", "rsync", "rslave", "loud"} <= {*known}
    assert not {"rasync", "rprivate=1", "", "size"} & {*known}
    for word in known:
        assert {key for key, _ in parsed(f"rbind {word}")["data"]} == set()


def test_every_attribute_is_in_the_table() -> None:
    rows = {words for words, _, _ in ATTRIBUTES}
    assert not mount_options.ATTRIBUTES.keys() - rows


DATA = [
    ("size=64k", [("size", "64k")]),
    ("a=b=c", [("a", "b=c")]),
    ("newinstance", [("newinstance", None)]),
    ("mode=", [("mode", "")]),
    ("size=1 size=2", [("size", "1"), ("size", "2")]),  # the file system decides
    ("sync", [("sync", None)]),
    ("lazytime mand dirsync", [("lazytime", None), ("mand", None), ("dirsync", None)]),
    ("async nolazytime iversion noiversion silent loud nomand", []),
    ("sync async dirsync", [("dirsync", None)]),  # the last word wins
    ("lazytime mand size=1 nomand nolazytime", [("size", "1")]),
    ("async sync", [("sync", None)]),
    ("rsync rdirsync rmand", []),
    ("ro size=1", [("size", "1")]),
    ("ro=1", [("ro", "1")]),  # not the flag
]


@pytest.mark.parametrize(("words", "expected"), DATA)
def test_data(words: str, expected: list[tuple[str, str | None]]) -> None:
    assert parsed(words)["data"] == expected


@pytest.mark.parametrize("word", ["size=64k", "nosiud", "newinstance", "ro=1", "mode="])
def test_a_bind_mount_has_no_file_system_to_tell(word: str) -> None:
    with pytest.raises(Error, match=f"'{word}' means nothing on a bind mount") as caught:
        parsed(f"bind ro {word}")
    assert caught.value.pointer == "/mounts/0/options/2"


@pytest.mark.parametrize("word", [*mount_options.FLAGS, *mount_options.DEFAULTS, "", "defaults"])
def test_flags_of_a_file_system_on_a_bind_mount(word: str) -> None:
    assert parsed(f"bind {word}")["data"] == []


@pytest.mark.parametrize("word", mount_options.PROPAGATION)
def test_propagation(word: str) -> None:
    found = parsed(word)
    assert found["propagation"] == [mount_options.PROPAGATION[word]]
    assert found["data"] == []


def test_propagation_keeps_the_order() -> None:
    table = mount_options.PROPAGATION
    words = "rslave shared private"
    assert parsed(words)["propagation"] == [table[word] for word in words.split()]


@pytest.mark.parametrize("word", mount_options.RARE)
def test_rare(word: str) -> None:
    """They are sorted out, and nothing of them reaches a file system."""
    assert parsed(f"ro {word}")["rare"] == {word: ""}
    assert parsed(f"ro {word}")["data"] == []
    takes_value = word in mount_options.MAPPED
    found = parsed(f"{word}=x")
    assert found["rare"] == ({word: "x"} if takes_value else {})
    assert found["data"] == ([] if takes_value else [(word, "x")])


@pytest.mark.parametrize(
    ("options", "bind", "depth"),
    [
        (None, False, ""),
        ([], False, ""),
        (["ro"], False, ""),
        (["bind"], True, ""),
        (["ro", "rbind"], True, "recursive"),
        (["bind", "rbind"], True, "recursive"),
        (["bind", "remount"], False, ""),
        (["bind", "src-nofollow"], True, "nofollow"),
        (["rbind", "copy-symlink"], True, "recursive nofollow"),
    ],
)
def test_bind_mounts(options: list[str] | None, bind: bool, depth: str) -> None:
    mount = {} if options is None else {"options": options}
    assert mount_options.is_bind(mount) is bind
    assert mount_options.depth(mount) == depth


@pytest.mark.parametrize(
    ("mount", "expected"),
    [
        ({"options": ["remount"]}, True),
        ({"type": "tmpfs", "options": ["remount", "ro"]}, True),
        ({"options": ["rshared"]}, True),
        ({"type": "none", "options": ["slave"]}, True),
        ({"type": "none", "options": ["rbind", "slave"]}, False),
        ({"type": "tmpfs", "options": ["shared"]}, False),
        ({"options": []}, False),
        ({}, False),
    ],
)
def test_on_existing(mount: dict[str, Any], expected: bool) -> None:
    assert mount_options.on_existing(mount) is expected


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        ("/a", "/a"),
        ("a/b", "/a/b"),
        ("//a///b/", "/a/b"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/../../b", "/b"),
        ("/", "/"),
        ("", "/"),
        ("..", "/"),
        ("/a/...", "/a/..."),
    ],
)
def test_destination(path: str, normal: str) -> None:
    assert mount_options.destination({"destination": path}) == normal


def test_source() -> None:
    facts = {"bundle": "/bundle"}
    assert mount_options.source({"source": "/a"}, facts) == "/a"
    assert mount_options.source({"source": "a/b"}, facts) == "/bundle/a/b"
