# SPDX-License-Identifier: Apache-2.0
"""A container's init as seen from outside: whether it lives, in which status, how to signal it.

A pid is believed only if the process with this number started when our record says, in this boot.
"""

from __future__ import annotations

import errno
import os
import select
import time

from pyrun.errors import from_os
from pyrun.state import EXEC_FIFO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.state import Container

CREATING, CREATED, RUNNING, PAUSED, STOPPED = "creating", "created", "running", "paused", "stopped"
EXECUTOR = "pyrun:"  # so it is called, as long as it is one
PATIENCE = 100  # times to look
DEAD = "ZXx"  # zombie, and on its way to be one: proc_pid_stat(5)


def boot_id() -> str:
    """Which boot of the machine this is."""
    return read_text("/proc/sys/kernel/random/boot_id").strip()


def is_of_this_boot(container: Container) -> bool:
    """Whether what is on record about processes and cgroups can still be true."""
    return bool(container.intent.get("boot_id") == boot_id())


def read_text(path: str) -> str:
    """A small file of procfs."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 1 << 16).decode("utf-8", "surrogateescape")
    finally:
        os.close(fd)


def inner_pid(pid: int) -> int:
    """The pid as the process itself sees it: the last of NSpid in proc_pid_status(5)."""
    # Its first line has a name that the process chooses, with any end of line but the kernel's own.
    for line in read_text(f"/proc/{pid}/status").split("\n"):
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    return pid


def start_time(pid: int) -> tuple[str, int]:
    """(state letter, start time in clock ticks since boot) of a process; ("X", 0) if there is
    none. Any other failure is raised as OSError: not knowing is not the same as gone."""
    try:
        text = read_text(f"/proc/{pid}/stat")
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESRCH):
            return "X", 0
        raise
    fields = text[text.rindex(")") + 2 :].split()
    return fields[0], int(fields[19])


def has_begun(pid: int) -> bool:
    """Whether a process that has closed what it had of ours has become the user's program, and is
    not an executor that was killed on its way there: that keeps its name, also in death. True where
    it can't be known, for somebody else has waited for it.

    execve(2) closes descriptors before it changes the name, and one that is killed closes them
    before it is a zombie: a moment later one of the two is so.
    """
    for _ in range(PATIENCE):
        try:
            name, _, rest = read_text(f"/proc/{pid}/stat").rpartition(") ")
        except OSError:
            return True
        if not name.partition("(")[2].startswith(EXECUTOR):
            return True
        if rest[0] in DEAD:
            return False
        time.sleep(0.001)
    return True


def open_init(container: Container) -> int:
    """A pidfd of the recorded init, or -1 if it is dead. Raises Error if that can't be known."""
    pid = container.state.get("init_process_pid", 0)
    if not pid or not is_of_this_boot(container):
        return -1
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return -1
    except OSError as error:
        raise from_os(error, f"pidfd_open {pid}") from None
    # After pidfd_open: what we compare now is what the descriptor stands for, or it is dead.
    try:
        letter, started = start_time(pid)
    except OSError as error:
        os.close(fd)
        raise from_os(error, f"read /proc/{pid}/stat") from None
    if letter in DEAD or started != container.state.get("init_process_start"):
        os.close(fd)
        return -1
    return fd


def signal(pidfd: int, number: int) -> bool:
    """Send a signal; False if the process is gone. Raises Error."""
    # Here, for it takes all of Python (pyrun/pack.py).
    from _signal import pidfd_send_signal

    try:
        pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    except OSError as error:
        raise from_os(error, f"signal {number}") from None
    return True


def wait_end(pidfd: int, seconds: float) -> bool:
    """Whether the process ended within this time."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def status(container: Container) -> str:
    """One of the specification's statuses, or paused."""
    pidfd = open_init(container)
    if pidfd < 0:
        if container.state.get("phase") != CREATED and not container.lock(wait=False):
            return CREATING
        return STOPPED
    os.close(pidfd)
    if container.state.get("phase") != CREATED:
        return CREATING
    record = container.intent["cgroup"]
    if record["paths"]:
        # Here and not above: a container that has ended has no use for it.
        from pyrun.cgroup.procs import frozen

        # First: one that is frozen before its start cannot be started.
        if frozen(record):
            return PAUSED
    return CREATED if waits(container) else RUNNING


def waits(container: Container) -> bool:
    """Whether the init waits at the exec fifo: then, and only then, the fifo has a reader."""
    try:
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(EXEC_FIFO, flags, dir_fd=container.fd))
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno == errno.ENXIO:
            return False
        raise from_os(error, f"open {container.path}/{EXEC_FIFO}") from None
    return True
