# SPDX-License-Identifier: Apache-2.0
"""From (operation, errno, detail) to a sentence: what was tried for which field of the config, in
which system call, what the kernel said, and what to try. Loaded when something has failed."""

from __future__ import annotations

import _signal
import errno

from pyrun.errors import Error, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    from pyrun.types import Config, Op, Step

    # What an executor reports: errno, a detail (the wait status of a hook), and evidence.
    Report: TypeAlias = tuple[int, int, bytes]

FILTER_PRIVILEGE = "without noNewPrivileges a filter needs CAP_SYS_ADMIN"
# (operation, errno): what that usually means here. The kernel's own words come first, always.
HINTS = {
    ("open_tree", errno.EINVAL): "a mount below it may not be left out by this user: try rbind",
    ("open_tree", errno.ENOSPC): "too many mounts: see fs.mount-max",
    ("open_host", errno.EACCES): "the caller (or root of the user namespace) may not go there",
    ("open_tree", errno.EACCES): "the caller (or root of the user namespace) may not go there",
    ("make_in_root", errno.EROFS): "the mount point is missing and the root is read-only",
    ("make_in_root", errno.ELOOP): "a symbolic link is in the way",
    ("make_node", errno.EEXIST): "what is there is not this device",
    ("move_mount", errno.ENOTDIR): "one of source and destination is a directory, the other is not",
    # since 6.13 the kernel says it so
    ("move_mount", errno.EINVAL): "one of source and destination may be a directory and the other"
    " not a directory",
    ("move_mount", errno.EXDEV): "a link of the image leads into its /proc",
    ("move_mount", errno.ENOSPC): "too many mounts: see fs.mount-max",
    ("fsopen", errno.EPERM): "a user namespace may mount this only with namespaces of its own"
    " (network for sysfs, pid for proc, ipc for mqueue): else bind the host's",
    ("fsconfig", errno.EINVAL): "the file system does not know this option, or not this value",
    ("mount_setattr", errno.EPERM): "in a user namespace, flags of the host's mount (ro, nosuid,"
    " nodev, noexec, noatime) can't be cleared",
    ("mount_setattr", errno.EINVAL): "the file system can't be mounted with these attributes, or to"
    " be changed, nothing is mounted there",
    ("copy_up", errno.ENOSPC): "the tmpfs is too small for what it covers: see its option size",
    ("copy_up", errno.EPERM): "in a user namespace no device can be made",
    ("copy_up", errno.EINVAL): "the user namespace does not map the owner of a file",
    ("copy_owner", errno.EINVAL): "the user namespace does not map the owner of what is covered",
    ("make_symlink", errno.EEXIST): "something else is there",
    ("pivot_root", errno.EINVAL): "the root may be on a ramfs: try --no-pivot",
    ("setns", errno.EPERM): "the namespace belongs to a user namespace in which the caller is"
    " nobody",
    ("setns", errno.EINVAL): "the path is not a namespace of this type",
    ("join_session_keyring", errno.EDQUOT): "the user's quota of keys is used up: see"
    " kernel.keys.maxkeys and kernel.keys.maxbytes (root: root_maxkeys, root_maxbytes), or pass"
    " --no-new-keyring",
    ("join_session_keyring", errno.EPERM): "try --no-new-keyring",
    ("open_in_root", errno.ENOENT): "not in the container",
    ("check_mount", errno.ESTALE): "what is mounted there is not what `mounts add` has mounted, or"
    " nothing is",
    ("open_pty", errno.ENOTTY): "/dev/pts of the container is not a devpts",
    ("open_pty", errno.ENOENT): "a terminal needs a devpts at /dev/pts (see mounts)",
    ("open_pty", errno.ENOSPC): "too many terminals: see kernel.pty.max, and max= of the devpts",
    ("seccomp", errno.EACCES): FILTER_PRIVILEGE,
    ("seccomp_listen", errno.EACCES): FILTER_PRIVILEGE,
    ("wait_start", errno.EPERM): "the seccomp profile does not allow read",
    ("setrlimit", errno.EPERM): "above the caller's own hard limit (raising it takes"
    " CAP_SYS_RESOURCE), or above fs.nr_open",
    ("sched_setattr", errno.EPERM): "real-time policies and a nice below 0 take CAP_SYS_NICE of the"
    " host, or the rlimits RLIMIT_RTPRIO and RLIMIT_NICE; SCHED_DEADLINE a cpuset with all CPUs; on"
    " cgroup v1, real-time policies take resources.cpu.realtimeRuntime",
    ("sched_setattr", errno.EBUSY): "the CPUs have too little time left for this deadline: see"
    " /proc/sys/kernel/sched_rt_runtime_us",
    ("sched_setattr", errno.EOPNOTSUPP): "this kernel has no clamps (CONFIG_UCLAMP_TASK)",
    ("ioprio_set", errno.EPERM): "IOPRIO_CLASS_RT takes CAP_SYS_NICE of the host",
    ("ioprio_set", errno.ENOSYS): "this kernel has no block layer (CONFIG_BLOCK)",
    ("set_mempolicy", errno.ENOSYS): "this kernel has no memory policies (CONFIG_NUMA)",
    ("set_mempolicy", errno.EINVAL): "the cpuset allows none of these nodes, or the kernel is too"
    " old: MPOL_PREFERRED_MANY came with Linux 5.15, MPOL_WEIGHTED_INTERLEAVE with 6.9",
    ("setresuid", errno.EINVAL): "the user namespace does not map this user",
    ("setresgid", errno.EINVAL): "the user namespace does not map this group",
    ("setresuid", errno.EAGAIN): "the user has RLIMIT_NPROC processes already",
    ("setgroups", errno.EINVAL): "the user namespace does not map one of these groups",
    ("drop_bounding", errno.EPERM): "it takes CAP_SETPCAP, which the caller of pyrun does not hold",
    ("capset", errno.EPERM): "the caller of pyrun does not hold them itself",
    ("fork_init", errno.EAGAIN): "pids.max of the cgroup, RLIMIT_NPROC or kernel.pid_max is"
    " reached",
    ("enter_cwd", errno.ENOENT): "the directory is outside the container's root",
    ("open_cwd", errno.ENOTDIR): "it is not a directory",
    ("enter_cwd", errno.EACCES): "the container's user may not go there",
    ("write_own_proc", errno.ENOENT): "no profile of this name is loaded: see apparmor_parser(8)",
    ("write_own_proc", errno.EACCES): "the security policy does not let the runtime change to it",
    ("write_own_proc", errno.EPERM): "the security policy does not let the runtime change to it",
    ("write_own_proc", errno.EINVAL): "the security policy has no such label",
    ("set_label", errno.EINVAL): "the security policy has no such label",
    ("write_proc", errno.EXDEV): "something is mounted over it",
    ("landlock_path", errno.ENOENT): "not in the container",
    ("landlock_path", errno.EINVAL): "a file takes execute, write_file, read_file, truncate and"
    " ioctl_dev alone: what else is allowed is for directories",
    ("landlock_restrict", errno.EPERM): "it takes process.noNewPrivileges, or CAP_SYS_ADMIN",
    (
        "landlock_restrict",
        errno.E2BIG,
    ): "16 sets of rules, one in the other, are all that there are",
    ("execve", errno.ENOEXEC): "not a program for this machine: another architecture, or a script"
    " without #!",
    ("execve", errno.ENOENT): "its interpreter (ELF loader, or what #! names) is not in the"
    " container",
    ("execve", errno.EACCES): "its interpreter may not be executed, or a security module (AppArmor,"
    " SELinux: also by a nosuid mount) or the seccomp profile forbids it",
    ("execve", errno.EPERM): "the seccomp profile does not allow execve, or the security policy not"
    " this selinuxLabel with noNewPrivileges",
    ("execve", errno.E2BIG): "arguments and environment are too long: one string may have 128 KiB,"
    " all of them a quarter of RLIMIT_STACK",
    ("execve", errno.ETXTBSY): "somebody has it open for writing",
    ("execve", errno.ELOOP): "interpreters of interpreters are nested too deeply",
    ("execve", errno.EAGAIN): "the user has RLIMIT_NPROC processes already",
    ("execve", errno.ENOMEM): "the memory limit leaves no room for it",
}
# Whatever the operation.
ANYWHERE = {
    errno.EMFILE: "RLIMIT_NOFILE is reached",
    errno.ENFILE: "fs.file-max is reached",
    errno.ENOMEM: "the kernel is out of memory, or the memory limit is too low",
    errno.EDQUOT: "a quota is used up",
}

# The same where the root is made of layers.
LAYER_HINTS = {
    ("fsopen", errno.ENODEV): "this kernel lacks overlayfs or tmpfs (CONFIG_OVERLAY_FS, _TMPFS)",
    ("fsconfig", errno.EINVAL): "the size of a tmpfs is a number with k, m, g or %",
    ("fsmount", errno.EINVAL): "the file system of a layer, or of the state folder, does not do for"
    " overlayfs: the kernel's log says which; try --overlay-upper tmpfs",
    ("fsmount", errno.ELOOP): "a layer is named twice, or lies in another",
    ("fsmount", errno.EACCES): "root of the user namespace may not go to a layer, or the state",
    ("fsmount", errno.EPERM): "this kernel lets no user namespace mount an overlayfs (5.11 does)",
}


def explain(steps: list[Step], config: Config, index: int, report: Report) -> Error:
    """The Error for a failed operation of a plan."""
    number = report[0]
    if not 0 <= index < len(steps):
        hint = ANYWHERE.get(number, "reinstall pyrun")
        return Error(f"the executor refused the plan: {reason(number)}", hint=hint)
    pointer, op = steps[index]
    error = sentence(pointer, label(pointer, config), op, report)
    if op[0] == "execve":
        confined(error, number, [name for _, (name, _, _) in steps])
    if op[0] in _OF_MOUNTS:
        from pyrun import failed_mount

        error.hint = failed_mount.why(steps, index, config, number, report[2]) or error.hint
    return error


def confined(error: Error, number: int, names: list[str]) -> None:
    """Of a program that could not be executed: Landlock may be why, if it is in the plan."""
    if number == errno.EACCES and "landlock_restrict" in names:
        error.hint = (
            "the rules of org.pyrun.landlock may not allow to execute it, or its loader; else "
        ) + error.hint


_OF_MOUNTS = (
    "fsopen", "fsconfig", "fsmount", "make_in_root", "open_in_root", "move_mount", "cover_proc",
)  # fmt: skip


def sentence(pointer: str, where: str, op: Op, report: Report) -> Error:
    """The same from what `start` finds on record: the operation, and its field in words."""
    name, words, _ = op
    operands: Any = words
    number, detail, seen = report
    if name in ("find_executable", "execve"):
        return _program(name, where, operands, number, seen)
    if name == "run_hook":
        return _hook(pointer, operands, number, detail)
    what = describe(op)
    text = f"{where}: {what}: {reason(number)}" if where else f"{what}: {reason(number)}"
    if name in ("fsconfig", "copy_mode", "fsmount") and seen:
        from pyrun import evidence

        said = evidence.messages(seen)
        text += f" ({said})" if said else ""
    hint = ""
    if pointer == "/root/path" or pointer.startswith("/annotations/"):
        hint = LAYER_HINTS.get((name, number), "")
    return Error(text, "", hint or _hint(name, operands, number))


def _hint(name: str, operands: Any, number: int) -> str:
    from pyrun import kernel_lacks

    found = HINTS.get((name, number), "")
    if found:
        return found
    if name in ("unshare", "fork_init"):
        found = kernel_lacks.namespaces(operands[0], number)
    elif name == "setns":
        found = kernel_lacks.namespaces(operands[1], number)
    elif name == "write_proc":
        found = kernel_lacks.sysctl(operands[1], number)
    elif name in ("seccomp", "seccomp_listen"):
        found = kernel_lacks.seccomp(operands[0], number)
    if not found and number == errno.ENOSYS:
        found = kernel_lacks.system_call(name)
    return found or ANYWHERE.get(number, "")


def _program(name: str, program: str, operands: Any, number: int, seen: bytes) -> Error:
    from pyrun import evidence, failed_program

    sightings, user = evidence.sightings(seen), evidence.user(seen)
    if name == "execve":
        hint = failed_program.not_executed(number, user, sightings)
        return Error(f"exec {program}: {reason(number)}", "", hint or HINTS.get((name, number), ""))
    if number != errno.ENOENT:
        hint = failed_program.not_allowed(user, sightings)
        return Error(f'exec: "{program}": {reason(number)}', "", hint)
    hint = failed_program.not_found(program, operands[0], sightings)
    if "/" in program:
        return Error(f'exec: "{program}": stat {program}: {reason(number)}', "", hint)
    return Error(f'exec: "{program}": executable file not found in $PATH', "", hint)


def _hook(pointer: str, operands: Any, number: int, detail: int) -> Error:
    kind, _, index = pointer.removeprefix("/hooks/").partition("/")
    path = operands[0][0]
    if number == errno.ETIMEDOUT:
        why = f"hook ran past specified timeout of {operands[4] / 1000:.1f}s ({path})"
    elif number == errno.ECHILD:
        why = f"{_end(detail)} ({path})"
    else:
        why = f"exec {path}: {reason(number)}"
    return Error(f"error running {kind} hook #{index}: {why}")


def end_of_hook(number: int, status: int) -> str:
    """How a hook went, by its record: an errno or 0, and its wait status."""
    if number == errno.ETIMEDOUT:
        return "timeout"
    return reason(number) if number else _end(status)


def _end(status: int) -> str:
    """A wait status in words: wait(2)."""
    number = status & 0x7F
    if not number:
        return f"exit status {status >> 8 & 0xFF}"
    return f"signal: {(_signal.strsignal(number) or str(number)).lower()}"


def label(pointer: str, config: Config) -> str:
    """A field of the config as a person would name it: `mounts[3] (/srv/x → /data)`."""
    parts = pointer.split("/")[1:]
    if not parts or parts == [""]:
        return ""
    if parts[0] == "process" and parts[1:2] == ["args"]:
        return str(config["process"]["args"][0])
    text = ""
    node: Any = config
    for part in parts:
        text += f"[{part}]" if part.isdigit() else f".{part}" if text else part
        try:
            node = node[int(part)] if part.isdigit() else node[_unescape(part)]
        except (LookupError, TypeError, ValueError):
            node = None
    return text + _content(parts, config, node)


def _unescape(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def _content(parts: list[str], config: Config, node: Any) -> str:
    if parts[0] == "mounts" and len(parts) > 1:
        mount = config["mounts"][int(parts[1])]
        source = mount.get("source") or mount.get("type") or "?"
        return f" ({source} → {mount['destination']})"
    if isinstance(node, dict):
        shown = node.get("path") or node.get("type")
        return f" ({shown})" if shown else ""
    if parts[0] == "annotations":
        return ""  # it may be a document
    return f" ({node})" if isinstance(node, str | int) and not isinstance(node, bool) else ""


def describe(op: Op) -> str:
    """The operation, with the operand that tells most where the field doesn't say it already."""
    name = op[0]
    operands: Any = op[1]
    if name in ("open_host", "fsopen"):
        return f"{name} {operands[0]}"
    if name == "landlock_path":
        return f"{name} {operands[1]}"
    if name == "write_own_proc":
        return f"write /proc/thread-self/{operands[1]}"  # as runc says it; podman looks for it
    if name in ("make_in_root", "open_in_root", "open_tree", "fsconfig") and operands[1]:
        value = f"={operands[2]}" if name == "fsconfig" and operands[2] else ""
        return f"{name} {operands[1]}{value}"
    return name
