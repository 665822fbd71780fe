# SPDX-License-Identifier: Apache-2.0
"""Facts about who calls and on which kernel, for every plan: that of a container and that of a
process that joins one. Reading only."""

from __future__ import annotations

import fcntl
import os

from pyrun.compile.capabilities import LANDLOCK
from pyrun.errors import Error
from pyrun.init import read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config

# Variables by which a caller tells us something.
VARIABLES = (
    "PYRUN_NO_FAST", "NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "RUN_OCI_SECCOMP_RECEIVER",
)  # fmt: skip
KERNEL_FLOOR = (5, 14)  # openat2, mount_setattr, close_range, cgroup.kill


def check_kernel(release: str) -> None:
    """Refuse a kernel without the calls that everything here is built on. Raises Error."""
    words = release.split(".")
    numbers = tuple(int("".join(c for c in word[:4] if c.isdigit()) or 0) for word in words[:2])
    if numbers < KERNEL_FLOOR:
        raise Error(f"this kernel is Linux {release}: pyrun needs 5.14 or newer")


def effective_capabilities() -> int:
    """CapEff of this process: capabilities(7)."""
    for line in read_text("/proc/self/status").split("\n"):
        if line.startswith("CapEff:"):
            return int(line[7:], 16)
    return 0


def is_privileged(capabilities: int) -> bool:
    """CAP_SYS_ADMIN as root: whether namespaces can be made without a user namespace."""
    return bool(capabilities >> 21 & 1) and os.geteuid() == 0


def landlock_abi(config: Config) -> int:
    """That of this kernel, for a config with Landlock rules; 0 where it has none, or nobody asks:
    landlock_create_ruleset(2)."""
    if LANDLOCK not in (config.get("annotations") or ()):
        return 0
    from pyrun.kernel._linux import lib

    return max(0, int(lib.pyrun_landlock_abi()))


def inherited(extra: int) -> tuple[int, list[tuple[str, str]]]:
    """(how many descriptors from 3 on go to the container, environment that tells it of them).

    Those of socket activation come first, if they were meant for this process: sd_listen_fds(3).
    """
    listen = 0
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        text = os.environ.get("LISTEN_FDS", "")
        listen = int(text) if text.isascii() and text.isdigit() else 0
    for fd in range(3, 3 + listen + extra):
        try:
            fcntl.fcntl(fd, fcntl.F_GETFD)
        except OSError:
            raise Error(
                f"descriptor {fd} is to be preserved, but it is not open",
                hint=f"--preserve-fds {extra}, LISTEN_FDS {listen}: they start at 3",
            ) from None
    names = [("LISTEN_FDS", str(listen)), ("LISTEN_PID", "")] if listen else []
    if listen and "LISTEN_FDNAMES" in os.environ:
        names.append(("LISTEN_FDNAMES", os.environ["LISTEN_FDNAMES"]))
    return listen + extra, names


def security_modules(config: Config) -> list[str]:
    """Which of those that the config has a label for are at work here."""
    process, linux = config.get("process") or {}, config.get("linux") or {}
    found = []
    if process.get("apparmorProfile") and _apparmor():
        found.append("AppArmor")
    if (process.get("selinuxLabel") or linux.get("mountLabel")) and _selinux():
        found.append("SELinux")
    return found


def _selinux() -> bool:
    """Its own file system is known when it is on: selinux(8)."""
    return "selinuxfs" in read_text("/proc/filesystems").split()


def _apparmor() -> bool:
    try:
        return read_text("/sys/module/apparmor/parameters/enabled").startswith("Y")
    except PermissionError:
        return True  # it keeps its state from us: the kernel will answer
    except OSError:
        return False


def memory_nodes(config: Config) -> str:
    """The nodes of this host that have memory, as in `0-3,7`; "" where nobody asks, and for a
    kernel without NUMA."""
    if not (config.get("linux") or {}).get("memoryPolicy"):
        return ""
    try:
        return read_text("/sys/devices/system/node/has_memory")
    except OSError:
        return ""
