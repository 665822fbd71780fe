# SPDX-License-Identifier: Apache-2.0
"""The host as the examination sees it: its files, and the few things that only the kernel or a
library can tell. Reading only. A test makes one of a folder, with the answers it wants."""

from __future__ import annotations

import os
import pwd
from importlib import import_module

from pyrun.errors import Error, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Options

FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


class Host:
    """`root`: the folder that holds its file system."""

    def __init__(self, opts: Options, root: str = "") -> None:
        kernel = os.uname()
        self.root = root
        self.opts = opts
        self.release = kernel.release
        self.machine = kernel.machine
        self.uid = os.geteuid()
        self.home = os.environ.get("HOME", "")
        self.path = os.environ.get("PATH", "")

    @property
    def is_root(self) -> bool:
        """Whether the caller is uid 0, of whichever user namespace."""
        return self.uid == 0

    def text(self, path: str) -> str:
        """A file's content, "" for one that isn't there or is kept from us."""
        try:
            with open(self.root + path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def names(self, folder: str) -> list[str]:
        """What is in a folder, [] for one that isn't there."""
        try:
            return sorted(os.listdir(self.root + folder))
        except OSError:
            return []

    def exists(self, path: str) -> bool:
        """Whether there is such a path."""
        return os.path.exists(self.root + path)

    def status(self, path: str) -> os.stat_result | None:
        """stat(2), None for what isn't there."""
        try:
            return os.stat(self.root + path)
        except OSError:
            return None

    def writable(self, path: str) -> bool:
        """Whether the caller may make something in a folder: access(2)."""
        return os.access(self.root + path, os.W_OK | os.X_OK)

    def program(self, name: str) -> str:
        """Where a program is, in PATH or the usual folders; "" if nowhere."""
        for folder in [*self.path.split(":"), *FOLDERS]:
            path = f"{folder}/{name}"
            if folder.startswith("/") and os.access(self.root + path, os.X_OK):
                return path
        return ""

    def user(self) -> str:
        """The caller's name, or the uid in digits."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)

    def sysctl(self, name: str) -> int:
        """A number below /proc/sys, -1 where this kernel has none of that name."""
        text = self.text(f"/proc/sys/{name}").strip()
        return int(text) if text.isdigit() else -1

    def state_folder(self) -> str:
        """Where this caller's containers are. Raises Error where there is no such place."""
        from pyrun.state import root_path

        return root_path(self.opts)

    def landlock(self) -> int:
        """The version of Landlock, 0 where it is not on: landlock_create_ruleset(2)."""
        from pyrun.kernel._linux import lib

        return max(0, int(lib.pyrun_landlock_abi()))

    def new_user_namespace(self) -> str:
        """What the kernel says to a new user namespace, "" for yes: asked by a process that is
        gone afterwards."""
        pid = os.fork()
        if pid == 0:
            os._exit(_unshare_user())
        _, status = os.waitpid(pid, 0)
        number = os.waitstatus_to_exitcode(status)
        return reason(number) if number else ""

    def libseccomp(self) -> str:
        """The version of libseccomp, "" where the binding isn't there or doesn't load."""
        try:
            return str(import_module("pyrun.kernel.libseccomp").version())
        except ImportError:
            return ""

    def libsystemd(self) -> bool:
        """Whether the binding to libsystemd is there and loads."""
        try:
            import_module("pyrun.kernel._sdbus")
        except ImportError:
            return False
        return True

    def criu(self) -> str:
        """Why there can be no checkpoints, "" if there can."""
        try:
            return str(import_module("pyrun.criu.abilities").lacking())
        except ImportError as error:
            return f"no Python module {error.name}"
        except Error as error:
            return str(error)


def _unshare_user() -> int:
    """0, or the errno; by the C library, since Python has os.unshare from 3.12 on."""
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    return 0 if library.unshare(0x10000000) == 0 else ctypes.get_errno()  # CLONE_NEWUSER
