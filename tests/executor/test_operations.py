# SPDX-License-Identifier: Apache-2.0
"""Each operation once, in a user namespace: what works, and what is reported when it does not."""

from __future__ import annotations

import errno
import os
import pwd
import struct
from pathlib import Path

import pytest

from executor.stage import END, FLAGS, Outcome, run
from needs import needs
from pyrun import describe, ops
from pyrun.linux import (
    AT_RECURSIVE,
    CLONE_NEWNET,
    CLONE_NEWPID,
    CLONE_NEWUTS,
    MS_PRIVATE,
    O_DIRECTORY,
    O_NOFOLLOW,
    O_PATH,
    RESOLVE_NO_SYMLINKS,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFREG,
)
from pyrun.types import Op

pytestmark = needs("userns")

CONTEXT, TREE, HOST, A, B, C = 10, 11, 12, 13, 14, 15
EMPTY = 900  # a slot that nothing fills
ALLOW = struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000)  # SECCOMP_RET_ALLOW
FOLDER, FILE = S_IFDIR | 0o755, S_IFREG | 0o644


def tmpfs(tree: int = TREE) -> list[Op]:
    return [ops.fsopen("tmpfs", CONTEXT), ops.fsmount(CONTEXT, 0, tree)]


def attached() -> list[Op]:
    """A tmpfs over "/", opened as TREE; HOST is the old root."""
    return [
        ops.open_host("/", O_PATH | O_DIRECTORY, HOST),
        ops.mount_setattr(HOST, AT_RECURSIVE, 0, 0, MS_PRIVATE),
        *tmpfs(),
        ops.open_host("/", O_PATH | O_DIRECTORY, A),
        ops.move_mount(TREE, A),
    ]


def devpts() -> list[Op]:
    newest = [ops.fsconfig(CONTEXT, "newinstance", None), ops.fsconfig(CONTEXT, "ptmxmode", "0666")]
    return [
        ops.fsopen("devpts", CONTEXT),
        *newest,
        ops.fsmount(CONTEXT, 0, TREE),
        ops.open_in_root(TREE, "/", O_PATH | O_DIRECTORY, 0, A),
        ops.open_pty(A, B, C),
    ]


def own(kind: str) -> Op:
    return ops.open_host(f"/proc/self/ns/{kind}", os.O_RDONLY, A)


WORK: dict[str, list[Op]] = {
    "setns": [own("uts"), ops.setns(A, CLONE_NEWUTS)],
    "unshare": [ops.unshare(CLONE_NEWUTS | CLONE_NEWNET)],
    "fork_init": [ops.fork_init(0), ops.umask(0)],
    "loopback_up": [ops.loopback_up()],
    "join_session_keyring": [ops.tolerate(errno.ENOSYS, ops.join_session_keyring("_ses.test"))],
    "open_host": [ops.open_host("/", O_PATH, A)],
    "open_in_root": [*tmpfs(), ops.open_in_root(TREE, "/../..", O_PATH | O_DIRECTORY, 0, A)],
    "make_in_root": [
        *tmpfs(),
        ops.make_in_root(TREE, "/a//b/c", FOLDER, RESOLVE_NO_SYMLINKS, A),
        ops.make_in_root(TREE, "a/b/../f", FILE, 0, A),
        ops.open_in_root(TREE, "/a/f", os.O_RDWR, 0, A),
    ],
    "make_symlink": [
        *tmpfs(),
        ops.make_symlink("/x/y", TREE, "l"),
        ops.make_symlink("/x/y", TREE, "l"),  # the same one
    ],
    "copy_up": [
        *tmpfs(A),
        ops.make_in_root(A, "/d/e", FOLDER, 0, B),
        ops.make_in_root(A, "/d/f", FILE, 0, B),
        ops.symlinkat("nowhere", A, "l"),
        ops.make_node(A, "p", S_IFIFO | 0o600, 0, 0, 0),
        *tmpfs(),
        ops.copy_owner(TREE, A),
        ops.copy_up(TREE, A),
        *(ops.open_in_root(TREE, path, O_PATH, 0, B) for path in ("/d/e", "/d/f", "/p")),
        ops.open_in_root(TREE, "/l", O_PATH | O_NOFOLLOW, 0, B),
        ops.tolerate(errno.ENOENT, ops.open_in_root(TREE, "/.pyrun-links", O_PATH, 0, B)),
    ],
    "fsconfig_fd": [
        ops.fsopen("overlay", CONTEXT),
        ops.open_host("/usr/bin", O_PATH, A),  # not /etc: nothing may be mounted below
        ops.fsconfig_fd(CONTEXT, "lowerdir+", A),
        ops.open_host("/usr/share", O_PATH, A),
        ops.fsconfig_fd(CONTEXT, "lowerdir+", A),
        ops.fsmount(CONTEXT, 0, TREE),
        ops.open_in_root(TREE, "/env", O_PATH, 0, A),
    ],
    "reconfigure": [
        *tmpfs(),
        ops.fspick(TREE, A),
        ops.fsconfig(A, "size", "64k"),
        ops.reconfigure(A),
    ],
    "close_slot": [ops.open_host("/", O_PATH, A), ops.close_slot(A)],
    "fchdir": [ops.open_host("/", O_PATH, A), ops.fchdir(A)],
    "open_tree": [
        ops.open_host("/", O_PATH, HOST),
        ops.open_tree(HOST, "/dev/null", 0, A),
        ops.check_device(A, 1, 3),
    ],
    "fsopen_proc": [own("pid"), ops.fsopen_proc(A, B)],
    "copy_mode": [
        *tmpfs(A),
        ops.fsopen("tmpfs", CONTEXT),
        ops.make_in_root(A, "/x", S_IFDIR | 0o1711, 0, B),
        ops.copy_mode(CONTEXT, B),
        ops.fsmount(CONTEXT, 0, TREE),
    ],
    "mount_setattr": [*tmpfs(), ops.mount_setattr(TREE, 0, 1, 0, 0)],
    "mask": [
        *attached(),
        ops.make_in_root(TREE, "/d", FOLDER, 0, B),
        ops.make_in_root(TREE, "/f", FILE, 0, B),
        ops.open_host("/dev/null", O_PATH, C),
        ops.open_in_root(TREE, "/d", O_PATH, 0, B),
        ops.mask(TREE, "/f", C, B),
        ops.mask(TREE, "/d", C, B),
        ops.mask(TREE, "/none", C, B),
        ops.open_in_root(TREE, "/f", O_PATH, 0, A),
        ops.check_device(A, 1, 3),
    ],
    "make_readonly": [
        *attached(),
        ops.make_in_root(TREE, "/d", FOLDER, 0, B),
        ops.make_readonly(TREE, "/d"),
        ops.make_readonly(TREE, "/none"),
        ops.tolerate(errno.EROFS, ops.make_in_root(TREE, "/d/x", FOLDER, 0, B)),
    ],
    "pivot_root": [
        *attached(),
        ops.open_in_root(TREE, "/", O_PATH | O_DIRECTORY, 0, B),
        ops.pivot_root(B, 1),
        ops.open_cwd("/", A),
    ],
    "chroot": [*tmpfs(), ops.chroot(TREE), ops.open_cwd("/", A), ops.enter_cwd("/", A)],
    "make_node": [
        *tmpfs(),
        ops.make_node(TREE, "p", S_IFIFO | 0o600, 0, 0, 0),
        ops.make_node(TREE, "p", S_IFIFO | 0o600, 0, 0, 0),  # one that is there is kept
    ],
    "symlinkat": [
        *tmpfs(),
        ops.symlinkat("/t", TREE, "l"),
        ops.tolerate(errno.EEXIST, ops.symlinkat("/t", TREE, "l")),
        ops.unlinkat(TREE, "l"),
        ops.tolerate(errno.ENOENT, ops.unlinkat(TREE, "l")),
    ],
    "open_pty": [*devpts(), ops.set_window_size(B, 25, 80)],
    "take_terminal": [*devpts(), ops.fork_init(0), ops.setsid(), ops.take_terminal(C)],
    "chown_stdio": [ops.chown_stdio(0)],
    "chown_terminal": [*devpts(), ops.chown_terminal(C, 0)],
    "close_all_but": [
        *tmpfs(),
        ops.close_all_but(struct.pack("=I", TREE)),
        ops.open_in_root(TREE, "/", O_PATH, 0, A),
    ],
    "reopen_null": [*tmpfs(), ops.reopen_null(TREE)],
    "sethostname": [ops.sethostname("box"), ops.setdomainname("test")],
    "setrlimit": [ops.setrlimit(4, 0, 0)],
    "set_label": [*tmpfs(), ops.set_label(TREE, "a:b:c:s0")],
    "write_own_proc": [
        ops.fsopen("proc", CONTEXT),
        ops.fsconfig(CONTEXT, "subset", "pid"),
        ops.fsmount(CONTEXT, 0, A),
        ops.write_own_proc(A, "comm", "x"),
    ],
    "sched_setaffinity": [ops.sched_setaffinity(struct.pack("=Q", 1)), ops.reset_affinity()],
    "sched_setattr": [ops.sched_setattr(3, 1, 5, 0, 0, 0, 0)],
    "ioprio_set": [ops.ioprio_set(3 << 13 | 7)],
    "personality": [ops.personality(8), ops.personality(0)],
    "set_mempolicy": [
        ops.tolerate(errno.ENOSYS, ops.set_mempolicy(0, b"")),  # a kernel without NUMA
        ops.tolerate(errno.ENOSYS, ops.set_mempolicy(2, struct.pack("=Q", 1))),
    ],
    "prctl": [ops.prctl(38, 1)],
    "umask": [ops.umask(0o77)],
    "drop_bounding": [ops.drop_bounding(1)],
    "setresuid": [ops.setresgid(0), ops.setresuid(0)],
    "capset": [ops.capset(0, 1, 0), ops.set_ambient(0)],
    "set_ambient": [ops.capset(1, 1, 1), ops.set_ambient(1)],
    "enter_cwd": [ops.open_cwd("/", A), ops.enter_cwd("/", A), ops.enter_cwd("/", EMPTY)],
    "find_home": [ops.find_home(0), ops.find_home(4294967294), ops.find_pid()],
    "find_executable": [ops.find_executable(["/nowhere/sh", "/bin/sh"])],
    "run_hook": [
        ops.open_host("/dev/null", os.O_RDWR, A),
        *tmpfs(),
        ops.open_in_root(TREE, "/", O_PATH, 0, B),
        ops.make_in_root(TREE, "/out", FILE, 0, C),
        ops.open_in_root(TREE, "/out", os.O_RDWR, 0, C),
        ops.run_hook(["/bin/sh", "sh", "-c", "echo x"], ["A=1"], C, C, 2000, C, B),
    ],
    "seccomp": [ops.seccomp(0, ALLOW)],
    "close_others": [ops.open_host("/", O_PATH, A), ops.close_others(3)],
}


@pytest.mark.parametrize("name", WORK)
def test_works(name: str) -> None:
    # The first process of a pid namespace has no siblings: clone(2), CLONE_PARENT.
    flags = FLAGS & ~CLONE_NEWPID if ops.fork_init(0) in WORK[name] else FLAGS
    found = run(WORK[name], flags=flags)
    assert found == Outcome(None, END << 8, [])


BESIDE = {  # tried in the tests below, or in those of the whole
    "sync", "sync_receive", "sync_send", "report_to", "wait_start", "execve", "setgroups",
    "write_proc", "detach_host", "cover_proc", "check_mount", "detach", "seccomp_listen",
    "landlock_ruleset", "landlock_path", "landlock_port", "landlock_restrict",
}  # fmt: skip


def test_no_operation_is_left_out() -> None:
    tried = {op[0] for listed in WORK.values() for op in listed}
    every = {n for n, f in vars(ops).items() if callable(f) and n != "tolerate"}
    assert tried & BESIDE == set()
    assert every - tried - BESIDE - {"Op"} == set()


FIFO = ops.make_node(TREE, "n", S_IFIFO, 0, 0, 0)
ERRORS: list[tuple[list[Op], int, int]] = [
    ([ops.setgroups(b"")], 0, errno.EPERM),  # denied in a map of one
    ([ops.umask(0), ops.open_host("/no/such", 0, A)], 1, errno.ENOENT),
    ([ops.fsopen("nosuchfs", A)], 0, errno.ENODEV),
    ([*tmpfs(), ops.fsopen("tmpfs", A), ops.fsconfig_fd(A, "size", TREE)], 3, errno.EINVAL),
    ([ops.fsopen("tmpfs", A), ops.fsconfig(A, "nosuch", "1")], 1, errno.EINVAL),
    ([*tmpfs(), ops.open_in_root(TREE, "/x", O_PATH, 0, A)], 2, errno.ENOENT),
    ([*tmpfs(), ops.make_node(TREE, "n", S_IFCHR | 0o600, 259, 0, 0)], 2, errno.EPERM),
    ([*tmpfs(), ops.symlinkat("a", TREE, "n"), FIFO], 3, errno.EEXIST),
    ([*tmpfs(), ops.symlinkat("a", TREE, "l"), ops.symlinkat("a", TREE, "l")], 3, errno.EEXIST),
    (
        [
            *tmpfs(),
            ops.symlinkat("/", TREE, "l"),
            ops.make_in_root(TREE, "/l/x", FOLDER, RESOLVE_NO_SYMLINKS, A),
        ],
        3,
        errno.ELOOP,
    ),
    (
        [*tmpfs(), ops.symlinkat("a", TREE, "l"), ops.make_symlink("b", TREE, "l")],
        3,
        errno.EEXIST,
    ),
    (
        [*tmpfs(), *tmpfs(A), ops.copy_up(TREE, A), ops.open_in_root(A, "/x", 0, 0, B)],
        5,
        errno.ENOENT,
    ),
    ([ops.open_host("/", O_PATH, A), ops.check_device(A, 1, 3)], 1, errno.ENODEV),
    ([ops.open_host("/proc", O_PATH, A), ops.write_proc(A, "sys/no/such", "1")], 1, errno.ENOENT),
    (
        # a link on the way, as in a /proc that somebody else has made
        [ops.open_host("/proc", O_PATH, A), ops.write_proc(A, "self/comm", "x")],
        1,
        errno.ELOOP,
    ),
    ([*tmpfs(), ops.write_proc(TREE, "../x", "1")], 2, errno.EXDEV),
    (
        # not of this pid namespace: a file of some other process, or of none
        [
            *tmpfs(),
            ops.make_in_root(TREE, "/1/comm", FILE, 0, A),
            ops.write_own_proc(TREE, "x", ""),
        ],
        3,
        errno.ENOENT,
    ),
    (
        # a file that somebody else has made, or mounted
        [
            *tmpfs(),
            ops.make_in_root(TREE, "/1/comm", FILE, 0, A),
            ops.write_own_proc(TREE, "comm", "x"),
        ],
        3,
        errno.EXDEV,
    ),
    ([*tmpfs(), ops.write_own_proc(TREE, "x" * 4096, "")], 2, errno.ENAMETOOLONG),
    ([*tmpfs(), ops.open_in_root(TREE, "/", O_PATH, 0, A), ops.open_pty(A, B, C)], 3, errno.ENOENT),
    ([ops.find_executable([])], 0, errno.ENOENT),
    ([ops.find_executable(["/no/such", "/etc"])], 0, errno.EACCES),
    ([ops.find_executable(["/etc", "/no/such"])], 0, errno.EACCES),
    ([ops.seccomp(0, b"")], 0, errno.EINVAL),
    ([ops.detach_host("/no/such")], 0, errno.ENOENT),
    ([ops.setrlimit(99, 0, 0)], 0, errno.EINVAL),
    ([ops.setrlimit(4, 2, 1)], 0, errno.EINVAL),
    ([ops.sched_setattr(4, 0, 0, 0, 0, 0, 0)], 0, errno.EINVAL),  # SCHED_ISO
    ([ops.sched_setattr(0, 1 << 40, 0, 0, 0, 0, 0)], 0, errno.EINVAL),
    ([ops.sched_setattr(1, 0, 0, 50, 0, 0, 0)], 0, errno.EPERM),
    ([ops.ioprio_set(1 << 13)], 0, errno.EPERM),
    ([ops.ioprio_set(4 << 13)], 0, errno.EINVAL),
    ([ops.setresuid(5)], 0, errno.EINVAL),
    ([ops.prctl(0, 0)], 0, errno.EINVAL),
    ([own("uts"), ops.setns(A, CLONE_NEWPID)], 1, errno.EINVAL),
    ([ops.unshare(1)], 0, errno.EINVAL),
    ([ops.enter_cwd("/no/such", EMPTY)], 0, errno.ENOENT),
    ([ops.tolerate(errno.ENOENT, ops.fsopen("nosuchfs", A))], 0, errno.ENODEV),  # another errno
]


@pytest.mark.parametrize(("listed", "index", "number"), ERRORS)
def test_reports_index_and_errno(listed: list[Op], index: int, number: int) -> None:
    found = run(listed)
    assert found == Outcome((index, number, 0), END << 8, [])


SLOTTED = sorted(
    name
    for name, function in vars(ops).items()
    if callable(function)
    and name not in ("tolerate", "Op")
    and "Slot" in function.__annotations__.values()
)
SAMPLES = {"int": 0, "str": "x", "str | None": None, "list[str]": ["x"], "bytes": b"", "Out": A}
FAILS_OTHERWISE = {
    "enter_cwd": errno.ENOENT,  # an empty slot means: open it now
    "reopen_null": None,  # no /dev/null below it is fine
    "landlock_path": errno.ENOENT,  # there is no file x
    "report_to": None,  # the next failure has nowhere to go
    "check_device": errno.ENODEV,
    "fsconfig_fd": errno.EINVAL,
    "reconfigure": errno.EINVAL,  # as fsconfig
    "fsconfig": errno.EINVAL,  # the kernel's answer to a negative descriptor there
    "fsmount": errno.EINVAL,
    "mount_setattr": None,  # nothing to change: nothing is looked at
    "sync_send": None,  # a message without a descriptor
}


@pytest.mark.parametrize("name", SLOTTED)
def test_an_empty_slot_is_an_error_and_no_crash(name: str) -> None:
    """A plan may name one: the reader can't know what will have filled it."""
    values = [SAMPLES.get(kind, EMPTY) for _, kind in describe.signature(name)]
    found = run([getattr(ops, name)(*values)])
    number = FAILS_OTHERWISE.get(name, errno.EBADF)
    assert os.WIFEXITED(found.status), f"signal {os.WTERMSIG(found.status)}"
    if number is not None:
        assert found.failed is not None
        assert found.failed[:2] == (0, number)


def hook(script: str, timeout: int) -> list[Op]:
    streams = [ops.open_host("/dev/null", os.O_RDWR, A)]
    files = [
        ops.make_in_root(TREE, "/o", FILE, 0, B),
        ops.open_in_root(TREE, "/o", os.O_RDWR, 0, B),
    ]
    run_it = ops.run_hook(["/bin/sh", "sh", "-c", script], [], B, B, timeout, B, B)
    return [*streams, *tmpfs(), *files, run_it]


@pytest.mark.parametrize(
    ("script", "timeout", "number", "detail"),
    [
        ("exit 3", 0, errno.ECHILD, 3 << 8),
        ("kill -9 $$", 0, errno.ECHILD, 9),
        ("sleep 9 & sleep 9", 100, errno.ETIMEDOUT, 9),
    ],
)
def test_hooks_say_how_they_ended(script: str, timeout: int, number: int, detail: int) -> None:
    assert run(hook(script, timeout)).failed == (5, number, detail)


def test_execve_is_the_end() -> None:
    found = run([ops.find_executable(["/bin/sh"]), ops.execve(["sh", "-c", "exit 7"], [])])
    assert (found.failed, found.status) == (None, 7 << 8)


def test_home_is_filled_in(tmp_path: Path) -> None:
    """From /etc/passwd of the root, wherever the working directory is (the tests' is not "/")."""
    assert Path.cwd() != Path("/")
    script = f'echo "$HOME" > {tmp_path}/home'
    home = [ops.find_home(0), ops.find_executable(["/bin/sh"])]
    assert run([*home, ops.execve(["sh", "-c", script], ["HOME="])]).status == 0
    assert (tmp_path / "home").read_text().strip() == pwd.getpwuid(0).pw_dir
