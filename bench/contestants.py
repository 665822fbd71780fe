# SPDX-License-Identifier: Apache-2.0
"""Who is measured: an OCI runtime or the kernel's floor, each as the command lines of its verbs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import process

WAITING = ["/bin/sleep", "1000"]
BRIEF = ["/bin/true"]
FAILING = ["/bin/sh", "-c", "exit 7"]
EXIT_CODE = 7
VERSION = "1.0.2"  # of the specification: crun 1.8 refuses a newer one
PROGRAMS = ("sh", "true", "sleep")


class Runtime:
    """An OCI runtime, with its own bundles, state folder and cgroup."""

    def __init__(self, name: str, path: str, work: Path, config: dict[str, Any]) -> None:
        self.name = name
        self.path = path
        self.id = f"bench-{name}"
        self.pid_file = work / f"{name}.pid"
        self._program = [path, "--root", str(work / name)]
        self._bundles = {
            words[0]: _bundle(work / f"{name}-{index}", work / "rootfs", self.id, words, config)
            for index, words in enumerate((WAITING, BRIEF, FAILING))
        }

    def run(self, words: list[str]) -> list[str]:
        """Until the container's program ends."""
        return [*self._program, "run", "--bundle", self._bundles[words[0]], self.id]

    def create(self, words: list[str]) -> list[str]:
        """Leaves the init's pid in the pid file."""
        bundle = self._bundles[words[0]]
        pid_file = str(self.pid_file)
        return [*self._program, "create", "--bundle", bundle, "--pid-file", pid_file, self.id]

    def verb(self, name: str) -> list[str]:
        """start, state, kill or delete."""
        return [*self._program, name, self.id, *(["KILL"] if name == "kill" else [])]

    def exec(self, words: list[str]) -> list[str]:
        """In the container that runs, until it ends."""
        return [*self._program, "exec", self.id, *words]

    def pid(self) -> int:
        """Of the init that create() has left."""
        return int(self.pid_file.read_text())

    def clean(self, commands: process.Commands) -> None:
        """Remove what an interrupted measurement left."""
        try:
            commands.time([*self._program, "delete", "--force", self.id])
        except process.CommandError:
            return

    def version(self, commands: process.Commands) -> str:
        """As the runtime says it, on one line."""
        said = commands.output([self.path, "--version"])
        return said.partition("\n")[0]


class Floor(Runtime):
    """The kernel's own cost: floor.c, with the same verbs."""

    def __init__(self, path: Path, work: Path) -> None:
        self.name = "floor"
        self.path = str(path)
        self.id = "bench-floor"
        self.folder = str(work / "floor-container")
        self.pid_file = work / "floor-container/pid"
        self.rootfs = str(work / "rootfs")

    def run(self, words: list[str]) -> list[str]:
        return [self.path, "run", self.rootfs, *words]

    def create(self, words: list[str]) -> list[str]:
        return [self.path, "create", self.folder, self.rootfs, *words]

    def verb(self, name: str) -> list[str]:
        return [self.path, name, self.folder, *(["9"] if name == "kill" else [])]

    def exec(self, words: list[str]) -> list[str]:
        return [self.path, "exec", self.folder, *words]

    def clean(self, commands: process.Commands) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def version(self, commands: process.Commands) -> str:
        return "the system calls alone (bench/floor.c)"


def _bundle(
    folder: Path, rootfs: Path, container_id: str, words: list[str], config: dict[str, Any]
) -> str:
    """A bundle that runs `words` in the common rootfs; its folder."""
    own = json.loads(json.dumps(config))
    own["ociVersion"] = VERSION
    own["process"]["terminal"] = False
    own["process"]["args"] = words
    own["root"]["path"] = str(rootfs)
    # Runtimes differ in what they put a relative path, or none, below.
    own["linux"]["cgroupsPath"] = f"/{container_id}"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(own))
    return str(folder)


def default_config(pyrun: str, work: Path, commands: process.Commands) -> dict[str, Any]:
    """What `pyrun spec` writes."""
    folder = work / "spec"
    folder.mkdir()
    commands.time([pyrun, "spec", "--bundle", str(folder)])
    found: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return found


def make_rootfs(work: Path, busybox: str) -> None:
    """Debian's static busybox under a few names, and the folders that mounts need."""
    rootfs = work / "rootfs"
    for name in ("bin", "proc", "sys", "dev"):
        (rootfs / name).mkdir(parents=True)
    shutil.copy(busybox, rootfs / "bin/busybox")
    for name in PROGRAMS:
        (rootfs / "bin" / name).symlink_to("busybox")
