# SPDX-License-Identifier: Apache-2.0
"""config-linux.md, Seccomp: actions, errors, comparisons, and the agent's socket."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conformance.case import Case
from conformance.plugin import check, each
from conformance.runtime import eventually

NEEDS = ("seccomp",)
ALLOW, ERRNO = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"
# What the payload does, and what it says where that works: mkdir, chmod of a file, umask.
MKDIR = {"names": ["mkdir", "mkdirat"], "action": ERRNO}


def profile(*rules: dict[str, Any], default: str = ALLOW, **more: Any) -> dict[str, Any]:
    """linux.seccomp with these rules."""
    return {"defaultAction": default, "syscalls": list(rules)} | more


@check("config-linux.seccomp", needs=NEEDS)
def check_filter(case: Case) -> None:
    """A rule takes effect; without seccomp there is no filter."""
    case.box.config["linux"]["seccomp"] = profile(MKDIR)
    seen = case.box.ask("mkdir /tmp/new", "status Seccomp")
    case.expect("mkdir, and the filter mode", ["error: EPERM", "2"], seen)
    seen = case.new().ask("mkdir /tmp/new", "status Seccomp")
    case.expect("without seccomp", ["ok", "0"], seen)


@check("config-linux.seccomp.syscalls", "config-linux.seccomp.syscalls.names", needs=NEEDS)
def check_names(case: Case) -> None:
    """Each call of a rule, and no others."""
    rule = {"names": ["mkdir", "mkdirat", "chmod", "fchmodat"], "action": ERRNO}
    case.box.config["linux"]["seccomp"] = profile(rule)
    seen = case.box.ask("mkdir /tmp/new", "chmod /data 0700", "umask", "write /tmp/file text")
    case.expect("mkdir, chmod, umask, write", ["error: EPERM", "error: EPERM", "0022", "ok"], seen)


@check("config-linux.seccomp.syscalls-left-out", needs=NEEDS)
def check_no_rules(case: Case) -> None:
    """SCMP_ACT_ALLOW allows everything, SCMP_ACT_LOG as well."""
    for action in (ALLOW, "SCMP_ACT_LOG"):
        box = case.new()
        box.config["linux"]["seccomp"] = {"defaultAction": action}
        seen = box.ask("mkdir /tmp/new", "status Seccomp")
        case.expect(f"mkdir with {action} alone, and the filter mode", ["ok", "2"], seen)


def _odd_call(case: Case) -> int:
    """The number of sched_get_priority_max(2), which nobody else calls and anybody may."""
    numbers = {"x86_64": 146, "aarch64": 125}
    if platform.machine() not in numbers:
        case.skip(f"the numbers of {platform.machine()} are not known here")
    return numbers[platform.machine()]


# Everything that a static program and a runtime on its way to it may call.
CALLS = """
read write writev readv open openat openat2 close close_range fstat stat lstat newfstatat statx
fstatfs statfs lseek mmap mprotect munmap mremap madvise brk rt_sigaction rt_sigprocmask
rt_sigreturn rt_sigtimedwait sigaltstack ioctl pread64 access faccessat faccessat2 pipe pipe2
select sched_yield nanosleep clock_nanosleep clock_gettime clock_getres getpid gettid getppid
exit exit_group uname fcntl getcwd chdir fchdir readlink readlinkat getuid getgid geteuid
getegid setuid setgid setgroups getgroups setresuid setresgid getresuid getresgid capget capset
prctl arch_prctl set_tid_address set_robust_list rseq futex execve execveat poll ppoll
epoll_create1 epoll_ctl epoll_pwait epoll_wait eventfd2 getrandom prlimit64 getrlimit setrlimit
sched_getaffinity sched_setaffinity clone clone3 fork vfork wait4 kill tgkill tkill dup dup2
dup3 getdents64 sendmsg recvmsg sendto recvfrom socket connect membarrier restart_syscall
seccomp keyctl setsid getpgrp getsid personality umount2 mount fsync unlink unlinkat
landlock_restrict_self time gettimeofday set_mempolicy ioprio_set sched_setattr
sched_setscheduler sched_getparam sched_getscheduler timer_create timer_settime timer_delete
setitimer pidfd_open pidfd_send_signal memfd_create
"""
LATE = CALLS.split()


@check("config-linux.seccomp.defaultAction", needs=NEEDS)
def check_default_action(case: Case) -> None:
    """SCMP_ACT_ERRNO for what no rule allows, which is nothing that a program needs."""
    allow = {"names": LATE, "action": ALLOW}
    case.box.config["linux"]["seccomp"] = profile(allow, default=ERRNO)
    seen = case.box.ask(f"syscall {_odd_call(case)} 1", "cwd")
    case.expect("sched_get_priority_max, and getcwd", ["error: EPERM", "/"], seen)


@check("config-linux.seccomp.defaultErrnoRet", needs=NEEDS, may_refuse=True)
def check_default_errno(case: Case) -> None:
    """ENOSYS."""
    allow = {"names": LATE, "action": ALLOW}
    case.box.config["linux"]["seccomp"] = profile(
        allow, default=ERRNO, defaultErrnoRet=errno.ENOSYS
    )
    seen = case.box.ask(f"syscall {_odd_call(case)} 1")
    case.expect("sched_get_priority_max", ["error: ENOSYS"], seen)


@check("config-linux.seccomp.syscalls.action", needs=NEEDS)
def check_actions(case: Case) -> None:
    """SCMP_ACT_ERRNO, SCMP_ACT_LOG and SCMP_ACT_KILL_PROCESS."""
    box = case.box
    box.config["linux"]["seccomp"] = profile(
        {"names": ["mkdir", "mkdirat"], "action": ERRNO},
        {"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_LOG"},
    )
    case.expect(
        "mkdir, and chmod", ["error: EPERM", "ok"], box.ask("mkdir /tmp/new", "chmod /data 0700")
    )
    other = case.new()
    other.config["linux"]["seccomp"] = profile(
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"}
    )
    result = other.run("print before", "mkdir /tmp/new", "print after")
    case.contains("what the program printed", "before", result.out)
    case.lacks("what the program printed", "after", result.out)


@check("config-linux.seccomp.syscalls.errnoRet", needs=NEEDS)
def check_errno(case: Case) -> None:
    """EPERM unless it is given; ENOTTY."""
    rule = {"names": ["chmod", "fchmodat"], "action": ERRNO, "errnoRet": errno.ENOTTY}
    case.box.config["linux"]["seccomp"] = profile(MKDIR, rule)
    seen = case.box.ask("mkdir /tmp/new", "chmod /data 0700")
    case.expect("mkdir, and chmod", ["error: EPERM", "error: ENOTTY"], seen)


@check("config-linux.seccomp.defaultErrnoRet-unsuitable", needs=NEEDS)
def check_default_errno_unsuitable(case: Case) -> None:
    """With SCMP_ACT_ALLOW."""
    case.box.config["linux"]["seccomp"] = profile(MKDIR, defaultErrnoRet=errno.ENOSYS)
    case.refused(case.box, "defaultErrnoRet with SCMP_ACT_ALLOW", at="start")


@check("config-linux.seccomp.syscalls.errnoRet-unsuitable", needs=NEEDS)
def check_errno_unsuitable(case: Case) -> None:
    """With SCMP_ACT_KILL_PROCESS."""
    rule = {"names": ["mkdir"], "action": "SCMP_ACT_KILL_PROCESS", "errnoRet": errno.ENOTTY}
    case.box.config["linux"]["seccomp"] = profile(rule)
    case.refused(case.box, "errnoRet with SCMP_ACT_KILL_PROCESS", at="start")


@check("config-linux.seccomp.syscalls.names-one", needs=NEEDS)
def check_no_names(case: Case) -> None:
    """An empty list."""
    case.box.config["linux"]["seccomp"] = profile({"names": [], "action": ERRNO})
    case.refused(case.box, "a rule with no names", at="start")


@check("config-linux.seccomp.listenerMetadata-alone", needs=NEEDS)
def check_metadata_alone(case: Case) -> None:
    """No listenerPath."""
    case.box.config["linux"]["seccomp"] = profile(MKDIR, listenerMetadata="metadata")
    case.refused(case.box, "listenerMetadata without listenerPath", at="start")


@check("config-linux.seccomp.architectures", needs=NEEDS)
def check_architectures(case: Case) -> None:
    """The machine's own, and others that it has; one of no machine is an error."""
    own = {"x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
           "aarch64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]}.get(platform.machine())  # fmt: skip
    if own is None:
        case.skip(f"the architectures of {platform.machine()} are not known here")
    case.box.config["linux"]["seccomp"] = profile(MKDIR, architectures=own)
    case.expect("mkdir", ["error: EPERM"], case.box.ask("mkdir /tmp/new"))
    other = case.new()
    other.config["linux"]["seccomp"] = profile(MKDIR, architectures=["SCMP_ARCH_NONSENSE"])
    case.refused(other, "SCMP_ARCH_NONSENSE", at="start")


@check("config-linux.seccomp.flags", needs=NEEDS, may_refuse=True)
def check_flags(case: Case) -> None:
    """SECCOMP_FILTER_FLAG_SPEC_ALLOW, as the kernel tells of the process; a word that is none."""
    case.box.config["linux"]["seccomp"] = profile(
        MKDIR, flags=["SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_LOG"]
    )
    case.expect("mkdir", ["error: EPERM"], case.box.ask("mkdir /tmp/new"))
    other = case.new()
    other.config["linux"]["seccomp"] = profile(MKDIR, flags=["SECCOMP_FILTER_FLAG_NONSENSE"])
    case.refused(other, "SECCOMP_FILTER_FLAG_NONSENSE", at="start")


# Rules for mkdir(2) by its mode, which is 0777 of the payload: comparison, and whether it matches
def _compare(op: str, value: int, two: int | None = None, index: int = 1) -> dict[str, Any]:
    found = {"index": index, "value": value, "op": f"SCMP_CMP_{op}"}
    return found if two is None else found | {"valueTwo": two}


COMPARISONS = {
    "": [(_compare("EQ", 0o777), True), (_compare("EQ", 0o700), False)],
    ".index": [(_compare("EQ", 0o777, index=1), True), (_compare("EQ", 0o777, index=2), False)],
    ".value": [(_compare("EQ", 0o777), True), (_compare("EQ", 0o776), False)],
    ".valueTwo": [
        (_compare("MASKED_EQ", 0o700, 0o700), True),
        (_compare("MASKED_EQ", 0o700, 0o600), False),
    ],
    ".op": [
        (_compare("NE", 0o777), False),
        (_compare("NE", 1), True),
        (_compare("LT", 0o1000), True),
        (_compare("LE", 0o777), True),
        (_compare("GE", 0o777), True),
        (_compare("GT", 0o777), False),
    ],
}


@each({f"config-linux.seccomp.syscalls.args{name}": row for name, row in COMPARISONS.items()},
      needs=NEEDS)  # fmt: skip
def check_comparisons(case: Case, row: list[tuple[dict[str, Any], bool]]) -> None:
    """mkdir(2) with mode 0777 matches or not."""
    number = {"x86_64": 83}.get(platform.machine())
    if number is None:
        case.skip(f"{platform.machine()} has no mkdir(2)")
    for comparison, matches in row:
        box = case.new()
        box.config["linux"]["seccomp"] = profile(
            {"names": ["mkdir"], "action": ERRNO, "args": [comparison]}
        )
        wanted = "error: EPERM" if matches else "ok"
        case.expect(f"mkdir with {comparison}", [wanted], box.ask("mkdir /tmp/new"))


def _whole(text: bytes) -> bool:
    """Whether it is JSON, to its end."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


class Agent:
    """A seccomp agent that keeps what a runtime sends and answers no call."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connections: list[tuple[str, list[int], list[str], bool]] = []
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(path))
        self.server.listen()
        self.stop, self.stopper = os.pipe()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _ready(self, fd: int, seconds: float | None = None) -> bool:
        found, _, _ = select.select([fd, self.stop], [], [], seconds)
        return fd in found

    def _serve(self) -> None:
        while self._ready(self.server.fileno()):
            connection, _ = self.server.accept()
            with connection:
                self.connections.append(self._take(connection))

    def _take(self, connection: socket.socket) -> tuple[str, list[int], list[str], bool]:
        """The text, the number of descriptors of each message, what they are, and whether the other
        side has closed the connection after it."""
        text, counts, links, closed = b"", [], [], False
        while self._ready(connection.fileno(), 2 if _whole(text) else 10):
            part, control, _, _ = connection.recvmsg(65536, socket.CMSG_SPACE(64))
            fds = [fd for *_, found in control for fd in memoryview(found).cast("i")]
            for fd in fds:
                links.append(os.readlink(f"/proc/self/fd/{fd}"))
                os.close(fd)
            counts.append(len(fds))
            if not part:
                closed = True
                break
            text += part
        return text.decode(), counts, links, closed

    def close(self) -> None:
        """Stops to listen."""
        os.close(self.stopper)
        self.thread.join()
        self.server.close()
        os.close(self.stop)


@contextlib.contextmanager
def agent(case: Case, **more: Any) -> Iterator[Agent]:
    """An agent for the calls of mkdir(2) of case.box, which has been created with it."""
    found = Agent(case.box.bundle.path / "agent")
    rule = {"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}
    case.box.config["linux"]["seccomp"] = profile(rule, listenerPath=str(found.path), **more)
    try:
        case.box.created()
        if not eventually(lambda: found.connections, 0.5):
            case.box.start()  # a runtime may send it with start
        eventually(lambda: found.connections)
        yield found
    finally:
        found.close()


AGENT = {
    f"config-linux.seccomp.listenerPath{end}": end
    for end in ("", "-stream", "-one", "-not-again", "-closed", ".seccompFd")
} | {
    "config-linux.seccomp.listenerMetadata": "metadata",
    "config-linux.process-state.sent": "json",
    "config-linux.process-state.descriptors": ".seccompFd",
    "config-linux.process-state.descriptors-first": "first",
    "config-linux.process-state.ociVersion": "ociVersion",
    "config-linux.process-state.fds": "fds",
    "config-linux.process-state.pid": "pid",
    "config-linux.process-state.metadata": "metadata",
    "config-linux.process-state.state": "state",
}


@each(AGENT, needs=NEEDS, may_refuse=True)
def check_agent(case: Case, row: str) -> None:
    """What an agent gets for a container with SCMP_ACT_NOTIFY."""
    with agent(case, listenerMetadata="some metadata") as found:
        pid = case.box.pid
    case.expect("connections to the agent", 1, len(found.connections))
    text, counts, links, closed = found.connections[0]
    if row == "":
        _unused(case)
    if row == "-closed":
        case.expect("the connection was closed after the message", expected=True, seen=closed)
    elif row == ".seccompFd":
        case.expect("descriptors", ["anon_inode:seccomp notify"], links)
    elif row == "first":
        case.require("descriptors of each message", "all with the first", counts,
                     counts[0] == 1 and not any(counts[1:]))  # fmt: skip
    elif row not in ("", "-stream", "-one", "-not-again"):
        case.require("what was sent", "one JSON object", text, _whole(text.encode()))
        _told(case, row, json.loads(text), pid)


def _unused(case: Case) -> None:
    """Without SCMP_ACT_NOTIFY the path, where nobody listens, means nothing."""
    other = case.new()
    other.config["linux"]["seccomp"] = profile(MKDIR, listenerPath=str(case.folder / "nobody"))
    result = other.run("mkdir /tmp/new")
    case.works("a container with a listenerPath and no SCMP_ACT_NOTIFY", result)
    case.contains("what mkdir gives", "error: EPERM", result.out)


def _told(case: Case, row: str, state: dict[str, Any], pid: int) -> None:
    if row == "metadata":
        case.expect("metadata", "some metadata", state.get("metadata"))
    elif row == "fds":
        case.expect("fds", ["seccompFd"], state.get("fds"))
    elif row == "pid":
        case.expect("pid", pid, state.get("pid"))
    elif row == "ociVersion":
        seen = str(state.get("ociVersion"))
        case.require("ociVersion", "a Semantic Version", seen, seen.count(".") >= 2)
    elif row == "state":
        inner = state.get("state") or {}
        about = (inner.get("id"), inner.get("bundle"))
        case.expect("id and bundle of the state", (case.box.id, str(case.box.bundle.path)), about)


@check("config-linux.seccomp.listenerPath-error", needs=NEEDS)
def check_nobody_listens(case: Case) -> None:
    """A path where no socket is."""
    rule = {"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}
    case.box.config["linux"]["seccomp"] = profile(rule, listenerPath=str(case.folder / "nobody"))
    case.refused(case.box, "a socket that nobody listens at", at="start")
