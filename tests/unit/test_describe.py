# SPDX-License-Identifier: Apache-2.0
"""Operations in words: what each kind of operand looks like."""

from __future__ import annotations

import inspect

import pytest

from pyrun import describe, ops
from pyrun.compile import slots
from pyrun.linux import CLONE_NEWNS, CLONE_NEWPID, MS_SLAVE
from pyrun.types import Op

DONATED: list[tuple[str, ...]] = [("fifo",), ("namespace", "pid", "/p"), ("tree", "/s", "", "/m")]

LINES: list[tuple[Op, str]] = [
    (ops.loopback_up(), "loopback_up()"),
    (ops.sethostname("a b"), 'sethostname("a b")'),
    (ops.sethostname('q"\n\x1b'), 'sethostname("q\\"\\n\\x1b")'),
    (ops.sethostname("grün"), 'sethostname("grün")'),
    (ops.unshare(CLONE_NEWNS | CLONE_NEWPID), "unshare(CLONE_NEWNS|CLONE_NEWPID)"),
    (ops.unshare(0), "unshare(0)"),
    (ops.unshare(CLONE_NEWNS | 1), "unshare(CLONE_NEWNS|0x1)"),
    (ops.wait_start(0), "wait_start(fifo)"),
    (ops.setns(1, CLONE_NEWPID), "setns(namespace[pid], CLONE_NEWPID)"),
    (ops.mount_setattr(2, 0, 0, 0, MS_SLAVE), "mount_setattr(tree[/s], 0, 0, 0, MS_SLAVE)"),
    (ops.fsopen("proc", slots.CONTEXT), 'fsopen("proc") = context'),
    (ops.open_pty(slots.TARGET, slots.MASTER, slots.PEER), "open_pty(target) = master, peer"),
    (ops.fsconfig(slots.CONTEXT, "ro", None), 'fsconfig(context, "ro", none)'),
    (
        ops.fsmount(slots.CONTEXT, 1, slots.deferred(3)),
        "fsmount(context, MOUNT_ATTR_RDONLY) = deferred[3]",
    ),
    (ops.execve(["a", ""], []), 'execve(["a", ""], [])'),
    (ops.setgroups(b""), "setgroups([])"),
    (ops.setgroups(b"\5\0\0\0\xfe\xff\xff\xff"), "setgroups([5, 4294967294])"),
    (ops.seccomp(2, bytes(24)), "seccomp(SECCOMP_FILTER_FLAG_LOG, 3 instructions)"),
    (ops.capset(1, 0, 1 << 45), "capset(CAP_CHOWN, 0, 0x200000000000)"),
    (
        ops.sched_setattr(0, 0x21, -5, 0, 0, 0, 0),
        "sched_setattr(SCHED_OTHER,"
        " SCHED_FLAG_RESET_ON_FORK|SCHED_FLAG_UTIL_CLAMP_MIN, -5, 0, 0, 0, 0)",
    ),
    (ops.sched_setattr(9, 0, 0, 0, 0, 0, 0), "sched_setattr(9, 0, 0, 0, 0, 0, 0)"),
    (ops.ioprio_set(2 << 13 | 4), "ioprio_set(IOPRIO_CLASS_BE|4)"),
    (ops.personality(8), "personality(LINUX32)"),
    (
        ops.set_mempolicy(3 | 1 << 15, b"\2" + bytes(7) + b"\1" + bytes(7)),
        "set_mempolicy(MPOL_INTERLEAVE|MPOL_F_STATIC_NODES, [1, 64])",
    ),
    (ops.set_mempolicy(0, b""), "set_mempolicy(MPOL_DEFAULT, [])"),
    (ops.prctl(99, 5), "prctl(99, 5)"),
    (ops.tolerate(17, ops.symlinkat("t", slots.ROOT, "n")), 'symlinkat("t", root, "n"), or EEXIST'),
    (ops.open_host("/", 0, slots.HOST), 'open_host("/", O_RDONLY) = host'),
]  # fmt: skip


@pytest.mark.parametrize(("op", "text"), LINES)
def test_lines(op: Op, text: str) -> None:
    assert describe.line(op, DONATED) == text


FIELDS = [
    ("", ""),
    ("/mounts/3", "mounts[3]"),
    ("/mounts/3/options/0", "mounts[3].options[0]"),
    ("/linux/sysctl/net.ipv4.ip_forward", 'linux.sysctl["net.ipv4.ip_forward"]'),
    ("/linux/sysctl/a~1b~0c", 'linux.sysctl["a/b~c"]'),
    ("/hooks", "hooks"),
]


@pytest.mark.parametrize(("pointer", "name"), FIELDS)
def test_fields(pointer: str, name: str) -> None:
    assert describe.field(pointer) == name


def test_numbers_are_of_operands_that_exist() -> None:
    for name, operand in describe.NUMBERS:
        assert dict(describe.signature(name))[operand] == "int"


def test_every_operation_can_be_described() -> None:
    samples = {"int": 1, "str": "x", "str | None": None, "list[str]": ["x"], "bytes": bytes(8)}
    for name, function in inspect.getmembers(ops, inspect.isfunction):
        if name == "tolerate":
            continue
        values = [samples.get(kind, slots.ROOT) for _, kind in describe.signature(name)]
        assert describe.line(function(*values), []).startswith(f"{name}(")
