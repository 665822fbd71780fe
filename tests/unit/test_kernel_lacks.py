# SPDX-License-Identifier: Apache-2.0
"""What a kernel lacks is named: its option, version, module or setting."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from pyrun import kernel_lacks, ops
from pyrun.linux import CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWTIME, CLONE_NEWUSER, NAMESPACES

ALL = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time")


def proc(folder: Path, settings: dict[str, str], without: tuple[str, ...] = ()) -> str:
    """A /proc with these namespaces and settings."""
    for name in ALL:
        if name not in without:
            (folder / "self/ns").mkdir(parents=True, exist_ok=True)
            (folder / "self/ns" / name).touch()
    for name, value in settings.items():
        (folder / "sys" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "sys" / name).write_text(f"{value}\n")
    return str(folder)


NAMED: list[tuple[int, int, dict[str, str], str]] = [
    (CLONE_NEWTIME | CLONE_NEWNS, errno.EINVAL, {}, "CONFIG_TIME_NS (Linux 5.6)"),
    (CLONE_NEWUSER, errno.EPERM, {"kernel/unprivileged_userns_clone": "0"}, "kernel.unprivil"),
    (CLONE_NEWUSER, errno.EPERM, {"user/max_user_namespaces": "0"}, "user.max_user_namespaces is"),
    (
        CLONE_NEWUSER,
        errno.EPERM,
        {"kernel/apparmor_restrict_unprivileged_userns": "1"},
        "an AppArmor profile",
    ),
    (CLONE_NEWUSER, errno.EPERM, {}, "user namespaces may be forbidden"),
    (CLONE_NEWNET, errno.EPERM, {}, "new namespaces need privileges"),
    (CLONE_NEWNET, errno.ENOSPC, {"user/max_net_namespaces": "0"}, "user.max_net_namespaces is 0"),
    (CLONE_NEWNET | CLONE_NEWNS, errno.ENOSPC, {}, "max_mnt_namespaces, user.max_net_namespaces"),
    (CLONE_NEWNET, errno.EINVAL, {}, "lacks one of the namespaces"),
    (0, errno.EINVAL, {}, ""),
    (CLONE_NEWNET, errno.ENOMEM, {}, ""),
]


@pytest.mark.parametrize(("flags", "number", "settings", "words"), NAMED)
def test_namespaces(
    flags: int, number: int, settings: dict[str, str], words: str, tmp_path: Path
) -> None:
    found = kernel_lacks.namespaces(flags, number, proc(tmp_path, settings, ("time",)))
    assert words in found
    assert bool(words) == bool(found)


def test_every_namespace_has_an_option() -> None:
    assert set(kernel_lacks.NAMESPACE_OPTIONS) == set(NAMESPACES)


SYSCTLS = [
    ("net/netfilter/nf_conntrack_max", errno.ENOENT, "modprobe nf_conntrack"),
    ("net/bridge/bridge-nf-call-iptables", errno.ENOENT, "modprobe br_netfilter"),
    ("net/ipv6/conf/all/forwarding", errno.ENOENT, "ipv6.disable=1"),
    ("net/ipv4/conf/eth0/forwarding", errno.ENOENT, "no interface eth0"),
    ("net/ipv4/tcp_future", errno.ENOENT, "TCP"),
    ("fs/mqueue/msg_max", errno.ENOENT, "CONFIG_POSIX_MQUEUE"),
    ("kernel/shmmax", errno.ENOENT, "CONFIG_SYSVIPC"),
    ("kernel/other", errno.ENOENT, "this kernel has no such setting"),
    ("net/ipv4/ip_forward", errno.EINVAL, "does not take this value"),
    ("kernel/shmmax", errno.EACCES, "does not let a container"),
    ("kernel/shmmax", errno.EIO, ""),
]


@pytest.mark.parametrize(("path", "number", "words"), SYSCTLS)
def test_sysctl(path: str, number: int, words: str) -> None:
    found = kernel_lacks.sysctl(f"sys/{path}", number)
    assert words in found
    assert bool(words) == bool(found)


def test_system_calls() -> None:
    assert kernel_lacks.system_call("make_in_root").startswith("openat2 needs Linux 5.6, this is ")
    assert kernel_lacks.system_call("sethostname").startswith("this kernel lacks it")
    for names, _, _ in kernel_lacks.SINCE:
        for name in names:
            assert name == "clone3" or callable(getattr(ops, name))


@pytest.mark.parametrize(
    ("flags", "number", "words"),
    [
        (0, errno.EINVAL, "the kernel needs CONFIG_SECCOMP_FILTER"),
        (1 << 5, errno.EINVAL, "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs Linux 5.19"),
        (0, errno.ENOSYS, "CONFIG_SECCOMP_FILTER"),
        (8, errno.EBUSY, "is under a seccomp agent"),
        (0, errno.ENOMEM, "32768 instructions"),
        (0, errno.EFAULT, ""),
    ],
)
def test_seccomp(flags: int, number: int, words: str) -> None:
    assert words in kernel_lacks.seccomp(flags, number)


CGROUPS = """#subsys_name	hierarchy	num_cgroups	enabled
cpu	3	10	1
memory	0	10	0
blkio	4	1	1
"""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("memory", "cgroup_enable=memory on the kernel's command line"),
        ("pids", "it takes CONFIG_CGROUP_PIDS"),
        ("io", ""),
        ("cpu", ""),
        ("unheard", ""),
    ],
)
def test_controllers(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "cgroups").write_text(CGROUPS)
    found = kernel_lacks.controller(name, str(tmp_path))
    assert words in found
    assert bool(words) == bool(found)
    assert kernel_lacks.controller(name, str(tmp_path / "none")) == ""


def test_files_of_controllers() -> None:
    found = kernel_lacks.controller_file("memory.memsw.limit_in_bytes")
    assert "swapaccount=1" in found
    assert "bfq" in kernel_lacks.controller_file("blkio.weight or blkio.bfq.weight")
    assert kernel_lacks.controller_file("x") == "this kernel was built or booted without it"
