# SPDX-License-Identifier: Apache-2.0
"""linux.seccomp as a program meets it: errors, signals, and calls newer than the profile."""

from __future__ import annotations

import platform
import signal
from typing import Any

import pytest

from life.bundles import Bundle
from life.runtimes import Container

with_peers = pytest.mark.with_peers
differs = pytest.mark.differs

NUMBERS = {"x86_64": {"getpid": 39, "chmod": 90}, "aarch64": {"getpid": 172, "fchmod": 52}}
NATIVE = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}
FUTURE = 1000  # a system call that no kernel has yet


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


@pytest.mark.parametrize("action", ["SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS"])
def test_kill(container: Container, bundle: Bundle, action: str) -> None:
    bundle.linux["seccomp"] = profile("SCMP_ACT_ALLOW", action, "getsid")
    result = container.run("print before", "pids", "print after")
    assert result.code == 128 + signal.SIGSYS
    assert result.answers() == ["before"]


@with_peers
@differs(crun="knows no such rule: a newer call gets the default action")
def test_newer_calls_do_not_exist(container: Container, bundle: Bundle) -> None:
    """A C library asks for a new call and takes ENOSYS for an answer, not EPERM."""
    allowed = (
        "read write close openat open execve exit_group exit brk mmap munmap mprotect arch_prctl"
        " set_tid_address set_robust_list rseq prlimit64 readlink readlinkat newfstatat fstat"
        " getrandom uname ioctl rt_sigaction rt_sigprocmask poll futex faccessat2"
        " fstatfs getdents64 fcntl epoll_ctl epoll_pwait nanosleep tgkill clone sigaltstack"
    )
    bundle.linux["seccomp"] = profile("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", *allowed.split())
    assert container.ask(f"syscall {FUTURE}", getpid()) == ["error: ENOSYS", "error: EPERM"]


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
    """Nothing may be said or done any more, and yet it ends."""
    bundle.linux["seccomp"] = profile("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", "read")
    result = container.run("print x")
    assert result.code == 128 + signal.SIGILL
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
