# SPDX-License-Identifier: Apache-2.0
"""mounts: each is a descriptor, gets its attributes and then its place; the order is the config's.

Options alone: test_mount_options.py; type cgroup: test_cgroup_mounts.py.
"""

from __future__ import annotations

from typing import Any

import pytest

from pyrun.compile import mounts as rules
from pyrun.compile import order, slots
from pyrun.errors import Error
from unit.compile.rules import (
    ONE_ID,
    Config,
    bind,
    listed,
    mounts,
    process,
    told,
    with_facts,
)


def new(kind: str, destination: str = "/m", *options: str, **more: Any) -> Config:
    return {"destination": destination, "type": kind, "options": [*options], **more}


def place(path: str, mode: str = "S_IFDIR|0755", resolve: str = "0", tree: str = "tree") -> str:
    attach = "cover_proc" if path.startswith("/proc") else "move_mount"  # named by the config
    return f"""mounts[0]: make_in_root(root, "{path}", {mode}, {resolve}) = target
    mounts[0]: {attach}({tree}, target)"""


CLONE = 'mounts[0].source: open_tree(host, "/src", AT_RECURSIVE) = tree'

RDONLY, NOEXEC = "MOUNT_ATTR_RDONLY", "MOUNT_ATTR_NOEXEC"
BINDS = [
    (bind("/m"), f"{CLONE}\n{place('/m')}"),
    (
        bind("/m", "/src", "bind"),
        f'mounts[0].source: open_tree(host, "/src", 0) = tree\n{place("/m")}',
    ),
    (
        bind("/f", "/file", "bind"),
        f"""mounts[0].source: open_tree(host, "/file", 0) = tree
        {place("/f", "S_IFREG|0644")}""",
    ),
    # Its place by its normal form, its source by the bundle.
    (bind("x/../m//n/."), f"{CLONE}\n{place('/m/n')}"),
    (
        bind("/m", "rel"),
        f'mounts[0].source: open_tree(host, "/bundle/rel", AT_RECURSIVE) = tree\n{place("/m")}',
    ),
    # Attributes before the place: nobody sees it writable. Propagation after: it has peers then.
    (
        bind("/m", "/src", "rbind", "ro", "nosuid", "rslave", "unbindable"),
        f"""{CLONE}
        mounts[0].options: mount_setattr(tree, 0, MOUNT_ATTR_RDONLY|MOUNT_ATTR_NOSUID, 0, 0)
        {place("/m")}
        mounts[0].options: mount_setattr(tree, AT_RECURSIVE, 0, 0, MS_SLAVE)
        mounts[0].options: mount_setattr(tree, 0, 0, 0, MS_UNBINDABLE)""",
    ),
    (
        bind("/m", "/src", "rbind", "rw"),
        f"""{CLONE}
        mounts[0].options: mount_setattr(tree, 0, 0, MOUNT_ATTR_RDONLY, 0)
        {place("/m")}""",
    ),
    # The recursive ones last: they are about the mount itself too.
    (
        bind("/m", "/src", "rbind", "rro", "nodev", "rexec"),
        f"""{CLONE}
        mounts[0].options: mount_setattr(tree, 0, MOUNT_ATTR_NODEV, 0, 0)
        mounts[0].options: mount_setattr(tree, AT_RECURSIVE, {RDONLY}, {NOEXEC}, 0)
        {place("/m")}""",
    ),
    # The option makes it a bind mount, whatever the type says.
    ({**bind("/m"), "type": "proc"}, f"{CLONE}\n{place('/m', resolve='RESOLVE_NO_SYMLINKS')}"),
    # At "/" it becomes the root for all that follows.
    (
        bind("/"),
        f"""{CLONE}
        {place("/")}
        mounts[0]: open_in_root(tree, "/", O_DIRECTORY|O_PATH, 0) = root""",
    ),
]


@pytest.mark.parametrize(("mount", "expected"), BINDS)
def test_bind(mount: Config, expected: str) -> None:
    assert told(rules.mount_all, mounts(mount)) == listed(expected)


def made(
    kind: str, *between: str, attributes: str = "0", resolve: str = "0", at: str = "/m"
) -> str:
    return "\n".join(
        [
            f'mounts[0]: make_in_root(root, "{at}", S_IFDIR|0755, {resolve}) = target',
            f'mounts[0].type: fsopen("{kind}") = context',
            f'mounts[0].source: fsconfig(context, "source", "{kind}")',
            *between,
            f"mounts[0]: fsmount(context, {attributes}) = tree",
            f"mounts[0]: {'cover_proc' if kind == 'proc' else 'move_mount'}(tree, target)",
        ]
    )


def option(key: str, value: str | None) -> str:
    shown = "none" if value is None else f'"{value}"'
    return f'mounts[0].options: fsconfig(context, "{key}", {shown})'


NO_LINKS = "RESOLVE_NO_SYMLINKS"
NEW = [
    (new("proc", "/proc"), made("proc", resolve=NO_LINKS, at="/proc")),
    (
        new("sysfs", "/sys", "nosuid", "ro"),
        made(
            "sysfs", resolve=NO_LINKS, at="/sys", attributes="MOUNT_ATTR_RDONLY|MOUNT_ATTR_NOSUID"
        ),
    ),
    (new("mqueue"), made("mqueue")),
    # A tmpfs takes over the mode of what it covers, unless the config has one.
    (new("tmpfs"), made("tmpfs", "mounts[0]: copy_mode(context, target)")),
    (
        new("tmpfs", "/m", "mode=1777", "size=64k", "noexec"),
        made(
            "tmpfs", option("mode", "1777"), option("size", "64k"), attributes="MOUNT_ATTR_NOEXEC"
        ),
    ),
    (
        new("overlay", "/m", "lowerdir=/a:/b", "userxattr"),
        made("overlay", option("lowerdir", "/a:/b"), option("userxattr", None)),
    ),
    (
        new("ext4", "/m", "sync", "private", source="/dev/x"),
        made("ext4", option("sync", None)).replace('"source", "ext4"', '"source", "/dev/x"')
        + "\nmounts[0].options: mount_setattr(tree, 0, 0, 0, MS_PRIVATE)",
    ),
]


@pytest.mark.parametrize(("mount", "expected"), NEW)
def test_new(mount: Config, expected: str) -> None:
    assert told(rules.mount_all, mounts(mount)) == listed(expected)


@pytest.mark.parametrize(
    ("word", "flag"), [("rslave", "MS_SLAVE"), ("private", "MS_PRIVATE"), ("rshared", "MS_SLAVE")]
)
def test_what_the_runtime_opens_hangs_together_as_what_we_open(word: str, flag: str) -> None:
    """A clone made in the host's namespace is a peer of the host's mount; one made in a user
    namespace never is: mount_namespaces(7)."""
    config = mounts(bind("/m"), kinds=("user", "mount"), rootfsPropagation=word)
    changed = [line for line in told(rules.mount_all, config) if "mount_setattr" in line]
    expected = f"mounts[0].source: mount_setattr(tree[/src], AT_RECURSIVE, 0, 0, {flag})"
    assert changed == [expected]


def test_proc_of_a_joined_pid_namespace() -> None:
    """A process that enters it would be seen by those inside: only the procfs comes from there."""
    config = mounts(new("proc", "/proc"), kinds=("mount", "pid@/p"))
    lines = told(rules.mount_all, config)
    assert lines[1] == "mounts[0].type: fsopen_proc(namespace[pid]) = context"


def test_readonly_tmpfs_is_writable_till_all_is_there() -> None:
    config = mounts(
        new("proc", "/proc"),
        new("tmpfs", "/a", "ro", "mode=755"),
        bind("/a/b", "/src", "rbind", "ro"),
        new("tmpfs", "/c", "ro", "nodev", "mode=755"),
    )
    lines = told(rules.mount_all, config)
    assert "mounts[1]: fsmount(context, 0) = deferred[0]" in lines
    assert "mounts[1]: move_mount(deferred[0], target)" in lines
    assert "mounts[3]: fsmount(context, MOUNT_ATTR_NODEV) = deferred[1]" in lines
    assert told(rules.finish, config) == [
        "mounts[1]: mount_setattr(deferred[0], 0, MOUNT_ATTR_RDONLY, 0, 0)",
        "mounts[3]: mount_setattr(deferred[1], 0, MOUNT_ATTR_RDONLY, 0, 0)",
    ]


def test_without_a_mount_namespace_nothing_is_mounted() -> None:
    config = mounts(bind("/m"), new("tmpfs", "/t", "ro"), kinds=("pid",))
    assert told(rules.mount_all, config) + told(rules.finish, config) == []


def test_in_a_user_namespace_the_runtime_opens_the_sources() -> None:
    """One descriptor a mount: attaching the same one twice would move the mount."""
    config = mounts(
        bind("/a", "/src", "bind", "ro"), bind("/b", "/src", "bind"), kinds=("user", "mount")
    )
    assert told(rules.mount_all, config) == listed(
        """mounts[0].source: mount_setattr(tree[/src], AT_RECURSIVE, 0, 0, MS_SLAVE)
        mounts[0].options: mount_setattr(tree[/src], 0, MOUNT_ATTR_RDONLY, 0, 0)
        mounts[0]: make_in_root(root, "/a", S_IFDIR|0755, 0) = target
        mounts[0]: move_mount(tree[/src], target)
        mounts[1].source: mount_setattr(tree[/src], AT_RECURSIVE, 0, 0, MS_SLAVE)
        mounts[1]: make_in_root(root, "/b", S_IFDIR|0755, 0) = target
        mounts[1]: move_mount(tree[/src], target)"""
    )
    moved = [
        op[1][0] for _, op in rules.mount_all(config, with_facts(config)) if op[0] == "move_mount"
    ]
    assert len(set(moved)) == 2


REFUSED = [
    (bind("/m", "/nowhere"), "/mounts/0/source", "no such file or directory"),
    ({"destination": "/m"}, "/mounts/0/type", "needs a type"),
]


@pytest.mark.parametrize(("mount", "pointer", "words"), REFUSED)
def test_refused(mount: Config, pointer: str, words: str) -> None:
    with pytest.raises(Error, match=words) as caught:
        told(rules.mount_all, mounts(mount))
    assert caught.value.pointer == pointer


@pytest.mark.parametrize("count", [300, 700, 1000])
def test_many_mounts_have_a_slot_each(count: int) -> None:
    entries = [new("tmpfs", f"/m{i}", "ro", "mode=755") for i in range(count)]
    config = {**mounts(*entries), **process()}
    taken = {
        op[1][2] for _, op in order.compile_init(config, with_facts(config)) if op[0] == "fsmount"
    }
    assert len(taken) == count
    assert max(taken) < slots.LOWEST


@pytest.mark.parametrize("kinds", [("mount",), ("user", "mount")])
def test_too_many_mounts_are_an_error_in_words(kinds: tuple[str, ...]) -> None:
    entries = [new("tmpfs", f"/m{i}", "ro") for i in range(600)]
    entries += [bind(f"/b{i}") for i in range(500)]
    linux = {"uidMappings": ONE_ID, "gidMappings": ONE_ID} if "user" in kinds else {}
    config = {**mounts(*entries, kinds=kinds, **linux), **process()}
    if kinds == ("mount",):
        assert order.compile_init(config, with_facts(config))  # binds share one slot
    else:
        with pytest.raises(Error, match="too many mounts"):
            order.compile_init(config, with_facts(config))
