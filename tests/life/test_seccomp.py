# SPDX-License-Identifier: Apache-2.0
"""linux.seccomp as a program meets it: errors, signals, and calls newer than the profile."""

from __future__ import annotations

import platform
import signal
from typing import Any

import pytest

from life.bundles import Bundle
from life.runtimes import Container

pytestmark = pytest.mark.warmed
with_peers = pytest.mark.with_peers
differs = pytest.mark.differs

NUMBERS = {"x86_64": {"getpid": 39, "chmod": 90}, "aarch64": {"getpid": 172, "fchmod": 52}}
NATIVE = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}
FUTURE = 1000  # a system call that no kernel has yet
# What the payload needs, and the peers on their way to it.
ALLOWED = (
    "read write close openat open execve exit_group exit brk mmap munmap mprotect arch_prctl"
    " set_tid_address set_robust_list rseq prlimit64 readlink readlinkat newfstatat fstat"
    " getrandom uname ioctl rt_sigaction rt_sigprocmask poll futex faccessat2"
    " fstatfs getdents64 fcntl epoll_ctl epoll_pwait nanosleep tgkill clone sigaltstack"
    # Go's scheduler, in runc's init: it interrupts its own threads.
    " rt_sigreturn madvise sched_yield gettid clone3"
)


def profile(default: str, action: str, *names: str, **more: Any) -> dict[str, Any]:
    """A profile with one rule."""
    rule = {"names": list(names), "action": action, **more}
    architecture = NATIVE[platform.machine()]
    return {"defaultAction": default, "architectures": [architecture], "syscalls": [rule]}


def getpid() -> str:
    """The payload's verb for it."""
    return f"syscall {NUMBERS[platform.machine()]['getpid']}"


@with_peers
@pytest.mark.parametrize("nnp", [True, False])
def test_error(container: Container, bundle: Bundle, nnp: bool) -> None:
    bundle.process["noNewPrivileges"] = nnp
    bundle.linux["seccomp"] = profile("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "getpid", errnoRet=42)
    answer, mode, privileges = container.ask(getpid(), "status Seccomp", "nnp")
    assert answer == "error: ENOMSG"
    assert mode == "2"
    assert privileges == str(int(nnp))


@pytest.mark.parametrize("nnp", [True, False])
def test_without_privileges_to_load_it(container: Container, bundle: Bundle, nnp: bool) -> None:
    """An ordinary user with no capability at all: the filter goes in before they are dropped."""
    bundle.process["noNewPrivileges"] = nnp
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["capabilities"] = {}
    bundle.linux["seccomp"] = profile("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "getpid")
    answer, caps, identity = container.ask(getpid(), "caps", "id")
    assert answer == "error: EPERM"
    assert all(line.endswith(" 0") for line in caps.splitlines())
    assert identity == "1000 1000"


@with_peers
@pytest.mark.parametrize("action", ["KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP"])
def test_kill(container: Container, bundle: Bundle, action: str) -> None:
    """SIGSYS: without a handler it ends the first process of a pid namespace too."""
    bundle.linux["seccomp"] = profile("SCMP_ACT_ALLOW", f"SCMP_ACT_{action}", "getsid")
    result = container.run("print before", "pids", "print after")
    assert result.code == 128 + signal.SIGSYS
    assert result.answers() == ["before"]


@with_peers
@differs(crun="knows no such rule: a newer call gets the default action")
def test_newer_calls_do_not_exist(container: Container, bundle: Bundle) -> None:
    """A C library asks for a new call and takes ENOSYS for an answer, not EPERM."""
    bundle.linux["seccomp"] = profile("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", *ALLOWED.split())
    assert container.ask(f"syscall {FUTURE}", getpid()) == ["error: ENOSYS", "error: EPERM"]


@differs(crun="knows no such rule: a newer call gets the default action")
def test_errno_of_the_default(container: Container, bundle: Bundle) -> None:
    seccomp = profile("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", *ALLOWED.split())
    bundle.linux["seccomp"] = seccomp | {"defaultErrnoRet": 42}
    assert container.ask(f"syscall {FUTURE}", getpid()) == ["error: ENOSYS", "error: ENOMSG"]


@with_peers
def test_log_lets_it_pass(container: Container, bundle: Bundle) -> None:
    bundle.linux["seccomp"] = profile("SCMP_ACT_LOG", "SCMP_ACT_LOG", "getpid")
    bundle.linux["seccomp"]["syscalls"].append({"names": ["getsid"], "action": "SCMP_ACT_ERRNO"})
    assert container.ask(getpid(), "status Seccomp") == ["ok", "2"]


@with_peers
def test_trace_without_a_tracer(container: Container, bundle: Bundle) -> None:
    """seccomp(2): such a call does not exist."""
    bundle.linux["seccomp"] = profile("SCMP_ACT_ALLOW", "SCMP_ACT_TRACE", "getpid", errnoRet=7)
    assert container.ask(getpid()) == ["error: ENOSYS"]


COMPARED = {  # operator, value, second value: what it holds for, and what not
    "NE": (5, 0, [4, 2**32 + 5], [5]),
    "LT": (2**32 + 2, 0, [1, 2**32 + 1], [2**32 + 2, 2**33]),
    "LE": (2**32 + 2, 0, [3, 2**32 + 2], [2**32 + 3, 2**33]),
    "EQ": (2**32 + 2, 0, [2**32 + 2], [2, 2**32]),
    "GE": (2**32 + 2, 0, [2**32 + 2, 2**33], [3, 2**32 + 1]),
    "GT": (2**32 + 2, 0, [2**32 + 3, 2**33], [3, 2**32 + 2]),
    "MASKED_EQ": (2**32 + 6, 2**32 + 4, [2**32 + 4, 2**33 + 2**32 + 5], [4, 2**32 + 6]),
}


@with_peers
@pytest.mark.parametrize("op", COMPARED)
def test_operators(container: Container, bundle: Bundle, op: str) -> None:
    """All 64 bits are compared."""
    value, second, holding, other = COMPARED[op]
    condition = {"index": 1, "value": value, "valueTwo": second, "op": f"SCMP_CMP_{op}"}
    bundle.linux["seccomp"] = profile(
        "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "getpid", args=[condition]
    )
    verbs = [f"{getpid()} 0 {number}" for number in (*holding, *other)]
    assert container.ask(*verbs) == ["error: EPERM"] * len(holding) + ["ok"] * len(other)


@pytest.mark.pyrun_only("libseccomp alone allows what no rule says")
def test_rules_of_one_call_that_libseccomp_confuses(container: Container, bundle: Bundle) -> None:
    at_most = [{"index": index, "value": 3, "op": "SCMP_CMP_LE"} for index in (0, 1)]
    at_least = {"index": 0, "value": 3, "op": "SCMP_CMP_GE"}
    bundle.linux["seccomp"] = profile("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "getpid", args=at_most)
    rule = {"names": ["getpid"], "action": "SCMP_ACT_ERRNO", "args": [at_least]}
    bundle.linux["seccomp"]["syscalls"].append(rule)
    verbs = [f"{getpid()} {first} {second}" for first, second in ((0, 4), (0, 3), (3, 4), (9, 9))]
    assert container.ask(*verbs) == ["ok", *["error: EPERM"] * 3]


@with_peers
@differs(runc="1.1 takes none")
@pytest.mark.parametrize("names", [["TSYNC"], ["LOG"], ["SPEC_ALLOW"], ["LOG", "SPEC_ALLOW"]])
def test_flags(container: Container, bundle: Bundle, names: list[str]) -> None:
    bundle.linux["seccomp"] = profile("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "getpid")
    bundle.linux["seccomp"]["flags"] = [f"SECCOMP_FILTER_FLAG_{name}" for name in names]
    assert container.ask(getpid()) == ["error: EPERM"]


@with_peers
@differs(runc="1.1 takes none")
def test_wait_killable_without_a_listener(container: Container, bundle: Bundle) -> None:
    """It says something of notifications, and there are none."""
    bundle.linux["seccomp"] = profile("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "getpid")
    bundle.linux["seccomp"]["flags"] = ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]
    assert container.ask(getpid()) == ["error: EPERM"]


@with_peers
def test_architectures(container: Container, bundle: Bundle) -> None:
    """The native one is always there."""
    bundle.linux["seccomp"] = profile("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "getpid")
    for names in ([], ["ARM", "X86"]):
        bundle.linux["seccomp"]["architectures"] = [f"SCMP_ARCH_{name}" for name in names]
        assert container.ask(getpid()) == ["error: EPERM"]


UNKNOWN: dict[str, dict[str, Any]] = {
    "action": {"defaultAction": "SCMP_ACT_PERHAPS"},
    "architecture": {"architectures": ["SCMP_ARCH_Z80"]},
    "flag": {"flags": ["SECCOMP_FILTER_FLAG_NO"]},
    "operator": {
        "syscalls": [
            {
                "names": ["getpid"],
                "action": "SCMP_ACT_ERRNO",
                "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_ABOUT"}],
            }
        ]
    },
}


@with_peers
@pytest.mark.parametrize("what", UNKNOWN)
def test_unknown_words_are_refused(container: Container, bundle: Bundle, what: str) -> None:
    bundle.linux["seccomp"] = profile("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "getpid") | UNKNOWN[what]
    result = container.run("print x")
    assert result.code != 0
    assert "x" not in result.answers()
    if container.runtime.name == "pyrun":
        assert "/linux/seccomp/" in result.err


@pytest.mark.pyrun_only("runc ignores it")
def test_an_errno_that_an_action_does_not_take(container: Container, bundle: Bundle) -> None:
    """The runtime MUST fail (config-linux.md)."""
    bundle.linux["seccomp"] = profile("SCMP_ACT_ALLOW", "SCMP_ACT_KILL", "getpid", errnoRet=1)
    result = container.run("print x")
    assert result.code == 1
    assert "/linux/seccomp/syscalls/0/action: SCMP_ACT_KILL takes no errno" in result.err


def test_arguments(container: Container, bundle: Bundle) -> None:
    condition = {"index": 0, "value": 77, "op": "SCMP_CMP_EQ"}
    bundle.linux["seccomp"] = profile(
        "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "getpid", errnoRet=1, args=[condition]
    )
    assert container.ask(f"{getpid()} 76", f"{getpid()} 77") == ["ok", "error: EPERM"]


@differs(runc="1.1 needs calls of its own")
def test_the_profile_has_to_allow_nothing_for_us(container: Container, bundle: Bundle) -> None:
    """No call between the filter and the program but execve itself."""
    bundle.linux["seccomp"] = profile("SCMP_ACT_KILL_PROCESS", "SCMP_ACT_ALLOW", "execve")
    assert container.run("print x").code == 128 + signal.SIGSYS


@pytest.mark.pyrun_only("how it ends")
def test_a_profile_without_execve_or_exit(container: Container, bundle: Bundle) -> None:
    """Nothing may be said or done any more, and yet it ends, and is no success."""
    bundle.linux["seccomp"] = profile("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", "read")
    result = container.run("print x")
    assert result.code == 1
    assert "was killed before it became the program: by somebody, or for a call" in result.err
    bundle.linux["seccomp"] = profile("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "execve")
    result = container.run("print x")
    assert result.code == 1
    assert "operation not permitted: the seccomp profile does not allow execve" in result.err


def test_same_profile_twice(container: Container, bundle: Bundle) -> None:
    """The second comes from the cache."""
    bundle.linux["seccomp"] = profile("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "getpid")
    for _ in range(2):
        assert container.ask(getpid()) == ["error: EPERM"]


def test_no_profile(container: Container) -> None:
    assert container.ask("status Seccomp") == ["0"]
