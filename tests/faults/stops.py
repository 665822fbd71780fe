# SPDX-License-Identifier: Apache-2.0
"""Stops a command line at each of its system calls, by seccomp's user notification: while it stands
there, paths can be swapped, other verbs run to their end, or the caller be killed; and the call may
go on, or fail with any errno. Every process that it starts inherits the filter, also those in the
container. seccomp_unotify(2)."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

MACHINE = os.uname().machine
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[MACHINE]
RECV, SEND, SET_FLAGS = 0xC0502100, 0xC0182101, 0x40082104  # SECCOMP_IOCTL_NOTIF_*
SYNC_WAKE_UP = 1  # SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
NOTIFICATION = struct.Struct("=QII iIQ 6Q")  # struct seccomp_notif
RESPONSE = struct.Struct("=QqiI")  # struct seccomp_notif_resp
NEVER = -1  # a decision: no answer, to one who was killed and could take it before the signal
CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
NOTIFY, ALLOW = 0x7FC00000, 0x7FFF0000
SET_MODE_FILTER, NEW_LISTENER, WAIT_KILLABLE = 1, 0x8, 0x20
SYS_SECCOMP = {"x86_64": 317, "aarch64": 277}[MACHINE]
SLOWNESS = int(os.environ.get("PYRUN_SLOW", "1"))  # of a virtual machine
SECONDS = 15 * SLOWNESS  # that any command line may take, when nobody holds it (I8)

# What takes a path, or a place that a path led to, and the argument that has the path.
PATHS = {
    "open": 0, "openat": 1, "openat2": 1, "open_tree": 1, "mkdir": 0, "mkdirat": 1, "mknod": 0,
    "mknodat": 1, "symlink": 1, "symlinkat": 2, "unlink": 0, "unlinkat": 1, "rename": 0,
    "renameat": 1, "renameat2": 1, "rmdir": 0, "chown": 0, "fchownat": 1, "chmod": 0, "fchmodat": 1,
    "stat": 0,
    "lstat": 0, "newfstatat": 1, "statx": 1, "readlink": 0, "readlinkat": 1, "mount": 1,
    "umount2": 0, "chdir": 0, "pivot_root": 0, "fspick": 1, "access": 0, "faccessat2": 1,
    "execve": 0,
}  # fmt: skip
PLACES = ("move_mount", "fsmount", "fsconfig", "mount_setattr", "fchdir", "chroot", "fchown")
# What else has an effect outside of the process, or may fail for want of something.
EFFECTS = (
    "clone", "clone3", "fork", "vfork", "execveat", "write", "pwrite64", "sendmsg", "recvmsg",
    "sendfile", "memfd_create", "socket", "socketpair", "pipe2", "fsopen", "setns", "unshare",
    "kill", "pidfd_send_signal", "pidfd_open", "prlimit64", "fchmod", "ftruncate", "fdatasync",
    "fsync", "flock", "linkat", "wait4", "waitid", "ioctl", "bpf", "setxattr", "epoll_create1",
    "read", "pread64", "getdents64", "connect", "accept4", "poll", "ppoll", "pidfd_getfd", "dup",
    "dup3", "mmap", "keyctl",
)  # fmt: skip
# What a process is and may do: a failure that nobody sees leaves it more than it should have.
IDENTITY = (
    "setgroups", "setresuid", "setresgid", "capset", "prctl", "sethostname", "setdomainname",
    "setsid", "personality", "sched_setaffinity", "sched_setscheduler", "close_range",
)  # fmt: skip


class Stop(NamedTuple):
    """A system call that waits for us: the how many-th it is, and who makes it. `path` is "" where
    it has none, or nobody can read it. `process`, in the order in which they were heard, and `nth`,
    of its calls, are the same each time, however several processes take turns."""

    index: int
    call: str
    pid: int
    path: str
    process: int
    nth: int


class Ended(NamedTuple):
    """How it went."""

    code: int  # as subprocess has it
    output: str
    errors: str
    stops: list[Stop]
    hung: bool


def numbers(names: Sequence[str]) -> dict[int, str]:
    """By libseccomp's tables; a name that this machine has not is left out."""
    library = ctypes.CDLL("libseccomp.so.2")
    numbers = {library.seccomp_syscall_resolve_name(name.encode()): name for name in names}
    return {number: name for number, name in numbers.items() if number >= 0}


def _program(numbers: Sequence[int]) -> bytes:
    """Of these the listener hears, if they are of the native architecture."""
    count = len(numbers)
    lines = [(0x20, 0, 0, 4), (0x15, 0, count + 2, ARCH), (0x20, 0, 0, 0)]
    lines += [(0x15, count - at, 0, number) for at, number in enumerate(numbers)]
    lines += [(0x06, 0, 0, ALLOW), (0x06, 0, 0, NOTIFY)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = [("length", ctypes.c_ushort), ("lines", ctypes.c_void_p)]


class Stopped:
    """One run of a command line. `decide` is asked at each stop: None lets the call go on, a number
    is the errno that it fails with."""

    def __init__(
        self,
        command: Sequence[str],
        calls: Sequence[str],
        decide: Callable[[Stop], int | None] = lambda _: None,
        *,
        streams: tuple[int, int, int] | None = None,
        cwd: str = "/",
        seconds: float = SECONDS,
    ) -> None:
        self.command = list(command)
        # execve: it shall not run before we hear it.
        self.names = numbers([*calls, "execve"])
        self.decide = decide
        self.streams = streams
        self.cwd = cwd
        self.seconds = seconds
        self.stops: list[Stop] = []
        self.heard: dict[int, list[int]] = {}  # number and count of calls, by pid
        self.pid = 0

    def run(self) -> Ended:
        """To the end of its first process; whoever waits still goes on with ENOSYS, or is killed
        with what `hung` tells of."""
        output = os.memfd_create("output", 0)
        errors = os.memfd_create("errors", 0)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        program = _program(sorted(self.names))
        self.pid = os.fork()
        if self.pid == 0:
            self._become(program, theirs, self.streams or (-1, output, errors))
        theirs.close()
        pidfd = os.pidfd_open(self.pid)
        listener = _fetch(pidfd, int(ours.recv(16)))
        ours.close()
        with contextlib.suppress(OSError):  # before Linux 6.6
            # One of us runs at a time: to wake the other CPU for each call takes most of the time.
            fcntl.ioctl(listener, SET_FLAGS, SYNC_WAKE_UP)
        hung = not self._serve(listener, pidfd)
        if hung:
            os.kill(self.pid, signal.SIGKILL)
        os.close(listener)
        _, status = os.waitpid(self.pid, 0)
        os.close(pidfd)
        texts = [_content(fd) for fd in (output, errors)]
        return Ended(os.waitstatus_to_exitcode(status), *texts, self.stops, hung)

    def _become(self, program: bytes, theirs: socket.socket, fds: tuple[int, int, int]) -> None:
        try:
            null = os.open("/dev/null", os.O_RDWR)
            for number, fd in enumerate(fds):
                os.dup2(fd if fd >= 0 else null, number)
            os.chdir(self.cwd)
            libc = ctypes.CDLL(None, use_errno=True)
            lines = ctypes.create_string_buffer(program)
            filter_ = Program(len(program) // 8, ctypes.cast(lines, ctypes.c_void_p))
            # Where the listener will be: to send it afterwards may be a call that it stops.
            next_one = os.dup(null)
            os.close(next_one)
            theirs.send(b"%d" % next_one)
            flags = NEW_LISTENER | WAIT_KILLABLE
            libc.syscall(SYS_SECCOMP, SET_MODE_FILTER, flags, ctypes.byref(filter_))
            os.closerange(3, next_one)
            os.closerange(next_one + 1, 1 << 12)
            os.execv(self.command[0], self.command)
        finally:
            os._exit(126)

    def _serve(self, listener: int, pidfd: int) -> bool:
        """Until the first process is gone; whether it is, in time."""
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        poll.register(pidfd, select.POLLIN)
        left = self.seconds
        while left > 0:
            before = time.monotonic()
            ready = dict(poll.poll(int(left * 1000)))
            left -= time.monotonic() - before  # what a decision takes is not the command's time
            if ready.get(listener, 0) & select.POLLIN:
                self._answer(listener)
            elif pidfd in ready:
                self._settle(listener)
                return True
        return False

    def _settle(self, listener: int) -> None:
        """Until everybody who goes on, as a container's init does, stands in a call that waits:
        from the next one on they get ENOSYS."""
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        deadline = time.monotonic() + self.seconds
        quiet = 0
        while quiet < 2 and time.monotonic() < deadline:
            if poll.poll(5) and poll.poll(0)[0][1] & select.POLLIN:
                self._answer(listener)
                quiet = 0
            else:
                busy = any(state(pid) == "R" for pid in {stop.pid for stop in self.stops})
                quiet = 0 if busy else quiet + 1

    def _answer(self, listener: int) -> None:
        buffer = bytearray(NOTIFICATION.size)
        try:
            fcntl.ioctl(listener, RECV, buffer)
        except OSError:
            return  # killed meanwhile
        key, pid, _, number, _, _, *args = NOTIFICATION.unpack(buffer)
        call = self.names[number]
        path = _string(pid, args[PATHS[call]]) if call in PATHS else ""
        number_and_count = self.heard.setdefault(pid, [len(self.heard), -1])
        number_and_count[1] += 1
        stop = Stop(len(self.stops), call, pid, path, *number_and_count)
        self.stops.append(stop)
        error = self.decide(stop)
        if error == NEVER:
            return
        answer = RESPONSE.pack(key, 0, -(error or 0), 0 if error else CONTINUE)
        try:
            fcntl.ioctl(listener, SEND, bytearray(answer))
        except OSError as problem:
            if problem.errno != errno.ENOENT:  # it was killed
                raise


def _fetch(pidfd: int, number: int) -> int:
    """The listener of a process that is about to make it: pidfd_getfd(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        fd = libc.syscall(438, pidfd, number, 0)
        if fd >= 0:
            if "seccomp" in os.readlink(f"/proc/self/fd/{fd}"):
                return int(fd)
            os.close(fd)
        time.sleep(0.0005)
    raise TimeoutError("the filter was not loaded")


def state(pid: int) -> str:
    """As in ps: R for one that runs or could; "" for none."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _string(pid: int, address: int) -> str:
    """A path of another process's memory."""
    if not address:
        return ""
    try:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            memory.seek(address)
            return memory.read(4096 - address % 4096).partition(b"\0")[0].decode(errors="replace")
    except (OSError, OverflowError, ValueError):
        return ""


def _content(fd: int) -> str:
    size = os.fstat(fd).st_size
    text = os.pread(fd, size, 0).decode(errors="replace")
    os.close(fd)
    return text


def exchange(one: Path, other: Path) -> None:
    """Two names for each other's, in one step: renameat2(2). Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, bytes(one), -100, bytes(other), 2):
        raise OSError(ctypes.get_errno(), f"exchange {one} and {other}")
