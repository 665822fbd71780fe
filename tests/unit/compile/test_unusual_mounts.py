# SPDX-License-Identifier: Apache-2.0
"""Options that few mounts have: tmpcopyup, links that are not followed, what changes a mount."""

from __future__ import annotations

from typing import Any

import pytest

from pyrun.compile import mounts as rules
from pyrun.compile import rootfs
from pyrun.compile.donations import donations
from pyrun.errors import Error
from unit.compile.rules import FACTS, Config, bind, listed, mounts, told

LINKS = {"/link": "goal", "/dangling": "/no/where"}


def tmpfs(*options: str, destination: str = "/m", kind: str = "tmpfs") -> Config:
    return {"destination": destination, "type": kind, "options": [*options]}


COPY_UP = """mounts[0].options: open_tree(target, "", AT_RECURSIVE) = covered
    mounts[0].options: mount_setattr(covered, AT_RECURSIVE, MOUNT_ATTR_NODEV, 0, MS_PRIVATE)
    mounts[0].options: copy_up({tree}, covered)
    mounts[0].options: close_slot(covered)
    mounts[0]: move_mount({tree}, target)"""
OWNER = "mounts[0].options: copy_owner({tree}, target)\n"
CASES: list[tuple[Config, str]] = [
    (
        tmpfs("tmpcopyup"),
        """mounts[0]: make_in_root(root, "/m", S_IFDIR|0755, 0) = target
        mounts[0].type: fsopen("tmpfs") = context
        mounts[0].source: fsconfig(context, "source", "tmpfs")
        mounts[0]: copy_mode(context, target)
        mounts[0]: fsmount(context, 0) = tree
        """
        + (OWNER + COPY_UP).format(tree="tree"),
    ),
    # What is asked for wins; read-only it becomes when all is there.
    (
        tmpfs("tmpcopyup", "ro", "mode=700", "uid=5"),
        """mounts[0]: make_in_root(root, "/m", S_IFDIR|0755, 0) = target
        mounts[0].type: fsopen("tmpfs") = context
        mounts[0].source: fsconfig(context, "source", "tmpfs")
        mounts[0].options: fsconfig(context, "mode", "700")
        mounts[0].options: fsconfig(context, "uid", "5")
        mounts[0]: fsmount(context, 0) = deferred[0]
        """
        + COPY_UP.format(tree="deferred[0]"),
    ),
    (
        bind("/a/b", "/link", "bind", "copy-symlink"),
        """mounts[0]: make_in_root(root, "/a", S_IFDIR|0755, 0) = parent
        mounts[0]: make_symlink("goal", parent, "b")""",
    ),
    (
        bind("/b", "/dangling", "bind", "copy-symlink"),
        """mounts[0]: make_in_root(root, "/", S_IFDIR|0755, 0) = parent
        mounts[0]: make_symlink("/no/where", parent, "b")""",
    ),
    # Of what is no link, the option means nothing.
    (
        bind("/m", "/src", "rbind", "copy-symlink"),
        """mounts[0].source: open_tree(host, "/src", AT_RECURSIVE|AT_SYMLINK_NOFOLLOW) = tree
        mounts[0]: make_in_root(root, "/m", S_IFDIR|0755, 0) = target
        mounts[0]: move_mount(tree, target)""".replace(
            "AT_RECURSIVE|AT_SYMLINK_NOFOLLOW", "AT_SYMLINK_NOFOLLOW|AT_RECURSIVE"
        ),
    ),
    (
        bind("/m", "/link", "bind", "src-nofollow"),
        """mounts[0].source: open_tree(host, "/link", AT_SYMLINK_NOFOLLOW) = tree
        mounts[0]: make_in_root(root, "/m", S_IFREG|0644, 0) = target
        mounts[0]: move_mount(tree, target)""",
    ),
    (
        bind("/a/m", "/file", "bind", "dest-nofollow"),
        """mounts[0].source: open_tree(host, "/file", 0) = tree
        mounts[0]: make_in_root(root, "/a", S_IFDIR|0755, 0) = parent
        mounts[0]: make_in_root(parent, "m", S_IFREG|0644, RESOLVE_NO_SYMLINKS) = target, or ELOOP
        mounts[0]: open_in_root(parent, "m", O_NOFOLLOW|O_PATH, 0) = target
        mounts[0]: move_mount(tree, target)""",
    ),
    # No link on the way to a procfs at all.
    (
        {"destination": "/proc", "type": "proc", "options": ["dest-nofollow"]},
        """mounts[0]: make_in_root(root, "/proc", S_IFDIR|0755, RESOLVE_NO_SYMLINKS) = target
        mounts[0].type: fsopen("proc") = context
        mounts[0].source: fsconfig(context, "source", "proc")
        mounts[0]: fsmount(context, 0) = tree
        mounts[0]: cover_proc(tree, target)""",
    ),
    # A mount that is there: what the options name is changed, and nothing else.
    (
        tmpfs("remount", "ro", "suid", "private"),
        """mounts[0]: open_in_root(root, "/m", O_PATH, RESOLVE_NO_SYMLINKS) = target
        mounts[0].options: mount_setattr(target, 0, MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, 0)
        mounts[0].options: mount_setattr(target, 0, 0, 0, MS_PRIVATE)""",
    ),
    (
        tmpfs("remount", "size=4k", "sync"),
        """mounts[0]: open_in_root(root, "/m", O_PATH, RESOLVE_NO_SYMLINKS) = target
        mounts[0].options: fspick(target) = context
        mounts[0].options: fsconfig(context, "size", "4k")
        mounts[0].options: fsconfig(context, "sync", none)
        mounts[0].options: reconfigure(context)""",
    ),
    (
        tmpfs("remount", "ro", kind="cgroup"),
        """mounts[0]: open_in_root(root, "/m", O_PATH, RESOLVE_NO_SYMLINKS) = target
        mounts[0].options: mount_setattr(target, 0, MOUNT_ATTR_RDONLY, 0, 0)""",
    ),
    (
        bind("/m", "", "bind", "remount", "ro"),
        """mounts[0]: open_in_root(root, "/m", O_PATH, RESOLVE_NO_SYMLINKS) = target
        mounts[0].options: mount_setattr(target, 0, MOUNT_ATTR_RDONLY, 0, 0)""",
    ),
    (
        tmpfs("rshared", kind="none", destination="/"),
        """mounts[0]: open_in_root(root, "/", O_PATH, RESOLVE_NO_SYMLINKS) = target
        mounts[0].options: mount_setattr(target, AT_RECURSIVE, 0, 0, MS_SHARED)""",
    ),
]


@pytest.mark.parametrize(("mount", "expected"), CASES)
def test_steps(mount: Config, expected: str) -> None:
    assert told(rules.mount_all, mounts(mount), links=LINKS) == listed(expected)


LONG = "/" + "l" * 254


def layer(name: str, path: str) -> list[str]:
    return [
        f'open_host("{path}", O_DIRECTORY|O_PATH) = tree',
        f'fsconfig_fd(context, "{name}", tree)',
    ]


def text(key: str, value: str) -> list[str]:
    return [f'fsconfig(context, "{key}", {value})']


OVERLAY = [
    (
        ["lowerdir=/a:/b", "upperdir=/u", "volatile"],
        text("lowerdir", '"/a:/b"') + text("upperdir", '"/u"') + text("volatile", "none"),
    ),
    ([f"lowerdir={LONG}"], text("lowerdir", f'"{LONG}"')),
    (
        [f"lowerdir=/a:{LONG}::/d\\:e::/f"],
        layer("lowerdir+", "/a")
        + layer("lowerdir+", LONG)
        + layer("datadir+", "/d:e")
        + layer("datadir+", "/f"),
    ),
    ([f"workdir={LONG}/w"], layer("workdir", f"{LONG}/w")),
    (["upperdir=/" + "ü" * 128], layer("upperdir", "/" + "ü" * 128)),  # of two bytes each
]


@pytest.mark.parametrize(("options", "expected"), OVERLAY)
def test_layers_of_an_overlay(options: list[str], expected: list[str]) -> None:
    """A path may be longer than what fsconfig(2) takes as a string."""
    lines = told(rules.mount_all, mounts(tmpfs(*options, kind="overlay")))
    assert [line.partition(": ")[2] for line in lines if "options" in line] == expected


def test_read_only_when_all_is_copied() -> None:
    [line] = told(rules.finish, mounts(tmpfs("tmpcopyup", "ro")))
    assert line == "mounts[0]: mount_setattr(deferred[0], 0, MOUNT_ATTR_RDONLY, 0, 0)"
    assert told(rules.finish, mounts(tmpfs("remount", "ro"))) == []


REFUSED = [
    (bind("/m", "/src", "bind", "tmpcopyup"), "'tmpcopyup' is for type tmpfs"),
    (tmpfs("tmpcopyup", kind="proc"), "'tmpcopyup' is for type tmpfs"),
    (tmpfs("copy-symlink"), "'copy-symlink' is for bind mounts"),
    (tmpfs("src-nofollow"), "'src-nofollow' is for bind mounts"),
    (tmpfs("idmap", kind="cgroup"), "'idmap' is not for cgroup mounts"),
]


@pytest.mark.parametrize(("mount", "words"), REFUSED)
def test_refused(mount: Config, words: str) -> None:
    with pytest.raises(Error, match=words) as caught:
        told(rules.mount_all, mounts(mount))
    assert caught.value.pointer == "/mounts/0/options"


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("copy-symlink", []),
        ("src-nofollow", [("tree", "/link", "nofollow", "/mounts/0")]),
        ("dest-nofollow", [("tree", "/link", "", "/mounts/0")]),
    ],
)
def test_what_the_runtime_opens(option: str, expected: list[Any]) -> None:
    config = mounts(bind("/m", "/link", "bind", option), kinds=("user", "mount"))
    found = donations(config, {**FACTS, "links": LINKS})
    assert [entry for entry in found if entry[-1] == "/mounts/0"] == expected


def test_a_changed_root_is_the_same_root() -> None:
    """Nothing lies over it, that pivot_root(2) would have to take away."""
    config = mounts(tmpfs("remount", "ro", destination="/"))
    assert told(rootfs.pivot, config, rootfs="/") == ["root.path: pivot_root(root, 1)"]
