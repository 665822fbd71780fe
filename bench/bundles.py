# SPDX-License-Identifier: Apache-2.0
"""Configs that are more than the default one: what engines add to it, and what grows.

Each function gives a new config and leaves the one that it is given as it was.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import Any, TypeAlias

Config: TypeAlias = "dict[str, Any]"

ENGINE_MOUNTS = 30
MOST_MOUNTS = 300
VOLUMES = "mnt"  # where mounts go in the rootfs
# As libseccomp numbers them: a profile for x86-64 names the calls of its 32-bit programs too.
X86_64, X86 = 0xC000003E, 0x40000003
MOST_CALLS = 600  # no architecture here has numbers beyond
# What a container is not to ask the kernel for: other namespaces, mounts, modules, keys, clocks,
# devices' ports, swap, quotas, and what looks into other processes.
REFUSED = frozenset(
    (
        "acct", "add_key", "bpf", "clock_adjtime", "clock_settime", "clock_settime64",
        "create_module", "delete_module", "fanotify_init", "finit_module", "fsconfig", "fsmount",
        "fsopen", "fspick", "get_kernel_syms", "get_mempolicy", "init_module", "ioperm", "iopl",
        "kcmp", "kexec_file_load", "kexec_load", "keyctl", "lookup_dcookie", "mbind",
        "migrate_pages", "mount", "mount_setattr", "move_mount", "move_pages",
        "name_to_handle_at", "nfsservctl", "open_by_handle_at", "open_tree", "perf_event_open",
        "personality", "pivot_root", "process_madvise", "process_vm_readv", "process_vm_writev",
        "query_module", "quotactl", "quotactl_fd", "reboot", "request_key", "set_mempolicy",
        "setdomainname", "sethostname", "setns", "settimeofday", "stime", "swapoff", "swapon",
        "_sysctl", "sysfs", "syslog", "umount", "umount2", "unshare", "uselib", "userfaultfd",
        "ustat", "vhangup", "vm86", "vm86old", "vserver", "clone", "clone3", "socket",
    )
)  # fmt: skip
NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS … CLONE_NEWNET, CLONE_NEWCGROUP
AF_VSOCK = 40
EPERM, ENOSYS = 1, 38
PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)


def with_mounts(config: Config, work: Path, count: int) -> Config:
    """`count` mounts more, as engines ask for them: folders of the host's, read-only ones, single
    files, and a tmpfs, in turn. make_volumes() has made the sources and the targets."""
    kinds: list[tuple[str, str, list[str]]] = [
        ("bind", "folder", ["rbind", "rprivate"]),
        ("bind", "folder", ["rbind", "rprivate", "ro"]),
        ("bind", "file", ["bind", "rprivate", "ro"]),
        ("tmpfs", "tmpfs", ["nosuid", "nodev", "size=64k"]),
    ]
    added = []
    for number in range(count):
        kind, source, options = kinds[number % len(kinds)]
        path = source if kind == "tmpfs" else str(work / "volumes" / source)
        target = f"/{VOLUMES}/{number}"
        added.append({"destination": target, "type": kind, "source": path, "options": options})
    return {**config, "mounts": [*config["mounts"], *added]}


def make_volumes(work: Path) -> None:
    """What with_mounts() mounts, and where in the rootfs."""
    (work / "volumes/folder").mkdir(parents=True)
    (work / "volumes/file").touch()
    folder = work / "rootfs" / VOLUMES
    folder.mkdir()
    for number in range(MOST_MOUNTS):
        target = folder / str(number)
        target.touch() if number % 4 == 2 else target.mkdir()


def with_environment(config: Config, _work: Path, count: int) -> Config:
    """`count` variables more."""
    more = [f"VARIABLE_{number}=the value of number {number}" for number in range(count)]
    return {**config, "process": {**config["process"], "env": [*config["process"]["env"], *more]}}


def with_rules(config: Config, _work: Path, count: int, mark: int = 0) -> Config:
    """A filter of `count` rules: each refuses one call with an argument that no program gives it.
    Another `mark`, another filter."""
    names = known_calls(X86_64) or ("read",)
    rules = []
    for number in range(count):
        value = 0x7F00_0000_0000 + mark * 1000 + number
        argument = {"index": 1, "value": value, "op": "SCMP_CMP_EQ"}
        rules.append(_rule([names[number % len(names)]], argument, action="SCMP_ACT_ERRNO"))
    filter_ = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}
    return {**config, "linux": {**config["linux"], "seccomp": filter_}}


def as_engines_do(config: Config, work: Path) -> Config:
    """30 mounts, and a profile of the shape of that which Docker gives every container: some 400
    names that are allowed on three architectures, a few of them by their arguments."""
    own = with_mounts(config, work, ENGINE_MOUNTS - len(config["mounts"]))
    return {**own, "linux": {**own["linux"], "seccomp": profile()}}


def profile() -> Config:
    """All that libseccomp knows but REFUSED, and what an argument decides."""
    known = dict.fromkeys((*known_calls(X86_64), *known_calls(X86)))
    allowed = sorted(name for name in known if name not in REFUSED)
    no_namespace = {"index": 0, "value": NEW_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    no_vsock = {"index": 0, "value": AF_VSOCK, "op": "SCMP_CMP_NE"}
    rules = [_rule(allowed)]
    for value in PERSONALITIES:
        rules.append(_rule(["personality"], {"index": 0, "value": value, "op": "SCMP_CMP_EQ"}))
    rules.append(_rule(["socket"], no_vsock))
    rules.append(_rule(["clone"], no_namespace))
    rules.append({**_rule(["clone3"], action="SCMP_ACT_ERRNO"), "errnoRet": ENOSYS})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": rules,
    }


def _rule(
    names: list[str], argument: Config | None = None, action: str = "SCMP_ACT_ALLOW"
) -> Config:
    rule: Config = {"names": names, "action": action}
    if action == "SCMP_ACT_ERRNO":
        rule["errnoRet"] = EPERM
    if argument:
        rule["args"] = [argument]
    return rule


@functools.cache
def known_calls(architecture: int) -> tuple[str, ...]:
    """Every system call of an architecture, as the installed libseccomp knows it; none without the
    library."""
    try:
        resolve = ctypes.CDLL("libseccomp.so.2").seccomp_syscall_resolve_num_arch
    except OSError:
        return ()
    resolve.restype = ctypes.c_char_p
    found = [resolve(architecture, number) for number in range(MOST_CALLS)]
    return tuple(name.decode() for name in found if name)
