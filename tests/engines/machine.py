# SPDX-License-Identifier: Apache-2.0
"""The machine itself as an engine's host: one that was booted with systemd and is thrown away, as
its environment says (tests/vm). Engines make units there, by systemd's cgroup driver."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import needs

from .host import PATH, STORES, Host, eventually

MINE = "PYRUN_MACHINE_IS_MINE"  # its /etc may be changed, and its /var/lib emptied
UNIFIED = Path("/sys/fs/cgroup")
OF_THE_MACHINE = ("/usr/lib/systemd/", "/usr/bin/dbus-daemon", "(sd-pam)", "(udev-worker)")


def new_host() -> Host:
    """A host for an engine: a booted machine if it may be used, or namespaces."""
    if os.environ.get(MINE) and not needs.lacking("systemd"):
        return Machine()
    return Host()


class _Units:
    """The machine's tree of cgroups; systemd's, so that nothing is made or removed here."""

    def enter(self) -> None:
        """A process stays where it was begun."""

    def below(self) -> list[str]:
        """All of it, relative to the top."""
        return sorted(str(Path(top).relative_to(UNIFIED)) for top, _, _ in os.walk(UNIFIED))


class Machine(Host):
    """The same, without namespaces of its own."""

    driver = "systemd"

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pyrun-engines-", dir="/var/tmp"))
        self.folder.chmod(0o755)
        self.environment = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8"}
        self._daemons = []
        self.cgroup = _Units()
        self.pid = 1
        self._written: dict[Path, str | None] = {}
        for folder in self._stores():
            folder.mkdir(mode=0o711, exist_ok=True)

    def _stores(self) -> list[Path]:
        return [Path("/var/lib") / name for name in STORES]

    def write(self, inside: str | Path, text: str) -> str:
        """A file, which is what it was before in the end."""
        path = self.path(inside)
        if path not in self._written:
            self._written[path] = path.read_text() if path.exists() else None
        return super().write(inside, text)

    def processes(self) -> list[str]:
        """But for those that systemd starts as it likes."""
        return [line for line in super().processes() if not line.startswith(OF_THE_MACHINE)]

    def end(self) -> None:
        """Ends the daemons, and empties what engines keep."""
        for process in self._daemons:
            if process.poll() is None:
                self.stop(process)
        for path, text in self._written.items():
            if text is None:
                path.unlink(missing_ok=True)
            else:
                path.write_text(text)
        for folder in self._stores():
            eventually(lambda folder=folder: _emptied(folder), 10)
        shutil.rmtree(self.folder, ignore_errors=True)


def _emptied(folder: Path) -> bool:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    for place in reversed([line.split()[4] for line in lines]):
        if place.startswith(f"{folder}/"):
            subprocess.run(["umount", "--lazy", place], capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()
