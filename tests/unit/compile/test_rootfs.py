# SPDX-License-Identifier: Apache-2.0
"""The root: cut off from the host, attached over "/", made the root, with its propagation."""

from __future__ import annotations

import pytest

from pyrun.compile import paths, rootfs
from unit.compile.rules import Config, bind, listed, mounts, spaces, told

CLONED = 'root.path: open_tree(host, "/bundle/rootfs", AT_RECURSIVE) = root'
ATTACHED = f"""{CLONED}
root.path: open_host("/", O_DIRECTORY|O_PATH) = target
root.path: move_mount(root, target)"""
HOST = 'root.path: open_host("/", O_DIRECTORY|O_PATH) = host'


def cut(flag: str) -> str:
    return f"linux.rootfsPropagation: mount_setattr(host, AT_RECURSIVE, 0, 0, {flag})"


COVERS = """linux.maskedPaths: open_host("/dev/null", O_PATH) = null
linux.maskedPaths: check_device(null, 1, 3)
linux.maskedPaths: fsopen("tmpfs") = context
linux.maskedPaths: fsconfig(context, "source", "tmpfs")
linux.maskedPaths: fsconfig(context, "nr_blocks", "1")
linux.maskedPaths: fsconfig(context, "nr_inodes", "1")
linux.maskedPaths: fsconfig(context, "mode", "755")
linux.maskedPaths: fsmount(context, \
MOUNT_ATTR_RDONLY|MOUNT_ATTR_NOSUID|MOUNT_ATTR_NODEV|MOUNT_ATTR_NOEXEC) = empty
linux.maskedPaths: open_host("/", O_DIRECTORY|O_PATH) = target
linux.maskedPaths: move_mount(empty, target)"""

PREPARED = [
    # The host's mounts are not touched without a mount namespace (R20).
    (spaces("pid"), True, 'root.path: open_host("/bundle/rootfs", O_DIRECTORY|O_PATH) = root'),
    (spaces("mount"), True, f"{HOST}\n{cut('MS_SLAVE')}\n{ATTACHED}"),
    (
        spaces("mount", maskedPaths=["/x"]),
        True,
        f"{HOST}\n{cut('MS_SLAVE')}\n{CLONED}\n{COVERS}\n{ATTACHED.removeprefix(CLONED).lstrip()}",
    ),
    # Where hooks look for it.
    (
        spaces("mount") | {"hooks": {"createContainer": [{"path": "/hook"}]}},
        True,
        f"{HOST}\n{cut('MS_SLAVE')}\n" + ATTACHED.replace('"/"', '"/bundle/rootfs"'),
    ),
    (spaces("user", "mount"), False, f"{HOST}\n{cut('MS_SLAVE')}\n{ATTACHED}"),
    # In a user namespace the runtime opens the root: the container's root may not reach it.
    (
        spaces("user", "mount"),
        True,
        f"""{HOST}
        {cut("MS_SLAVE")}
        root.path: mount_setattr(tree[/bundle/rootfs], AT_RECURSIVE, 0, 0, MS_SLAVE)
        root.path: open_host("/", O_DIRECTORY|O_PATH) = target
        root.path: move_mount(tree[/bundle/rootfs], target)
        root.path: open_in_root(tree[/bundle/rootfs], "/", O_DIRECTORY|O_PATH, 0) = root""",
    ),
]


@pytest.mark.parametrize(("config", "privileged", "expected"), PREPARED)
def test_prepare(config: Config, privileged: bool, expected: str) -> None:
    assert told(rootfs.prepare, config, privileged=privileged) == listed(expected)


# word: (of all the host's mounts, also of "/" alone, of the root at the end)
PROPAGATION = {
    "private": ("MS_PRIVATE", "", "0, 0, 0, MS_PRIVATE"),
    "rprivate": ("MS_PRIVATE", "", "AT_RECURSIVE, 0, 0, MS_PRIVATE"),
    "slave": ("MS_SLAVE", "", "0, 0, 0, MS_SLAVE"),
    "rslave": ("MS_SLAVE", "", "AT_RECURSIVE, 0, 0, MS_SLAVE"),
    # pivot_root refuses a shared parent
    "shared": ("MS_SHARED", "MS_PRIVATE", "0, 0, 0, MS_SHARED"),
    "rshared": ("MS_SHARED", "MS_PRIVATE", "AT_RECURSIVE, 0, 0, MS_SHARED"),
    # nothing could be bound from an unbindable mount
    "unbindable": ("MS_PRIVATE", "", "0, 0, 0, MS_UNBINDABLE"),
    "runbindable": ("MS_PRIVATE", "", "AT_RECURSIVE, 0, 0, MS_UNBINDABLE"),
}


@pytest.mark.parametrize("word", PROPAGATION)
def test_propagation(word: str) -> None:
    host, top, own = PROPAGATION[word]
    config = spaces("mount", rootfsPropagation=word)
    expected = [HOST, cut(host)]
    if top:
        expected.append(f"linux.rootfsPropagation: mount_setattr(host, 0, 0, 0, {top})")
    assert told(rootfs.prepare, config)[: len(expected)] == expected
    assert told(rootfs.propagate, config) == [
        f"linux.rootfsPropagation: mount_setattr(root, {own})"
    ]


@pytest.mark.parametrize("kinds", [("mount",), ("user", "mount")])
@pytest.mark.parametrize("word", PROPAGATION)
def test_the_root_is_nobodys_peer(word: str, kinds: tuple[str, ...]) -> None:
    """What is mounted in it must not appear on the host (R20); pivot_root refuses a shared root."""
    found = told(rootfs.prepare, spaces(*kinds, rootfsPropagation=word))
    root = "tree[/bundle/rootfs]" if "user" in kinds else "root"
    attached = found.index(f"root.path: move_mount({root}, target)")
    cut_off = [
        line
        for line in found[:attached]
        if line.startswith(f"root.path: mount_setattr({root}, AT_RECURSIVE, 0, 0, ")
    ]
    assert not [line for line in cut_off if "MS_SHARED" in line]
    if "user" in kinds or word.endswith("shared"):
        assert len(cut_off) == 1


def test_propagation_is_left_alone_where_not_asked() -> None:
    assert told(rootfs.propagate, spaces("mount")) == []
    assert told(rootfs.propagate, spaces("pid", rootfsPropagation="private")) == []


PIVOTS = [
    (spaces("mount"), "pivot_root(root, 1)"),
    (spaces("mount", maskedPaths=["/x"]), "pivot_root(root, 2)"),
    (mounts(bind("/"), bind("/./"), maskedPaths=["/x"]), "pivot_root(root, 4)"),
    (spaces("pid"), "chroot(root)"),
]


@pytest.mark.parametrize(("config", "expected"), PIVOTS)
def test_pivot(config: Config, expected: str) -> None:
    assert told(rootfs.pivot, config) == [f"root.path: {expected}"]


def test_no_pivot() -> None:
    """An unmasked proc below would let the container mount another one."""
    assert told(rootfs.pivot, spaces("mount"), no_pivot=True) == listed(
        """root.path: detach_host("/proc"), or EINVAL
        root.path: detach_host("/sys"), or EINVAL
        root.path: chroot(root)"""
    )


def test_readonly() -> None:
    config = spaces("mount")
    config["root"]["readonly"] = True
    assert told(rootfs.readonly, config) == [
        "root.readonly: mount_setattr(root, 0, MOUNT_ATTR_RDONLY, 0, 0)"
    ]
    assert told(rootfs.readonly, spaces("mount")) == []
    without = spaces("pid")
    without["root"]["readonly"] = True
    assert told(rootfs.readonly, without) == []  # refused by checks: it would be the host's


def test_make_cwd() -> None:
    config = {**spaces("mount"), "process": {"cwd": "/a/b"}}
    assert told(rootfs.make_cwd, config) == [
        'process.cwd: make_in_root(root, "/a/b", S_IFDIR|0755, 0) = target'
    ]
    assert told(rootfs.make_cwd, {**spaces("pid"), "process": {"cwd": "/a"}}) == []


def test_masked_and_readonly_paths() -> None:
    config = spaces("mount", maskedPaths=["/a", "/b"], readonlyPaths=["/c"])
    assert told(paths.mask, config) == [
        'linux.maskedPaths[0]: mask(root, "/a", null, empty)',
        'linux.maskedPaths[1]: mask(root, "/b", null, empty)',
    ]
    assert told(paths.make_readonly, config) == [
        'linux.readonlyPaths[0]: make_readonly(root, "/c")'
    ]
    without = spaces("pid", maskedPaths=["/a"], readonlyPaths=["/c"])
    assert told(paths.mask, without) + told(paths.make_readonly, without) == []
