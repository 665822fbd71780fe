# SPDX-License-Identifier: Apache-2.0
"""Starting the executor and speaking with it: the runtime's side of runtime/executor/plan.h."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from _socket import (
    AF_UNIX,
    CMSG_SPACE,
    MSG_CMSG_CLOEXEC,
    MSG_DONTWAIT,
    SCM_RIGHTS,
    SOCK_SEQPACKET,
    SOL_SOCKET,
    socket,
    socketpair,
)
from _struct import Struct

from pyrun import init, interruption, plan
from pyrun.compile.mount_options import tree_flags
from pyrun.errors import Error, from_os, reason
from pyrun.kernel._linux import ffi, lib
from pyrun.linux import PR_SET_CHILD_SUBREAPER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from pyrun.types import Config, Step

    # What answers a sync point: gets the descriptor that came along (or -1), gives one to send.
    Answer: TypeAlias = "Callable[[Child, int], int | None]"

FDS, PLAN, GO, SYNC, CHILD, FAILED, TIMES = range(1, 8)
MAX_FDS = 253  # SCM_MAX_FD of the kernel
MFD_EXEC = 0x10
# SEAL, SHRINK, GROW, WRITE; EXEC where the kernel knows it (6.3)
SEALS = 0x1 | 0x2 | 0x4 | 0x8
SEAL_EXEC = 0x20
EXECUTOR = os.path.join(os.path.dirname(os.path.abspath(__file__)), "executor")
_MESSAGE = Struct("=Iiii")


class DiedError(Error):
    """The executor ended without a word: killed, most likely."""


class NoSpawnError(Error):
    """There is no executor; `number` is the errno."""

    def __init__(self, message: str, pointer: str, hint: str, number: int) -> None:
        super().__init__(message, pointer, hint)
        self.number = number


class Child:
    """The executor's process: the first stage at first where there is one, then the init."""

    __slots__ = ("pid", "pidfd", "socket", "stages")

    def __init__(self, pid: int, pidfd: int, socket: int) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.socket = socket
        self.stages: list[int] = []  # pids of first stages, to be waited for


def seal(name: str, data: bytes | None, source: str = "") -> int:
    """A memfd with this content (or that of the file `source`), sealed against any change."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        fd = os.memfd_create(name, flags | (MFD_EXEC if source else 0))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise from_os(error, "memfd_create") from None
        fd = os.memfd_create(name, flags)  # before 6.3 every memfd is executable
    try:
        if source:
            _copy(source, fd)
        else:
            view = memoryview(data or b"")
            while view:
                view = view[os.write(fd, view) :]
        try:
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS | (SEAL_EXEC if source else 0))
        except OSError:
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    except OSError as error:
        os.close(fd)
        raise from_os(error, f"make a sealed copy of {source or name}") from None
    return fd


def _copy(source: str, fd: int) -> None:
    origin = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(origin).st_size
        done = 0
        while done < size:
            count = os.sendfile(fd, origin, None, size - done)
            if count == 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            done += count
    finally:
        os.close(origin)


def spawn(title: str, flags: int, cgroup_fd: int, preserve_fds: int, privileged: bool) -> Child:
    """Clone the executor into new namespaces (CLONE_NEW* in `flags`) and its cgroup.

    It waits for its plan. Raises Error.
    """
    executable = seal("pyrun", None, EXECUTOR)
    try:
        if privileged:
            # The memory of a program that its user can't read belongs to the user namespace in
            # which it could be read: ours. Else root of the container could trace the init, in
            # spite of PR_SET_DUMPABLE (CVE-2016-9962). Others than root could not write its id
            # maps then.
            os.fchmod(executable, 0o111)
        ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
        words = [title, str(theirs.fileno()), str(3 + preserve_fds)]
        strings = [ffi.new("char[]", word.encode()) for word in words]
        argv = ffi.new("char *[]", [*strings, ffi.NULL])
        pidfd = ffi.new("int *", -1)
        pid = lib.pyrun_spawn(executable, argv, theirs.fileno(), flags, cgroup_fd, pidfd)
    finally:
        os.close(executable)
    theirs.close()
    if pid < 0:
        ours.close()
        raise _no_spawn(-pid, flags)
    return Child(pid, pidfd[0], ours.detach())


def _no_spawn(number: int, flags: int) -> NoSpawnError:
    from pyrun import kernel_lacks

    hint = kernel_lacks.namespaces(flags, number)
    if number == errno.EACCES:
        hint = "vm.memfd_noexec may forbid programs in memory"
    elif number == errno.EAGAIN:
        hint = "pids.max of the cgroup, RLIMIT_NPROC or kernel.pid_max is reached"
    elif number == errno.ENOSYS:
        hint = kernel_lacks.system_call("clone3")
    elif number in (errno.ENOMEM, errno.E2BIG):  # E2BIG: no page for the arguments of execve
        flags, hint = 0, "there is no memory left"
    pointer = "/linux/namespaces" if flags else ""
    return NoSpawnError(f"clone3: {reason(number)}", pointer, hint, number)


def _send(child: Child, kind: int, fds: list[int]) -> None:
    connection = socket(fileno=child.socket)
    try:
        data = b"".join(fd.to_bytes(4, sys.byteorder) for fd in fds)
        control = [(SOL_SOCKET, SCM_RIGHTS, data)] if fds else []
        connection.sendmsg([_MESSAGE.pack(kind, 0, 0, 0)], control)
    except (BrokenPipeError, ConnectionResetError):
        raise DiedError("the container's init died") from None
    finally:
        connection.detach()


def send_times(child: Child, fd: int) -> None:
    """A file in which the executor notes the time when each operation has ended: before the
    plan."""
    _send(child, TIMES, [fd])


def send_plan(child: Child, steps: list[Step], donated: list[int]) -> None:
    """The descriptors, and the plan: from here on the executor works."""
    for start in range(0, len(donated), MAX_FDS):
        _send(child, FDS, donated[start : start + MAX_FDS])
    sealed = seal("plan", plan.encode([op for _, op in steps], len(donated)))
    try:
        _send(child, PLAN, [sealed])
    finally:
        os.close(sealed)


def _take(connection: socket) -> tuple[bytes, list[tuple[int, int, bytes]]]:
    """recvmsg(2) of what is there: the data, and control messages. After our last word the user's
    program may run: a failure then is none of the container. What was sent stays there, so that a
    second call finds it."""
    size, flags = CMSG_SPACE(4), MSG_CMSG_CLOEXEC | MSG_DONTWAIT
    try:
        return connection.recvmsg(_MESSAGE.size, size, flags)[:2]
    except (BlockingIOError, ConnectionResetError):
        raise
    except OSError:
        return connection.recvmsg(_MESSAGE.size, size, flags)[:2]


def _receive(child: Child) -> tuple[int, int, int, int, int]:
    """(kind, three values, a descriptor or -1); kind 0 at end of file."""
    connection = socket(fileno=child.socket)
    try:
        while True:
            ready = interruption.wait(child.socket, child.pidfd)
            try:
                data, control = _take(connection)
            except BlockingIOError:
                if child.pidfd in ready:
                    # A stage that has been killed: its sibling waits, with the socket open.
                    raise DiedError("the container's init died") from None
                continue
            break
    except ConnectionResetError:
        # It has ended without our last word: no user's program. What it said before comes now.
        data, control = _take(connection)
        if not data:
            raise DiedError("the container's init died") from None
    finally:
        connection.detach()
    fd = -1
    for _, _, content in control:
        fd = int.from_bytes(content[:4], sys.byteorder)
    if len(data) != _MESSAGE.size:
        return 0, 0, 0, 0, fd
    return *_MESSAGE.unpack(data), fd


def serve(
    child: Child, answers: dict[int, Answer], until: int, steps: list[Step], config: Config
) -> None:
    """Answer the executor's messages until it is at the point `until`, which stays unanswered;
    0: until it has become the user's program.

    CHILD is answered by answers[0]. Raises Error for a failed operation, DiedError if it was
    killed.
    """
    while True:
        kind, first, number, detail, fd = _receive(child)
        if kind == 0:
            if until:
                raise DiedError("the container's init died")
            return
        if kind == FAILED:
            from pyrun import evidence, failure

            seen = evidence.receive(child.socket)
            raise failure.explain(steps, config, first, (number, detail, seen))
        if kind == CHILD:
            _become(child, first)
            answers[0](child, -1)
            _send(child, GO, [])
        elif first == until:
            return
        else:
            if number:  # no point but the listener's has one: a descriptor of the init's table
                fd = _fetch(child, number)
            answer = answers[first](child, fd)
            _send(child, GO, [] if answer is None else [answer])
            if answer is not None:
                os.close(answer)


def check_begun(child: Child) -> None:
    """After serve(): raise DiedError for a process that was killed before it was a program."""
    if not init.has_begun(child.pid):
        raise DiedError("the process was killed before it became the program")


def _fetch(child: Child, number: int) -> int:
    """pidfd_getfd(2). Raises Error."""
    fd = lib.pyrun_pidfd_getfd(child.pidfd, number)
    if fd < 0:
        hint = "Yama may forbid it (see /proc/sys/kernel/yama/ptrace_scope)"
        hint = hint if fd == -errno.EPERM else ""
        raise Error(f"pidfd_getfd: {reason(-fd)}", "/linux/seccomp/listenerPath", hint)
    return int(fd)


def _become(child: Child, pid: int) -> None:
    """The first stage ends; its sibling (our child, by CLONE_PARENT) is the init."""
    os.close(child.pidfd)
    child.stages.append(child.pid)
    child.pid = pid
    child.pidfd = os.pidfd_open(pid)


def go(child: Child, steps: list[Step], config: Config) -> None:
    """Answer the point that serve() has stopped at. Raises Error."""
    try:
        _send(child, GO, [])
    except DiedError:
        # It may have said why: it could not wait for this.
        serve(child, {}, -1, steps, config)


def reap_stages(child: Child) -> None:
    """First stages have ended, or are about to: leave no zombie to whoever adopts us."""
    for pid in child.stages:
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            continue
    child.stages.clear()


def open_tree(path: str, depth: str) -> int:
    """open_tree(2): a detached clone of the mounts at a path of the host; `depth` is in the words
    of mount_options.depth(). Raises OSError."""
    fd = lib.pyrun_open_tree(-100, os.fsencode(path), 1 | tree_flags(depth))
    if fd < 0:
        raise OSError(-fd, os.strerror(-fd))
    return int(fd)


def mount_setattr(
    fd: int, flags: int, attr_set: int, attr_clr: int, propagation: int, userns: int = 0
) -> None:
    """mount_setattr(2) on a descriptor; `userns` is that of MOUNT_ATTR_IDMAP. Raises OSError."""
    result = lib.pyrun_mount_setattr(fd, flags, attr_set, attr_clr, propagation, userns)
    if result < 0:
        raise OSError(-result, os.strerror(-result))


def become_subreaper(*, yes: bool) -> None:
    """Whether orphans among our descendants become our children: PR_SET_CHILD_SUBREAPER of
    prctl(2). Raises OSError."""
    result = lib.pyrun_prctl(PR_SET_CHILD_SUBREAPER, int(yes))
    if result < 0:
        raise OSError(-result, os.strerror(-result))


def setns(fd: int, kind: int) -> None:
    """setns(2) of ourselves; `kind` is the CLONE_NEW* flag. Raises OSError."""
    result = lib.pyrun_setns(fd, kind)
    if result < 0:
        raise OSError(-result, os.strerror(-result))


def join_session_keyring(name: str, uid: int, gid: int) -> None:
    """A session keyring that those whom we start have as well; it belongs to this user and group.
    keyctl(2); a kernel may lack keyrings. Raises OSError."""
    result = lib.pyrun_join_session_keyring(name.encode(), uid, gid)
    if result not in (0, -errno.ENOSYS):
        raise OSError(-result, os.strerror(-result))


def prlimit(pid: int, resource: int, soft: int, hard: int) -> None:
    """prlimit(2). Raises OSError."""
    result = lib.pyrun_prlimit(pid, resource, soft, hard)
    if result < 0:
        raise OSError(-result, os.strerror(-result))
