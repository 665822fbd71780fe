# SPDX-License-Identifier: Apache-2.0
"""What a kernel lacks, or was told to refuse, by the name of its option, version or setting.
Loaded when something has failed."""

from __future__ import annotations

import errno
import os

from pyrun.linux import NAMESPACES

# System calls: (operations that are made of it, its name, since)
SINCE = (
    (("clone3", "fork_init"), "clone3", "5.3"),
    (("fsopen", "fsopen_proc", "fsconfig", "fsmount"), "fsopen", "5.2"),
    (("open_tree", "move_mount", "cover_proc"), "open_tree", "5.2"),
    (("open_in_root", "make_in_root", "open_cwd", "write_proc", "open_pty"), "openat2", "5.6"),
    (("close_others",), "close_range", "5.9"),
    (("mount_setattr", "make_readonly", "mask"), "mount_setattr", "5.12"),
)
# namespaces(7): the kernel's option, and since when there is one of this type
NAMESPACE_OPTIONS = {
    "mount": ("", ""),
    "uts": ("CONFIG_UTS_NS", ""),
    "ipc": ("CONFIG_IPC_NS", ""),
    "user": ("CONFIG_USER_NS", ""),
    "pid": ("CONFIG_PID_NS", ""),
    "network": ("CONFIG_NET_NS", ""),
    "cgroup": ("CONFIG_CGROUPS", "Linux 4.6"),
    "time": ("CONFIG_TIME_NS", "Linux 5.6"),
}
FILES = {"mount": "mnt", "network": "net"}  # in /proc/self/ns and user.max_*_namespaces
# Settings by which hosts keep others than root from user namespaces: (file, value, what to do)
FORBIDDEN = (
    ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone is 0"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "kernel.apparmor_restrict_unprivileged_userns is 1: an AppArmor profile for pyrun must"
        " allow userns",
    ),
    ("user/max_user_namespaces", "0", "user.max_user_namespaces is 0"),
)
# linux.sysctl: (begin of the path, who brings it)
SETTINGS = (
    ("net/netfilter/", "the module nf_conntrack (`modprobe nf_conntrack` on the host)"),
    ("net/nf_conntrack", "the module nf_conntrack (`modprobe nf_conntrack` on the host)"),
    ("net/bridge/", "the module br_netfilter (`modprobe br_netfilter` on the host)"),
    ("net/ipv4/vs/", "the module ip_vs (`modprobe ip_vs` on the host)"),
    ("net/mpls/", "the module mpls_router (`modprobe mpls_router` on the host)"),
    ("net/sctp/", "the module sctp (`modprobe sctp` on the host)"),
    ("net/ipv6/", "CONFIG_IPV6, and no ipv6.disable=1 on its command line"),
    ("net/ipv4/tcp_", "an option of its TCP (CONFIG_TCP_*, CONFIG_SYN_COOKIES), or a newer kernel"),
    ("fs/mqueue/", "CONFIG_POSIX_MQUEUE_SYSCTL"),
    ("kernel/shm", "CONFIG_SYSVIPC_SYSCTL"),
    ("kernel/msg", "CONFIG_SYSVIPC_SYSCTL"),
    ("kernel/sem", "CONFIG_SYSVIPC_SYSCTL"),
    ("net/", "CONFIG_SYSCTL and CONFIG_NET_NS, or a newer kernel"),
)
# seccomp(2): flags that a kernel may not know
FILTER_FLAGS = (
    (1 << 1, "LOG", "4.14"),
    (1 << 2, "SPEC_ALLOW", "4.17"),
    (1 << 3, "NEW_LISTENER", "5.0"),
    (1 << 5, "WAIT_KILLABLE_RECV", "5.19"),
)


# cgroup controllers, as /proc/cgroups names them
CONTROLLERS = {
    "memory": "CONFIG_MEMCG",
    "pids": "CONFIG_CGROUP_PIDS",
    "cpu": "CONFIG_CGROUP_SCHED",
    "cpuset": "CONFIG_CPUSETS",
    "blkio": "CONFIG_BLK_CGROUP",
    "hugetlb": "CONFIG_CGROUP_HUGETLB",
    "rdma": "CONFIG_CGROUP_RDMA",
    "net_cls": "CONFIG_CGROUP_NET_CLASSID",
    "net_prio": "CONFIG_CGROUP_NET_PRIO",
    "devices": "CONFIG_CGROUP_DEVICE",
    "freezer": "CONFIG_CGROUP_FREEZER",
}
# Files of theirs that come with something else: (begin of the name, what)
CONTROLLER_FILES = (
    ("memory.memsw.", "swapaccount=1 on the kernel's command line"),
    ("memory.swap.", "CONFIG_MEMCG and CONFIG_SWAP, and no swapaccount=0"),
    ("cpu.rt_", "CONFIG_RT_GROUP_SCHED, and no rt_group_sched=0"),
    ("cpu.cfs_burst", "Linux 5.14 and CONFIG_CFS_BANDWIDTH"),
    ("cpu.max.burst", "Linux 5.14 and CONFIG_CFS_BANDWIDTH"),
    ("cpu.cfs_", "CONFIG_CFS_BANDWIDTH"),
    ("cpu.max", "CONFIG_CFS_BANDWIDTH"),
    ("cpu.idle", "Linux 5.15"),
    ("blkio.throttle.", "CONFIG_BLK_DEV_THROTTLING"),
    ("io.max", "CONFIG_BLK_DEV_THROTTLING"),
    ("blkio.", "CONFIG_BFQ_GROUP_IOSCHED (the scheduler bfq)"),
    ("io.bfq", "CONFIG_BFQ_GROUP_IOSCHED (the scheduler bfq)"),
    ("io.weight", "CONFIG_BLK_CGROUP_IOCOST or CONFIG_BFQ_GROUP_IOSCHED"),
    ("hugetlb.", "huge pages of this size (hugepagesz= on the kernel's command line)"),
)


def system_call(name: str) -> str:
    """For ENOSYS: what the operation needs."""
    for operations, call, version in SINCE:
        if name in operations:
            return (
                f"{call} needs Linux {version}, this is {os.uname().release}; or a seccomp filter"
                " around pyrun hides it"
            )
    return "this kernel lacks it, or a seccomp filter around pyrun hides it"


def namespaces(flags: int, number: int, proc: str = "/proc") -> str:
    """Why clone3(2), unshare(2) or setns(2) with these CLONE_NEW* flags failed."""
    kinds = [kind for kind, flag in NAMESPACES.items() if flags & flag]
    if not kinds:
        return ""
    if number in (errno.EINVAL, errno.ENOSYS):
        return _missing(kinds, proc)
    if number in (errno.ENOSPC, errno.EUSERS):
        return _exhausted(kinds, proc)
    if number == errno.EPERM:
        return _forbidden(kinds, proc)
    return ""


def _missing(kinds: list[str], proc: str) -> str:
    for kind in kinds:
        if not os.path.exists(f"{proc}/self/ns/{FILES.get(kind, kind)}"):
            option, version = NAMESPACE_OPTIONS[kind]
            since = f" ({version})" if version else ""
            return f"this kernel has no {kind} namespaces: they need {option}{since}"
    return "this kernel lacks one of the namespaces"


def _exhausted(kinds: list[str], proc: str) -> str:
    for kind in kinds:
        name = f"user.max_{FILES.get(kind, kind)}_namespaces"
        if _setting(proc, name.replace(".", "/", 1)) == "0":
            return f"{name} is 0"
    names = ", ".join(f"user.max_{FILES.get(kind, kind)}_namespaces" for kind in kinds)
    return (
        f"one of these is used up, here or in a user namespace around: {names}; or 32 levels"
        " are nested"
    )


def _forbidden(kinds: list[str], proc: str) -> str:
    if "user" in kinds:
        for path, value, words in FORBIDDEN:
            if _setting(proc, path) == value:
                return words
        return "user namespaces may be forbidden on this host, or in a chroot"
    return "new namespaces need privileges, or a user namespace of one's own"


def _setting(proc: str, path: str) -> str:
    try:
        with open(f"{proc}/sys/{path}", encoding="ascii") as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def sysctl(path: str, number: int) -> str:
    """Why a setting could not be written; `path` is below /proc, as in "sys/net/ipv4/x"."""
    path = path.removeprefix("sys/")
    if number == errno.ENOENT:
        return _no_interface(path) or _no_setting(path)
    if number in (errno.EINVAL, errno.ERANGE):
        return "the kernel does not take this value"
    if number in (errno.EACCES, errno.EPERM):
        return "the kernel does not let a container of these namespaces set it"
    return ""


def _no_interface(path: str) -> str:
    """net.ipv4.conf.eth0.forwarding, where there is no eth0."""
    net, _, group, name = ([*path.split("/"), "", "", ""])[:4]
    if net != "net" or group not in ("conf", "neigh") or name in ("", "all", "default", "lo"):
        return ""
    return f"there is no interface {name} in the container's network namespace yet"


def _no_setting(path: str) -> str:
    for begin, words in SETTINGS:
        if path.startswith(begin):
            return f"this kernel has no such setting: it takes {words}"
    return "this kernel has no such setting"


def seccomp(flags: int, number: int) -> str:
    """Why a filter with these flags was not taken."""
    if number == errno.EINVAL:
        names = [
            f"SECCOMP_FILTER_FLAG_{name} needs Linux {version}"
            for bit, name, version in FILTER_FLAGS
            if flags & bit
        ]
        return "; ".join(["the kernel needs CONFIG_SECCOMP_FILTER", *names])
    if number == errno.ENOSYS:
        return "the kernel needs CONFIG_SECCOMP_FILTER"
    if number == errno.ENOMEM:
        return "all filters of a process together may have 32768 instructions"
    if number == errno.EBUSY:
        return "the caller is under a seccomp agent itself, and the kernel takes one"
    return ""


def controller(name: str, proc: str = "/proc") -> str:
    """Why a controller is in no hierarchy; "" when /proc/cgroups does not tell."""
    name = "blkio" if name == "io" else name
    option = CONTROLLERS.get(name)
    try:
        with open(f"{proc}/cgroups", encoding="ascii") as file:
            lines = [line.split() for line in file]
    except (OSError, UnicodeDecodeError):
        return ""
    for words in lines:
        if len(words) == 4 and words[0] == name:
            if words[3] == "0":
                return (
                    f"it is switched off: cgroup_enable={name} on the kernel's command line, and"
                    f" no cgroup_disable={name}"
                )
            return ""
    return f"this kernel has no such controller: it takes {option}" if option else ""


def controller_file(names: str) -> str:
    """What it takes for a file of a controller, where a kernel has none of `names`."""
    for begin, words in CONTROLLER_FILES:
        if names.startswith(begin):
            return f"this kernel was built or booted without it: it takes {words}"
    return "this kernel was built or booted without it"
