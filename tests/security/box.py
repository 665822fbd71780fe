# SPDX-License-Identifier: Apache-2.0
"""A bundle with an image that an attacker made, and any OCI runtime to run it: what it may never
do is told by what is different outside of the container afterwards."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BUSYBOX = "/bin/busybox"
APPLETS = ("sh", "cat", "echo", "ls", "id", "touch", "mknod", "mount", "true", "sleep", "env", "dd")
SECONDS = 30
NAMESPACES = ("pid", "network", "ipc", "uts", "mount")
CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
)  # fmt: skip
PROC = {"destination": "/proc", "type": "proc", "source": "proc"}
DEV = {
    "destination": "/dev",
    "type": "tmpfs",
    "source": "tmpfs",
    "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
}
DEVPTS = {
    "destination": "/dev/pts",
    "type": "devpts",
    "source": "devpts",
    "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
}


def default_config() -> dict[str, Any]:
    """What an engine would write, without anything that a test is about."""
    return {
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs", "readonly": False},
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": ["true"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {
                kind: list(CAPABILITIES) for kind in ("bounding", "effective", "permitted")
            },
        },
        "mounts": [dict(PROC), dict(DEV)],
        "linux": {"namespaces": [{"type": kind} for kind in NAMESPACES]},
    }


class Box:
    """One bundle, one container, one folder outside of it that must stay as it is."""

    def __init__(self, folder: Path, runtime: Path) -> None:
        self.runtime = runtime
        self.folder = folder
        self.bundle = folder / "bundle"
        self.rootfs = self.bundle / "rootfs"
        self.state = folder / "state"
        self.outside = folder / "outside"
        self.id = f"security-{os.getpid()}-{folder.name}"[:60].replace("[", "-").replace("]", "-")
        self.config = default_config()
        binaries = self.rootfs / "bin"
        binaries.mkdir(parents=True)
        shutil.copy(BUSYBOX, binaries / "busybox")
        for name in APPLETS:
            (binaries / name).symlink_to("busybox")
        for name in ("proc", "dev", "sys", "tmp", "etc", "vol"):
            (self.rootfs / name).mkdir()
        self.outside.mkdir()
        (self.outside / "ptmx").write_text("of the host")
        (self.outside / "secret").write_text("HOST SECRET")
        for path in (folder, self.bundle, self.rootfs, self.outside):
            path.chmod(0o755)
        self.before = snapshot(self.outside)

    @property
    def process(self) -> dict[str, Any]:
        """config.json's process."""
        found: dict[str, Any] = self.config["process"]
        return found

    def sh(self, script: str) -> None:
        """The container's program."""
        self.process["args"] = ["sh", "-c", script]

    def write(self) -> None:
        """config.json."""
        (self.bundle / "config.json").write_text(json.dumps(self.config))

    def command(self, verb: str, *words: str) -> list[str]:
        """A command line of the runtime."""
        return [str(self.runtime), "--root", str(self.state), verb, *words]

    def run(self, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the container to its end; stdin, stdout and stderr are pipes or files."""
        self.write()
        options = {"input": "", "capture_output": True, "text": True, **options}
        if "stdin" in options:
            del options["input"]
        command = self.command("run", "--bundle", str(self.bundle), self.id)
        return subprocess.run(
            options.pop("before", []) + command, timeout=SECONDS, cwd=self.bundle, **options
        )

    def create(self, before: Sequence[str] = ()) -> int:
        """Create it without starting it; the pid of its init. stdio is /dev/null."""
        self.write()
        pid_file = self.folder / "pid"
        words = ("--bundle", str(self.bundle), "--pid-file", str(pid_file), self.id)
        subprocess.run(
            [*before, *self.command("create", *words)],
            check=True,
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        return int(pid_file.read_text())

    def verb(self, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Any other verb on it."""
        command = self.command(verb, *words, self.id)
        return subprocess.run(command, timeout=SECONDS, capture_output=True, text=True)

    def delete(self) -> None:
        """Whatever is left."""
        self.verb("delete", "--force")

    def untouched(self) -> bool:
        """Whether the folder outside is as it was."""
        return snapshot(self.outside) == self.before


def snapshot(folder: Path) -> list[tuple[Any, ...]]:
    """Everything below it that an escape could change."""
    found: list[tuple[Any, ...]] = []
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        content: Any = None
        if stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(path)
        found.append(
            (str(path), status.st_mode, status.st_uid, status.st_gid, status.st_rdev, content)
        )
    return found
