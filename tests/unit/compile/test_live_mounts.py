# SPDX-License-Identifier: Apache-2.0
"""Mounts of a container that runs: made with the host's view, attached in the container's."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest

from pyrun import describe, ops, sync
from pyrun.compile import live_mounts
from pyrun.errors import Error
from pyrun.types import Step
from unit.compile.rules import FACTS, Config, bind, listed


def live(*entries: Config, joined: str = "mount", **unusual: Any) -> tuple[Config, Config]:
    """Config and facts as pyrun.live_mounts has them."""
    spaces = [{"type": kind, "path": f"/{kind}"} for kind in joined.split()]
    config = {"mounts": list(entries), "linux": {"namespaces": spaces}}
    facts = {**FACTS, **unusual}
    return config, {**facts, "donations": live_mounts.donations(config, facts)}


def told(
    plan: Callable[[Config, Config], list[Step]], known: tuple[Config, Config], skip: int = 0
) -> list[str]:
    """The plan's lines, without the first ones."""
    config, facts = known
    return [
        f"{describe.field(pointer) or '-'}: {describe.line(op, facts['donations'])}"
        for pointer, op in plan(config, facts)
    ][skip:]


TMPFS = {"destination": "/t", "type": "tmpfs", "source": "tmpfs"}
ENTER = """
mounts: prctl(PR_SET_DUMPABLE, 0)
mounts: unshare(CLONE_NEWNS)
mounts: open_host("/proc/self/ns/mnt", O_RDONLY) = view
mounts: open_host("/", O_DIRECTORY|O_PATH) = host
mounts: mount_setattr(host, AT_RECURSIVE, 0, 0, MS_SLAVE)
mounts: open_in_root(root, "/", O_DIRECTORY|O_PATH, 0) = root"""


def test_a_bind() -> None:
    assert told(live_mounts.add, live(bind("/d"))) == listed(
        ENTER
        + """
mounts[0].source: open_tree(host, "/src", AT_RECURSIVE) = tree
mounts[0]: make_in_root(root, "/d", S_IFDIR|0755, 0) = target
mounts[0]: setns(namespace[mount], CLONE_NEWNS)
mounts[0]: sync_send(a mount that gets its place, tree)
mounts[0]: move_mount(tree, target)
-: sync(ready)
"""
    )


def test_each_operation_where_it_has_to_be() -> None:
    """A source is the host's again after a mount in the container; what has its place is changed
    there; what a tmpfs covers is cloned there."""
    covers = {**TMPFS, "options": ["tmpcopyup", "rslave", "ro"]}
    assert told(live_mounts.add, live(covers, bind("/e", "/file", "bind")), 6) == listed("""
mounts[0]: make_in_root(root, "/t", S_IFDIR|0755, 0) = target
mounts[0].type: fsopen("tmpfs") = context
mounts[0].source: fsconfig(context, "source", "tmpfs")
mounts[0]: copy_mode(context, target)
mounts[0]: fsmount(context, 0) = deferred[0]
mounts[0].options: copy_owner(deferred[0], target)
mounts[0].options: setns(namespace[mount], CLONE_NEWNS)
mounts[0].options: open_tree(target, "", AT_RECURSIVE) = covered
mounts[0].options: mount_setattr(covered, AT_RECURSIVE, MOUNT_ATTR_NODEV, 0, MS_PRIVATE)
mounts[0].options: copy_up(deferred[0], covered)
mounts[0].options: close_slot(covered)
mounts[0]: sync_send(a mount that gets its place, deferred[0])
mounts[0]: move_mount(deferred[0], target)
mounts[0].options: mount_setattr(deferred[0], AT_RECURSIVE, 0, 0, MS_SLAVE)
mounts[1].source: setns(view, CLONE_NEWNS)
mounts[1].source: open_tree(host, "/file", 0) = tree
mounts[1]: make_in_root(root, "/e", S_IFREG|0644, 0) = target
mounts[1]: setns(namespace[mount], CLONE_NEWNS)
mounts[1]: sync_send(a mount that gets its place, tree)
mounts[1]: move_mount(tree, target)
mounts[0]: mount_setattr(deferred[0], 0, MOUNT_ATTR_RDONLY, 0, 0)
-: sync(ready)
""")


def test_what_a_mount_belongs_to_is_joined() -> None:
    """The user namespace last by one with privileges, who has none in it; first by another."""
    proc = {"destination": "/p", "type": "proc"}
    joined = "user network ipc mount pid"
    known = live(proc, bind("/d"), joined=joined)
    lines = told(live_mounts.add, known)
    assert lines[1:7] == listed("""
mounts: setns(namespace[network], CLONE_NEWNET)
mounts: setns(namespace[ipc], CLONE_NEWIPC)
mounts: setns(namespace[user], CLONE_NEWUSER)
mounts: setresgid(0), or EINVAL
mounts: setresuid(0), or EINVAL
mounts: unshare(CLONE_NEWNS)
""")
    assert "mounts[0].type: fsopen_proc(namespace[pid]) = context" in lines
    # the source may be out of the container's reach
    assert ("tree", "/src", "recursive", "/mounts/1") in known[1]["donations"]
    assert "mounts[1]: move_mount(tree[/src], target)" in lines
    known = live(bind("/d"), joined=joined, privileged=False)
    lines = told(live_mounts.add, known)
    assert lines[1] == "mounts: setns(namespace[user], CLONE_NEWUSER)"
    assert 'mounts[0].source: open_tree(host, "/src", AT_RECURSIVE) = tree' in lines


def test_remove() -> None:
    config, facts = live({"destination": "/a"}, {"destination": "b/../c/"})
    facts["attached"] = [(1, 0x4000, 7), (0, 0x1000, 8)]
    assert told(live_mounts.remove, (config, facts), 6) == listed("""
mounts: open_host("/proc", O_DIRECTORY|O_PATH) = proc
mounts: setns(namespace[mount], CLONE_NEWNS)
mounts[1]: open_in_root(root, "/c", O_PATH, 0) = deferred[0]
mounts[1]: check_mount(deferred[0], 16384, 7)
mounts[0]: open_in_root(root, "/a", O_PATH, 0) = deferred[1]
mounts[0]: check_mount(deferred[1], 4096, 8)
mounts[1]: detach(deferred[0], proc)
mounts[0]: detach(deferred[1], proc)
-: sync(ready)
""")


def test_undo() -> None:
    """The last first, and what has no place yet is none the worse for it."""
    config, facts = live(TMPFS)
    facts["donations"] += [("mount", "0"), ("mount", "1")]
    assert told(live_mounts.undo, (config, facts), 8) == listed("""
-: detach(mount[1], proc), or EINVAL
-: detach(mount[0], proc), or EINVAL
-: sync(ready)
""")
    assert live_mounts.undo(config, facts)[-2][1] == ops.tolerate(
        errno.EINVAL, ops.detach(2, live_mounts.PROC)
    )


def test_the_runtime_gets_each_before_it_has_a_place() -> None:
    steps = live_mounts.add(*live(TMPFS, bind("/t/a"), bind("/t/b")))
    names = [
        op[0]
        for _, op in steps
        if op[0] == "move_mount" or op[1][:1] == (sync.MOUNT,)
    ]  # fmt: skip
    assert names == ["sync_send", "move_mount"] * 3


@pytest.mark.parametrize("plan", [live_mounts.add, live_mounts.remove])
def test_there_are_so_many_descriptors(plan: Callable[..., list[Step]]) -> None:
    many = [{**TMPFS, "options": ["ro"]}] * 1010
    config, facts = live(*many)
    facts["attached"] = [(index, 1, 1) for index in range(1010)]
    with pytest.raises(Error, match="too many mounts"):
        plan(config, facts)


def test_refused() -> None:
    config, facts = live(
        {"destination": "/x", "options": ["remount", "ro"]},
        {"destination": "/x", "type": "cgroup2"},
        {"destination": "//proc/.", "type": "proc"},
        bind("/sys/fs/cgroup", "/sys/fs/cgroup", "rbind"),
        bind("/x", "/link", "bind", "copy-symlink"),
        links={"/link": "/to"},
    )
    assert [pointer for pointer, _ in live_mounts.problems(config, facts)] == [
        "/mounts/0/options",
        "/mounts/1/type",
        "/mounts/2/destination",
        "/mounts/4/options",
    ]
