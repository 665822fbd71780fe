# SPDX-License-Identifier: Apache-2.0
"""Sentences: from (operation, errno, detail) to what the user and the engines read."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from pyrun import failure, ops
from pyrun.compile import slots
from pyrun.errors import reason
from pyrun.types import Op

CONFIG: dict[str, Any] = {
    "process": {"args": ["web", "-x"], "cwd": "/srv", "user": {"uid": 5}},
    "mounts": [
        {"destination": "/proc", "type": "proc"},
        {"destination": "/data", "type": "bind", "source": "/srv/x"},
    ],
    "linux": {
        "namespaces": [{"type": "pid", "path": "/proc/1/ns/pid"}],
        "sysctl": {"net.ipv4.ip_forward": "1"},
        "devices": [{"path": "/dev/fuse", "type": "c"}],
    },
    "root": {"path": "rootfs"},
    "hooks": {"createContainer": [{"path": "/h"}]},
}
FIND = ops.find_executable(["/bin/web", "/usr/bin/web"])

SENTENCES: list[tuple[str, Op, int, int, str]] = [
    # The words that docker and podman look for: exit codes 127 and 126.
    (
        "/process/args/0",
        FIND,
        errno.ENOENT,
        0,
        'exec: "web": executable file not found in $PATH: searched /bin:/usr/bin',
    ),
    ("/process/args/0", FIND, errno.EACCES, 0, 'exec: "web": permission denied'),
    (
        "/process/args/0",
        ops.find_executable([]),
        errno.ENOENT,
        0,
        'exec: "web": executable file not found in $PATH: PATH is not in process.env',
    ),
    (
        "/process/args",
        ops.execve(["web"], []),
        errno.ENOEXEC,
        0,
        "exec web: exec format error: not a program for this machine: another architecture, or a"
        " script without #!",
    ),
    (
        "/process/args",
        ops.execve(["web"], []),
        errno.ENOENT,
        0,
        "exec web: no such file or directory: its interpreter (ELF loader, or what #! names) is"
        " not in the container",
    ),
    # The field, what it says, the call and its object, the kernel's word, what it means here.
    (
        "/mounts/1/source",
        ops.open_tree(slots.HOST, "/srv/x", 0, slots.TREE),
        errno.EACCES,
        0,
        "mounts[1].source (/srv/x → /data): open_tree /srv/x: permission denied: the caller (or"
        " root of the user namespace) may not go there",
    ),
    (
        "/mounts/0",
        ops.make_in_root(slots.ROOT, "/proc", 0, 0, slots.TARGET),
        errno.ELOOP,
        0,
        "mounts[0] (proc → /proc): make_in_root /proc: too many levels of symbolic links: a"
        " symbolic link is in the way",
    ),
    (
        "/mounts/0/options",
        ops.fsconfig(slots.CONTEXT, "size", "1x"),
        errno.EINVAL,
        0,
        "mounts[0].options (proc → /proc): fsconfig size=1x: invalid argument: the file system"
        " does not know this option, or not this value",
    ),
    (
        "/linux/namespaces/0",
        ops.setns(0, 1),
        errno.EINVAL,
        0,
        "linux.namespaces[0] (/proc/1/ns/pid): setns: invalid argument: the path is not a"
        " namespace of this type",
    ),
    (
        "/process/user/uid",
        ops.setresuid(5),
        errno.EINVAL,
        0,
        "process.user.uid (5): setresuid: invalid argument: the user namespace does not map this"
        " user",
    ),
    (
        "/process/cwd",
        ops.enter_cwd("/srv", slots.CWD),
        errno.ENOENT,
        0,
        "process.cwd (/srv): enter_cwd: no such file or directory: the directory is outside the"
        " container's root",
    ),
    ("", ops.prctl(1, 0), errno.EPERM, 0, "prctl: operation not permitted"),
]
HOOK = ops.run_hook(["/h", "/h"], [], 1, 2, 1500, 2, 2)
HOOKS = [
    (errno.ECHILD, 3 << 8, "exit status 3 (/h)"),
    (errno.ECHILD, 9, "signal: killed (/h)"),
    (errno.ETIMEDOUT, 9, "hook ran past specified timeout of 1.5s (/h)"),
    (errno.ENOENT, 127 << 8, "exec /h: no such file or directory"),
    (errno.EACCES, 127 << 8, "exec /h: permission denied"),
]


@pytest.mark.parametrize(("pointer", "op", "number", "detail", "text"), SENTENCES)
def test_sentences(pointer: str, op: Op, number: int, detail: int, text: str) -> None:
    steps = [("", ops.umask(0)), (pointer, op)]
    assert str(failure.explain(steps, CONFIG, 1, (number, detail, b""))) == text


@pytest.mark.parametrize(("number", "detail", "text"), HOOKS)
def test_hooks(number: int, detail: int, text: str) -> None:
    steps = [("/hooks/createContainer/0", HOOK)]
    found = str(failure.explain(steps, CONFIG, 0, (number, detail, b"")))
    assert found == f"error running createContainer hook #0: {text}"


@pytest.mark.parametrize("name", ["/no/such", "./web"])
def test_a_program_by_its_path(name: str) -> None:
    config = {**CONFIG, "process": {"args": [name]}}
    steps = [("/process/args/0", ops.find_executable([name]))]
    found = str(failure.explain(steps, config, 0, (errno.ENOENT, 0, b"")))
    assert found == f'exec: "{name}": stat {name}: no such file or directory'


@pytest.mark.parametrize("index", [-1, 1, 2**31 - 1])
def test_a_refused_plan(index: int) -> None:
    found = str(failure.explain([("", ops.umask(0))], CONFIG, index, (errno.EINVAL, 0, b"")))
    assert found == "the executor refused the plan: invalid argument: reinstall pyrun"


@pytest.mark.parametrize(
    ("pointer", "label"),
    [
        ("", ""),
        ("/root/path", "root.path (rootfs)"),
        ("/linux/devices/0", "linux.devices[0] (/dev/fuse)"),
        ("/linux/sysctl/net.ipv4.ip_forward", "linux.sysctl.net.ipv4.ip_forward (1)"),
        ("/linux/maskedPaths/3", "linux.maskedPaths[3]"),  # not there: no content to show
        ("/process/noNewPrivileges", "process.noNewPrivileges"),
    ],
)
def test_labels(pointer: str, label: str) -> None:
    assert failure.label(pointer, CONFIG) == label


def test_every_hint_is_about_an_operation() -> None:
    for name, number in failure.HINTS:
        assert callable(getattr(ops, name)), name
        assert reason(number)


def test_every_errno_gives_one_line() -> None:
    op = ops.sethostname("a\nb")
    for number in errno.errorcode:
        text = str(failure.explain([("/hostname", op)], {"hostname": "a\nb"}, 0, (number, 0, b"")))
        assert "\n" not in text
