# SPDX-License-Identifier: Apache-2.0
"""NOTIFY_SOCKET: a container that tells its service manager when it is ready, sd_notify(3).

The manager's socket is not handed in: the container gets one of ours, and of what comes there only
READY=1 is passed on, in our own words. `start` (or `run`) holds our end; without it nobody listens.
"""

from __future__ import annotations

import errno
import os
import select
import sys
from _socket import AF_UNIX, MSG_DONTWAIT, SCM_RIGHTS, SOCK_CLOEXEC, SOCK_DGRAM, SOL_SOCKET, socket

from pyrun import init, log
from pyrun.compile.donations import namespace
from pyrun.compile.mount_options import destination
from pyrun.errors import from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.state import Container
    from pyrun.types import Config, Facts

VARIABLE = "NOTIFY_SOCKET"
FOLDER = "notify"  # in the container's folder
NAME = "notify.sock"
INSIDE = "/run/notify"  # where the container finds the folder
OPTIONS = ["bind", "ro", "nosuid", "nodev", "noexec"]  # to send takes no right to write
LONGEST = 4096  # bytes of a datagram that are looked at
QUEUE = 16  # datagrams looked at in one go: more than the kernel holds, net.unix.max_dgram_qlen
PATIENCE = 30_000  # milliseconds that the manager gets to take what was sent


def arrange(config: Config, facts: Facts, folder: str) -> None:
    """Add the mount and the variable to a config; `folder` will be the container's. What the
    config mounts there itself stays. Without a mount namespace nothing can be mounted."""
    mounts = config.get("mounts") or []
    if not namespace(config, "mount") or any(destination(each) == INSIDE for each in mounts):
        log.debug(f"{VARIABLE}: not passed on to this container")
        return
    source = f"{folder}/{FOLDER}"
    entry = {"destination": INSIDE, "type": "bind", "source": source, "options": OPTIONS}
    config["mounts"] = [*mounts, entry]
    facts["sources"][source] = "directory"  # by then
    facts["extra_env"].append((VARIABLE, f"{INSIDE}/{NAME}"))
    facts["notify"] = True


def make_folder(container: Container) -> None:
    """Where the socket will be; the container's user may look into it, whoever that is."""
    try:
        os.mkdir(FOLDER, dir_fd=container.fd)
        os.chmod(FOLDER, 0o755, dir_fd=container.fd)  # noqa: S103 - the container is to enter it
    except OSError as error:
        raise from_os(error, f"make {container.path}/{FOLDER}") from None


class Proxy:
    """Our end of the container's socket."""

    def __init__(self, container: Container) -> None:
        """Listens before the program can speak. Raises Error."""
        self.socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC)
        own = os.umask(0)  # bind(2) makes the socket by it
        try:
            flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            folder = os.open(FOLDER, flags, dir_fd=container.fd)
            try:
                _forget(folder)  # of a `start` that was killed
                self.socket.bind(f"/proc/self/fd/{folder}/{NAME}")
            finally:
                os.close(folder)
        except OSError as error:
            raise from_os(error, f"listen at {container.path}/{FOLDER}/{NAME}") from None
        finally:
            os.umask(own)

    def is_ready(self) -> bool:
        """Take the datagrams that are there, up to the first that says so; whether one did. A
        descriptor that comes along (BARRIER=1) is closed by that: its sender waits for nothing
        else."""
        try:
            for _ in range(QUEUE):
                if b"READY=1" in self.socket.recv(LONGEST, MSG_DONTWAIT).split(b"\n"):
                    return True
        except BlockingIOError:
            pass
        return False

    def wait(self, pidfd: int, pid: int) -> None:
        """Until the container is ready, and the manager knows it and the pid to watch; or until
        its init has ended, though others in it may go on to send."""
        poll = select.poll()
        poll.register(self.socket.fileno(), select.POLLIN)
        poll.register(pidfd, select.POLLIN)
        ended = False
        while not ended:
            ready = dict(poll.poll())
            ended = pidfd in ready
            if self.socket.fileno() in ready and self.is_ready():
                self.tell(pid, barrier=True)
                return

    def tell(self, pid: int, *, barrier: bool = False) -> None:
        """READY=1 to our own manager, and which process is to be watched from now on.

        With `barrier`, until it has taken notice: it looks us up by our pid, so we must not end
        before. A failure is a warning: the container runs.
        """
        connection = self.reach_manager()
        if connection is None:
            return
        try:
            connection.send(f"MAINPID={pid}\nREADY=1\n".encode())
            if barrier:
                _wait_taken(connection)
        except OSError as error:
            log.warning(str(from_os(error, f"{VARIABLE} {os.environ[VARIABLE]}")))
        finally:
            connection.close()

    def reach_manager(self) -> socket | None:
        """A socket that leads to our own manager. A failure is a warning, and None."""
        address = os.environ[VARIABLE]
        connection = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC)
        try:
            # Half of Python takes no NUL in a text.
            path = address.encode(errors="surrogateescape")
            connection.connect(b"\0" + path[1:] if path[:1] == b"@" else path)
        except OSError as error:
            connection.close()
            log.warning(str(from_os(error, f"{VARIABLE} {address}")))
            return None
        return connection


def _wait_taken(connection: socket) -> None:
    """sd_notify_barrier(3): the manager closes the descriptor when it is at that datagram."""
    read_end, write_end = os.pipe()
    try:
        data = write_end.to_bytes(4, sys.byteorder)
        connection.sendmsg([b"BARRIER=1"], [(SOL_SOCKET, SCM_RIGHTS, data)])
    finally:
        os.close(write_end)
    poll = select.poll()
    poll.register(read_end, 0)  # its end alone
    poll.poll(PATIENCE)
    os.close(read_end)


def wait_ready(container: Container, proxy: Proxy) -> None:
    """For `start`, whose container is somebody else's child. Others may have the lock meanwhile."""
    container.unlock()
    pidfd = init.open_init(container)
    if pidfd >= 0:
        proxy.wait(pidfd, container.state["init_process_pid"])
        os.close(pidfd)


def _forget(folder: int) -> None:
    try:
        os.unlink(NAME, dir_fd=folder)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
