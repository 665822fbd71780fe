# SPDX-License-Identifier: Apache-2.0
"""containerd on a host of its own, and its own client, ctr, with one runtime."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import image
from .host import Host, Result, eventually, runtime_path

_numbers = itertools.count(1)

# No part of Kubernetes, and no storage that the machine may lack.
CONFIGURATION = """
version = 2
disabled_plugins = [
    "io.containerd.grpc.v1.cri",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
]
"""


class Ctr:
    """Commands of ctr's with --runc-binary, and containers that go when the test is over."""

    def __init__(self, host: Host, runtime: str) -> None:
        self.host = host
        self.runtime = runtime
        self.made: list[str] = []

    @staticmethod
    def prepare(host: Host) -> None:
        """A containerd that serves, with the image."""
        host.write("/etc/containerd/config.toml", CONFIGURATION)
        host.daemon("containerd", ready=lambda: host("ctr", "version").code == 0)
        host.ask("ctr", "images", "import", image.write(host.folder / "box.tar"))

    def __call__(self, *words: str | Path, **keywords: Any) -> Result:
        """Runs a command of ctr's."""
        return self.host("ctr", *words, **keywords)

    def ask(self, *words: str | Path, **keywords: Any) -> str:
        """The same, which must work: what it printed."""
        return self.host.ask("ctr", *words, **keywords)

    def name(self) -> str:
        """A name for a container; whatever has it is removed in the end."""
        self.made.append(f"box{next(_numbers)}")
        return self.made[-1]

    def words(
        self, flags: Sequence[str | Path], name: str, sh: str = "", of: str = image.NAME
    ) -> list[str]:
        """The words of `run`: flags, then `--` and a command, or `sh`, a script."""
        words = [str(word) for word in flags]
        if sh:
            words += ["--", "sh", "-c", sh]
        place = words.index("--") if "--" in words else len(words)
        line = ["run", "--runc-binary", runtime_path(self.runtime), *self.unit(name)]
        line += [*words[:place], of, name]
        return [*line, *(words[place + 1 :] or ["top"])]

    def unit(self, name: str) -> list[str]:
        """The flags of `run` for a unit of systemd's, where it makes the cgroups."""
        if self.host.driver == "cgroupfs":
            return []
        return ["--runc-systemd-cgroup", "--cgroup", f"system.slice:ctr:{name}"]

    def run(self, *flags: str | Path, sh: str = "", **keywords: Any) -> Result:
        """`run --rm`."""
        return self(*self.words(("--rm", *flags), self.name(), sh), **keywords)

    def sees(self, *flags: str | Path, sh: str = "", **keywords: Any) -> str:
        """The same, which must work: what it printed."""
        return self.ask(*self.words(("--rm", *flags), self.name(), sh), **keywords)

    def started(self, *flags: str | Path, sh: str = "", name: str = "") -> str:
        """`run --detach`, of `top` if nothing else is said: the container's name."""
        name = name or self.name()
        self.ask(*self.words(("--detach", "--null-io", *flags), name, sh))
        return name

    def exec(self, name: str, *words: str | Path, flags: Sequence[str] = ()) -> Result:
        """`tasks exec`."""
        number = f"e{next(_numbers)}"
        return self("tasks", "exec", "--exec-id", number, *flags, name, *words)

    def status(self, name: str) -> str:
        """As `tasks list` has it, "" when there is no such task."""
        rows = [line.split() for line in self.ask("tasks", "list").splitlines()]
        return next((row[2] for row in rows if row[0] == name), "")

    def pid(self, name: str) -> int:
        """Of the container's first process, on the engine's host."""
        rows = [line.split() for line in self.ask("tasks", "list").splitlines()]
        return int(next(row[1] for row in rows if row[0] == name))

    def file(self, name: str, path: str) -> str:
        """A file in the container's root, "" when there is none. Not by exec: this client may lose
        the output of what ends at once."""
        place = self.host.path(f"/proc/{self.pid(name)}/root{path}")
        return place.read_text() if place.exists() else ""

    def wait(self, name: str) -> None:
        """Until it has ended."""
        assert eventually(lambda: self.status(name) == "STOPPED"), self.status(name)

    def limit(self, name: str, *files: str) -> str:
        """The first of these files of its cgroup that there is: "CONTROLLER/FILE", or v2's name."""
        lines = self.host.ask("cat", f"/proc/{self.pid(name)}/cgroup").splitlines()
        places = {line.split(":")[1]: line.split(":")[2] for line in lines}
        for file in files:
            controller, _, rest = file.rpartition("/")
            path = f"/sys/fs/cgroup/{controller}{places.get(controller, '')}/{rest}"
            if self.host.path(path).exists():
                return self.host.path(path).read_text().strip()
        raise AssertionError(f"none of {files}: {places}")

    def end(self, name: str) -> int:
        """Ends and deletes the task; its exit code."""
        self("tasks", "kill", "--signal", "KILL", "--all", name)
        eventually(lambda: self.status(name) in ("STOPPED", ""), 10)
        return self("tasks", "delete", name).code

    def clean(self) -> None:
        """Removes what was made under a name."""
        for name in self.made:
            if self("containers", "info", name).code == 0:
                self.end(name)
                self("containers", "delete", name)
        self.made.clear()


def metrics(text: str) -> dict[str, str]:
    """What `tasks metrics` prints, by name."""
    return dict(re.findall(r"^([\w.]+) +(\S+) *$", text, flags=re.MULTILINE))
