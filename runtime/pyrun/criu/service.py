# SPDX-License-Identifier: Apache-2.0
"""One conversation with CRIU: `criu swrk` is started as our child, gets one request, may ask us on
the way (notifications), and answers.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import sys
from _signal import SIG_DFL, SIG_IGN, SIGHUP, SIGINT, SIGKILL, SIGTERM
from _signal import signal as on_signal
from typing import Any

from pyrun import launch
from pyrun.cgroup import cgroupfs
from pyrun.criu import messages
from pyrun.errors import Error
from pyrun.linux import CLONE_NEWNS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import TypeAlias

    from pyrun.criu.images import Directory

    # What a notification means to us: gets the pid that comes with it (0: none) and the descriptor
    # (-1: none), which is then its own. Raises Error; CRIU gives up then.
    Answer: TypeAlias = Callable[[int, int], None]

# Engines start us with an empty environment, and CRIU looks for tar, ip and iptables itself.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LONGEST = 1 << 16  # bytes of an answer: the longest holds an error message
LOOK_AGAIN = 3.0  # seconds, while there is no answer
ABSENT = "there is no criu in PATH, which does the work"


def environment() -> dict[str, str]:
    """Of CRIU and the programs that it starts."""
    return {**os.environ, "PATH": os.environ.get("PATH") or PATH}


def program(name: str = "criu") -> str:
    """Its path, "" if there is none."""
    return shutil.which(name, path=environment()["PATH"]) or ""


class Service:
    """A `criu swrk` that waits for its request."""

    def __init__(
        self,
        directories: Collection[Directory] = (),
        mount_namespace: int = -1,
        keep: Collection[int] = (),
        keyring: tuple[str, int, int] | None = None,
        cgroup: str = "",
        silent: bool = False,
    ) -> None:
        """Start it: in the mount namespace of this descriptor, with the numbers of `directories`
        standing for them as they are there, with the descriptors `keep`, and with a session keyring
        (name, owner, group), which what it restores has too, in the cgroup of
        this directory; `silent`: without our standard output, where its check writes.
        Raises Error.
        """
        path = program()
        if not path:
            raise Error(f"criu: {ABSENT}", hint="install it (Debian: criu)")
        ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                if cgroup:
                    cgroupfs.write(f"{cgroup}/cgroup.procs", "0")
                if mount_namespace >= 0:
                    launch.setns(mount_namespace, CLONE_NEWNS)
                if keyring:
                    launch.join_session_keyring(*keyring)
                if silent:
                    null = os.open(os.devnull, os.O_RDWR)
                    os.dup2(null, 1)
                    os.dup2(null, 2)
                _become(path, theirs, directories, keep)
            except BaseException as error:  # noqa: BLE001 - in the child: reported, never raised
                theirs.send(f"{error}".encode())
            os._exit(127)
        theirs.close()
        with ours:
            data, fds, _, _ = socket.recv_fds(ours, 4096, 1)
            if fds:
                # It closes when CRIU has been executed, or says why not.
                data = ours.recv(4096)
        self.connection = socket.socket(fileno=fds[0]) if fds else None
        if data or self.connection is None:
            self.end()
            raise Error(f"start {path}: {data.decode('utf-8', 'replace') or 'it died'}")

    def ask(
        self,
        request: Any,
        answers: dict[str, Answer] | None = None,
        is_lost: Callable[[], bool] | None = None,
    ) -> Any:
        """Its answer to the request, None if it died; notifications are answered by their names.
        `is_lost` tells whether there will be none: CRIU is ended then. Raises the first Error of an
        answer."""
        failure: BaseException | None = None
        self._send(request)
        while True:
            if is_lost:
                self._end_if(is_lost)
            response, fd = self._receive()
            if response is None or response.type != messages.NOTIFY:
                if failure:
                    raise failure
                return response
            answer = (answers or {}).get(response.notify.script)
            if answer is None and fd >= 0:
                os.close(fd)
            try:
                if answer and not failure:
                    answer(response.notify.pid, fd)
            except BaseException as error:  # noqa: BLE001 - raised when CRIU has given up
                failure = error
            self._send(messages.Request(type=messages.NOTIFY, notify_success=failure is None))

    def _send(self, request: Any) -> None:
        assert self.connection is not None
        try:
            self.connection.send(request.SerializeToString())
        except (BrokenPipeError, ConnectionResetError):
            return  # it died: _receive() finds the end of file

    def _end_if(self, is_lost: Callable[[], bool]) -> None:
        """Wait for a message; kill it when this is the case twice in a row before there is one."""
        times = 0
        while times < 2 and not select.select([self.connection], [], [], LOOK_AGAIN)[0]:
            times = times + 1 if is_lost() else 0
        if times == 2:
            os.kill(self.pid, SIGKILL)

    def _receive(self) -> tuple[Any, int]:
        """(message or None at the end, a descriptor or -1)."""
        assert self.connection is not None
        try:
            data, control, _, _ = self.connection.recvmsg(
                LONGEST, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError:
            return None, -1
        fd = -1
        for _, _, content in control:
            fd = int.from_bytes(content[:4], sys.byteorder)
        if not data:
            return None, fd
        response = messages.Response()
        response.ParseFromString(data)
        return response, fd

    def end(self, *, kill: bool = False) -> None:
        """Wait until it is gone, which it soon is when it has answered."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        if self.pid:
            if kill:
                os.kill(self.pid, SIGKILL)
            os.waitpid(self.pid, 0)
        self.pid = 0


def _become(
    path: str,
    report: socket.socket,
    directories: Collection[Directory],
    keep: Collection[int],
) -> None:
    """In the child: execute CRIU. It finds what a number stands for among the descriptors of the
    process that made the socket pair, and so that must be itself."""
    for number in (SIGHUP, SIGINT):
        # Meant for us, who let it finish or end it: a process that is taken apart halfway is lost.
        on_signal(number, SIG_IGN)
    on_signal(SIGTERM, SIG_DFL)  # CRIU ends its own helpers by it
    kept = {0, 1, 2, report.fileno(), *keep}
    for directory in directories:
        # One from another mount namespace would be of no use: nothing can be mounted there.
        fd = os.open(directory.path, os.O_RDONLY | os.O_DIRECTORY)
        os.dup2(fd, directory.fd)
        kept.add(directory.fd)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    kept |= {ours.fileno(), theirs.fileno()}
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            _close(int(name))
    socket.send_fds(report, [b"0"], [ours.fileno()])
    ours.close()
    for fd in (theirs.fileno(), *keep):
        os.set_inheritable(fd, True)  # noqa: FBT003 - takes no keyword
    with contextlib.suppress(PermissionError):
        # A process that was saved without supplementary groups keeps those that CRIU has.
        os.setgroups([])
    os.execve(path, ["criu", "swrk", str(theirs.fileno())], environment())  # noqa: S606


def _close(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        return  # that of the listing itself
