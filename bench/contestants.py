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
# Ends in 7 where a filter keeps it from a namespace of its own.
CONFINED = ["/bin/sh", "-c", "unshare -U /bin/true || exit 7"]
VERSION = "1.0.2"  # of the specification: crun 1.8 refuses a newer one
PROGRAMS = ("sh", "true", "sleep", "unshare")


class Runtime:
    """An OCI runtime with one container: its id, its cgroup, and a bundle for each program."""

    def __init__(
        self, name: str, path: str, work: Path, config: dict[str, Any], suffix: str = ""
    ) -> None:
        self.name = name
        self.path = path
        self.id = f"bench-{name}{suffix}"
        self.pid_file = work / f"{self.id}.pid"
        self.work = work
        self.config = config
        self._program = [path, "--root", str(work / name)]
        self._bundles: dict[tuple[str, ...], str] = {}
        self._others: list[Runtime] = []
        self.as_engines_do: Runtime | None = None  # once it is known to do the same work

    def another(self, suffix: str, config: dict[str, Any] | None = None) -> Runtime:
        """The same runtime with another container, of the same config if no other is given."""
        other = Runtime(self.name, self.path, self.work, config or self.config, f"-{suffix}")
        self._others.append(other)
        return other

    def run(self, words: list[str]) -> list[str]:
        """Until the container's program ends."""
        return [*self._program, "run", "--bundle", self._bundle(words), self.id]

    def create(self, words: list[str]) -> list[str]:
        """Leaves the init's pid in the pid file."""
        bundle = self._bundle(words)
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

    def list_all(self) -> list[str]:
        """Every container of this runtime's."""
        return [*self._program, "list"]

    def clean(self, commands: process.Commands) -> None:
        """Remove what an interrupted measurement left, of every container of this runtime's."""
        left = [one for one in (self, *self._others) if (self.work / self.name / one.id).exists()]
        lines = [[*self._program, "delete", "--force", one.id] for one in left]
        try:
            commands.many(lines, jobs=16)
        except process.CommandError:
            return

    def version(self, commands: process.Commands) -> str:
        """As the runtime says it, on one line."""
        said = commands.output([self.path, "--version"])
        return said.partition("\n")[0]

    def _bundle(self, words: list[str]) -> str:
        """The folder of a bundle that runs `words` in the common rootfs; made at its first use."""
        made = self._bundles.get(tuple(words))
        if made is None:
            made = str(self.work / f"{self.id}.{len(self._bundles)}")
            write_bundle(Path(made), self.work / "rootfs", self.id, words, self.config)
            self._bundles[tuple(words)] = made
        return made


class Floor(Runtime):
    """The kernel's own cost: floor.c, with the same verbs."""

    def __init__(self, path: Path, work: Path) -> None:
        self.name = "floor"
        self.as_engines_do = None
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


def write_bundle(
    folder: Path, rootfs: Path, container_id: str, words: list[str], config: dict[str, Any]
) -> None:
    """A bundle that runs `words`, with a cgroup of its own."""
    process_ = {**config["process"], "terminal": False, "args": words}
    # Runtimes differ in what they put a relative path, or none, below.
    linux = {**config["linux"], "cgroupsPath": f"/{container_id}"}
    own = {**config, "ociVersion": VERSION, "process": process_, "linux": linux}
    own["root"] = {**config["root"], "path": str(rootfs)}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(own))


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
