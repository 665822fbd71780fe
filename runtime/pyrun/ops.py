# SPDX-License-Identifier: Apache-2.0
"""The instruction set: one function an operation, and its signature is the specification.

An operation is like a system call: a name and at most seven operands. It is self-contained, has
no branch and no loop that a plan could steer, and decides nothing. The executor's dispatch table
is generated from this file (runtime/build/ops_header.py): the annotation of each operand says what
the plan reader has to check before the first operation runs.

    int     any number                       str         a string
    Slot    a descriptor an earlier          str | None  a string or nothing
            operation (or the runtime) put   list[str]   strings
    Out     the slot this operation fills    bytes       a block of bytes

To add one: a function here (keep the order: namespaces, runtime, paths, mounts, files, terminal,
identity, process), `op_<name>` in runtime/executor, and a rule in compile/ that uses it. The build
fails until both sides are there.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from pyrun.types import Op

    Slot: TypeAlias = int
    Out: TypeAlias = int


def tolerate(number: int, op: Op) -> Op:
    """The same operation, for which failing with this one errno is as good as success."""
    return (op[0], op[1], number)


# Namespaces


def setns(namespace: Slot, kind: int) -> Op:
    """setns(2): `kind` is the CLONE_NEW* flag the descriptor must be of; of a pidfd, those of all
    namespaces to join."""
    return ("setns", (namespace, kind), 0)


def unshare(flags: int) -> Op:
    """unshare(2)."""
    return ("unshare", (flags,), 0)


def fork_init(flags: int) -> Op:
    """Clone a sibling into new namespaces, report its pid and end.

    The sibling goes on with the next operation once the runtime said so.
    """
    return ("fork_init", (flags,), 0)


def loopback_up() -> Op:
    """Bring up `lo` of the present network namespace: netdevice(7), SIOCSIFFLAGS."""
    return ("loopback_up", (), 0)


def join_session_keyring(name: str) -> Op:
    """A session keyring of the container's own, that its processes may search: keyctl(2)."""
    return ("join_session_keyring", (name,), 0)


# The runtime: drawn in runtime/executor/plan.h


def sync(point: int) -> Op:
    """Tell the runtime where we are, and wait for its word to go on."""
    return ("sync", (point,), 0)


def sync_receive(point: int, out: Out) -> Op:
    """As sync; the answer carries a descriptor."""
    return ("sync_receive", (point, out), 0)


def sync_send(point: int, fd: Slot) -> Op:
    """As sync; the message carries a descriptor."""
    return ("sync_send", (point, fd), 0)


def report_to(fd: Slot) -> Op:
    """From here on the runtime is gone: failures are written to this descriptor."""
    return ("report_to", (fd,), 0)


def wait_start(fifo: Slot) -> Op:
    """Wait for the byte that `start` writes into the exec fifo."""
    return ("wait_start", (fifo,), 0)


# Paths: below a root, only openat2(RESOLVE_IN_ROOT) to a descriptor, and the descriptor from then


def open_host(path: str, flags: int, out: Out) -> Op:
    """open(2) of a path of the host, before the root is changed. Never a path in a rootfs."""
    return ("open_host", (path, flags, out), 0)


def open_in_root(root: Slot, path: str, flags: int, resolve: int, out: Out) -> Op:
    """openat2(2) with RESOLVE_IN_ROOT and RESOLVE_NO_MAGICLINKS besides `resolve`."""
    return ("open_in_root", (root, path, flags, resolve, out), 0)


def make_in_root(root: Slot, path: str, mode: int, resolve: int, out: Out) -> Op:
    """As open_in_root(O_PATH); what is missing on the way is made: directories of mode 0755, and
    last an object of this mode (S_IFDIR or S_IFREG with permissions)."""
    return ("make_in_root", (root, path, mode, resolve, out), 0)


def close_slot(fd: Slot) -> Op:
    """close(2); the slot is empty then."""
    return ("close_slot", (fd,), 0)


def close_all_but(keep: bytes) -> Op:
    """close(2) of every slot's descriptor but these (32-bit numbers in the machine's order)."""
    return ("close_all_but", (keep,), 0)


def fchdir(fd: Slot) -> Op:
    """fchdir(2)."""
    return ("fchdir", (fd,), 0)


# Mounts: a mount is a descriptor from its birth until it is attached


def open_tree(directory: Slot, path: str, flags: int, out: Out) -> Op:
    """open_tree(2) with OPEN_TREE_CLONE besides `flags`: an absolute path of the host, or ""."""
    return ("open_tree", (directory, path, flags, out), 0)


def fsopen(fstype: str, out: Out) -> Op:
    """fsopen(2)."""
    return ("fsopen", (fstype, out), 0)


def fsopen_proc(pid_namespace: Slot, out: Out) -> Op:
    """fsopen(2) of a procfs that shows this pid namespace, which no process of ours is in yet."""
    return ("fsopen_proc", (pid_namespace, out), 0)


def fsconfig(context: Slot, key: str, value: str | None) -> Op:
    """fsconfig(2): FSCONFIG_SET_STRING, or FSCONFIG_SET_FLAG without a value."""
    return ("fsconfig", (context, key, value), 0)


def fsconfig_fd(context: Slot, key: str, fd: Slot) -> Op:
    """FSCONFIG_SET_FD of fsconfig(2), or where the file system takes no descriptors (overlay before
    Linux 6.13), the path that this one has below /proc/self/fd."""
    return ("fsconfig_fd", (context, key, fd), 0)


def copy_mode(context: Slot, target: Slot) -> Op:
    """Give a tmpfs the mode of the directory that it will cover."""
    return ("copy_mode", (context, target), 0)


def copy_owner(mount: Slot, target: Slot) -> Op:
    """Give the root of a new mount the owner and group of the directory that it will cover."""
    return ("copy_owner", (mount, target), 0)


def copy_up(mount: Slot, source: Slot) -> Op:
    """Copy what the root of `source` (a clone on which no device opens) holds into a new mount,
    with owners, modes, times, hard links and extended attributes but the SELinux label."""
    return ("copy_up", (mount, source), 0)


def fspick(mount: Slot, out: Out) -> Op:
    """fspick(2): the file system of a mount that is there, to be changed."""
    return ("fspick", (mount, out), 0)


def reconfigure(context: Slot) -> Op:
    """FSCONFIG_CMD_RECONFIGURE of what fspick found; the context is closed."""
    return ("reconfigure", (context,), 0)


def fsmount(context: Slot, attributes: int, out: Out) -> Op:
    """FSCONFIG_CMD_CREATE and fsmount(2); the context is closed."""
    return ("fsmount", (context, attributes, out), 0)


def mount_setattr(mount: Slot, flags: int, attr_set: int, attr_clr: int, propagation: int) -> Op:
    """mount_setattr(2) on the descriptor; `flags` is 0 or AT_RECURSIVE."""
    return ("mount_setattr", (mount, flags, attr_set, attr_clr, propagation), 0)


def move_mount(mount: Slot, target: Slot) -> Op:
    """move_mount(2) from descriptor to descriptor; the target is closed, the mount stays open.

    EXDEV where the target is in a procfs, to which a link of the image may have led.
    """
    return ("move_mount", (mount, target), 0)


def cover_proc(mount: Slot, target: Slot) -> Op:
    """As move_mount, for a place in a procfs that the config names."""
    return ("cover_proc", (mount, target), 0)


def check_mount(fd: Slot, mask: int, mount: int) -> Op:
    """Refuse (ESTALE) unless the descriptor is the root of this mount: stx_mnt_id of statx(2),
    asked for by `mask`."""
    return ("check_mount", (fd, mask, mount), 0)


def detach(mount: Slot, proc: Slot) -> Op:
    """umount2(2) with MNT_DETACH, by the name of the descriptor in `proc`: a procfs that shows us.
    What is mounted over it would go in its place."""
    return ("detach", (mount, proc), 0)


def check_device(fd: Slot, major: int, minor: int) -> Op:
    """Refuse (ENODEV) unless the descriptor is the character device of this number."""
    return ("check_device", (fd, major, minor), 0)


def mask(root: Slot, path: str, null: Slot, empty: Slot) -> Op:
    """Cover a file with a clone of `null`, a directory with a clone of `empty`; a path that does
    not exist needs no cover."""
    return ("mask", (root, path, null, empty), 0)


def make_readonly(root: Slot, path: str) -> Op:
    """Cover a path with a read-only clone of itself, if it exists."""
    return ("make_readonly", (root, path), 0)


def pivot_root(root: Slot, layers: int) -> Op:
    """pivot_root(".", ".") in the new root, then detach the `layers` mounts that lie over it: the
    old root, and first what we put over that. pivot_root(2), NOTES."""
    return ("pivot_root", (root, layers), 0)


def detach_host(path: str) -> Op:
    """umount2(2) with MNT_DETACH of a mount of the host, before the root is changed."""
    return ("detach_host", (path,), 0)


def chroot(root: Slot) -> Op:
    """fchdir(2) and chroot(2): without a mount namespace, or when asked not to pivot."""
    return ("chroot", (root,), 0)


# Files


def make_node(directory: Slot, name: str, mode: int, device: int, uid: int, gid: int) -> Op:
    """mknodat(2), then owner and mode as asked whatever the umask. One that is there is kept, if it
    is the same device: config-linux.md, Devices, has another file be an error (EEXIST)."""
    return ("make_node", (directory, name, mode, device, uid, gid), 0)


def symlinkat(target: str, directory: Slot, name: str) -> Op:
    """symlinkat(2)."""
    return ("symlinkat", (target, directory, name), 0)


def make_symlink(target: str, directory: Slot, name: str) -> Op:
    """symlinkat(2); one that is there is kept, if it leads to the same place (else EEXIST)."""
    return ("make_symlink", (target, directory, name), 0)


def unlinkat(directory: Slot, name: str) -> Op:
    """unlinkat(2) of something that is no directory."""
    return ("unlinkat", (directory, name), 0)


def write_proc(proc: Slot, path: str, text: str) -> Op:
    """Write into a file of a private procfs: no link and no mount on the way (RESOLVE_BENEATH)."""
    return ("write_proc", (proc, path, text), 0)


def write_own_proc(proc: Slot, path: str, text: str) -> Op:
    """The same in the folder of this process: a private procfs of our pid namespace has no link on
    the way, as /proc/self would be."""
    return ("write_own_proc", (proc, path, text), 0)


def set_label(directory: Slot, label: str) -> Op:
    """fsetxattr(2) of security.selinux."""
    return ("set_label", (directory, label), 0)


# Terminal and standard streams


def open_pty(pts: Slot, master: Out, peer: Out) -> Op:
    """A new terminal of the devpts instance whose directory this is; ENOTTY unless it is one.

    The peer comes by TIOCGPTPEER, never by a path.
    """
    return ("open_pty", (pts, master, peer), 0)


def set_window_size(terminal: Slot, rows: int, columns: int) -> Op:
    """TIOCSWINSZ of ioctl_tty(2)."""
    return ("set_window_size", (terminal, rows, columns), 0)


def take_terminal(terminal: Slot) -> Op:
    """Make it the controlling terminal of the session, and descriptors 0, 1 and 2."""
    return ("take_terminal", (terminal,), 0)


def chown_stdio(uid: int) -> Op:
    """Standard streams become the user's: pipes, sockets and files, where the owner can change. A
    device, such as the caller's terminal or a disk, stays its owner's."""
    return ("chown_stdio", (uid,), 0)


def chown_terminal(terminal: Slot, uid: int) -> Op:
    """fchown(2): a terminal of the container's own becomes its user's."""
    return ("chown_terminal", (terminal, uid), 0)


def reopen_null(root: Slot) -> Op:
    """Standard streams on the host's /dev/null are opened again on the container's, if that is
    the null device: judged by type and number, never by number alone (CVE-2026-88265)."""
    return ("reopen_null", (root,), 0)


# Identity and limits


def sethostname(name: str) -> Op:
    """sethostname(2)."""
    return ("sethostname", (name,), 0)


def setdomainname(name: str) -> Op:
    """setdomainname(2)."""
    return ("setdomainname", (name,), 0)


def setrlimit(resource: int, soft: int, hard: int) -> Op:
    """setrlimit(2)."""
    return ("setrlimit", (resource, soft, hard), 0)


def reset_affinity() -> Op:
    """sched_setaffinity(2) with every CPU: the kernel keeps those that the cpuset allows."""
    return ("reset_affinity", (), 0)


def sched_setaffinity(cpus: bytes) -> Op:
    """sched_setaffinity(2): `cpus` is the mask in words of the machine's order."""
    return ("sched_setaffinity", (cpus,), 0)


def sched_setattr(
    policy: int, flags: int, nice: int, priority: int, runtime: int, deadline: int, period: int
) -> Op:
    """sched_setattr(2): the members of struct sched_attr; times in nanoseconds."""
    return ("sched_setattr", (policy, flags, nice, priority, runtime, deadline, period), 0)


def ioprio_set(priority: int) -> Op:
    """ioprio_set(2) for the process group, which is ours alone."""
    return ("ioprio_set", (priority,), 0)


def personality(persona: int) -> Op:
    """personality(2)."""
    return ("personality", (persona,), 0)


def set_mempolicy(mode: int, nodes: bytes) -> Op:
    """set_mempolicy(2): `nodes` is the mask in words of the machine's order."""
    return ("set_mempolicy", (mode, nodes), 0)


def prctl(option: int, value: int) -> Op:
    """prctl(2) with one argument."""
    return ("prctl", (option, value), 0)


def setsid() -> Op:
    """setsid(2)."""
    return ("setsid", (), 0)


def umask(mode: int) -> Op:
    """umask(2)."""
    return ("umask", (mode,), 0)


def drop_bounding(keep: int) -> Op:
    """PR_CAPBSET_DROP of every capability that this kernel has and `keep` (a bit each) has not."""
    return ("drop_bounding", (keep,), 0)


def setgroups(gids: bytes) -> Op:
    """setgroups(2): 32-bit numbers in the machine's order."""
    return ("setgroups", (gids,), 0)


def setresgid(gid: int) -> Op:
    """setresgid(2), all three."""
    return ("setresgid", (gid,), 0)


def setresuid(uid: int) -> Op:
    """setresuid(2), all three."""
    return ("setresuid", (uid,), 0)


def capset(effective: int, permitted: int, inheritable: int) -> Op:
    """capset(2): sets of bits by capability number."""
    return ("capset", (effective, permitted, inheritable), 0)


def set_ambient(capabilities: int) -> Op:
    """Clear the ambient set, then raise these: PR_CAP_AMBIENT."""
    return ("set_ambient", (capabilities,), 0)


# Process


def open_cwd(path: str, out: Out) -> Op:
    """Open the working directory below the root of the process, and fchdir(2) there."""
    return ("open_cwd", (path, out), 0)


def enter_cwd(path: str, cwd: Slot) -> Op:
    """Go there as open_cwd if the slot is empty, and refuse (ENOENT) a place outside the root: the
    kernel's getcwd starts with "/" (CVE-2024-21626)."""
    return ("enter_cwd", (path, cwd), 0)


def find_home(uid: int) -> Op:
    """HOME for this user from the container's /etc/passwd, else "/"."""
    return ("find_home", (uid,), 0)


def find_pid() -> Op:
    """LISTEN_PID for this process: sd_listen_fds(3)."""
    return ("find_pid", (), 0)


def find_executable(candidates: list[str]) -> Op:
    """Choose the first that is a file we may execute; execve takes it."""
    return ("find_executable", (candidates,), 0)


def run_hook(
    command: list[str],
    env: list[str],
    state: Slot,
    output: Slot,
    timeout: int,
    stdout: Slot,
    stderr: Slot,
) -> Op:
    """Run a program to its end: its path and its arguments, state on stdin; timeout in ms, 0 is
    none. It has a process group of its own, killed whole on timeout.

    How it went goes to the file `output` (struct hook_record of plan.h), with the last 1024 bytes
    of each stream that has no other file, but the same.
    """
    return ("run_hook", (command, env, state, output, timeout, stdout, stderr), 0)


def seccomp(flags: int, program: bytes) -> Op:
    """seccomp(2), SECCOMP_SET_MODE_FILTER."""
    return ("seccomp", (flags, program), 0)


def seccomp_listen(flags: int, program: bytes, point: int) -> Op:
    """As seccomp, with SECCOMP_FILTER_FLAG_NEW_LISTENER among `flags`; then a sync whose message
    carries the listener's number. Under the filter from then on: only write(2), recvmsg(2) and
    close(2) are used here."""
    return ("seccomp_listen", (flags, program, point), 0)


def landlock_ruleset(fs: int, net: int, scoped: int, out: Out) -> Op:
    """landlock_create_ruleset(2): the accesses that it handles, and what it scopes."""
    return ("landlock_ruleset", (fs, net, scoped, out), 0)


def landlock_path(ruleset: Slot, path: str, access: int) -> Op:
    """landlock_add_rule(2) of what is at this path below the root of the process, and beneath."""
    return ("landlock_path", (ruleset, path, access), 0)


def landlock_port(ruleset: Slot, port: int, access: int) -> Op:
    """landlock_add_rule(2) of a TCP port."""
    return ("landlock_port", (ruleset, port, access), 0)


def landlock_restrict(ruleset: Slot) -> Op:
    """landlock_restrict_self(2)."""
    return ("landlock_restrict", (ruleset,), 0)


def close_others(first: int) -> Op:
    """close_range(2) from this number up, but for where failures are reported."""
    return ("close_others", (first,), 0)


def execve(args: list[str], env: list[str]) -> Op:
    """execve(2) of what find_executable chose. An entry `HOME=` takes what find_home found,
    `LISTEN_PID=` what find_pid did."""
    return ("execve", (args, env), 0)
