# SPDX-License-Identifier: Apache-2.0
"""Docker Engine on a host of its own, with each runtime under its name."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import image
from .host import PATH, Host, Result, eventually, runtime_path

_numbers = itertools.count(1)
RUNTIMES = ("pyrun", "runc", "crun")


def client() -> str:
    """Debian's: of the age of its daemon."""
    found = shutil.which("docker", path="/usr/bin:/bin")
    assert found, "no docker"
    return found


def configuration(driver: str, runtimes: Sequence[str] = ("pyrun", "crun")) -> dict[str, Any]:
    """daemon.json; who makes cgroups. The daemon knows runc by itself."""
    return {
        "runtimes": {name: {"path": runtime_path(name)} for name in runtimes},
        "exec-opts": [f"native.cgroupdriver={driver}"],
        "storage-driver": "overlay2",
        "experimental": True,  # checkpoints
    }


class Docker:
    """Commands of docker's with --runtime, and containers that go when the test is over."""

    def __init__(self, host: Host, runtime: str) -> None:
        self.host = host
        self.runtime = runtime
        self.made: list[str] = []

    @staticmethod
    def prepare(host: Host) -> subprocess.Popen[bytes]:
        """A daemon that serves, with the image."""
        host.write("/etc/docker/daemon.json", json.dumps(configuration(host.driver)))
        daemon = Docker.start(host)
        host.ask(client(), "load", "--quiet", "--input", image.write(host.folder / "box.tar"))
        return daemon

    @staticmethod
    def start(host: Host) -> subprocess.Popen[bytes]:
        """The daemon, with the configuration that is there. It starts a containerd itself."""
        return host.daemon("dockerd", ready=lambda: host(client(), "version").code == 0)

    def __call__(self, *words: str | Path, **keywords: Any) -> Result:
        """Runs a command of docker's."""
        return self.host(client(), *words, **keywords)

    def ask(self, *words: str | Path, **keywords: Any) -> str:
        """The same, which must work: what it printed."""
        return self.host.ask(client(), *words, **keywords)

    def words(self, *words: str | Path) -> list[str]:
        """The words of a command line."""
        return [client(), *map(str, words)]

    def name(self) -> str:
        """A name for a container; whatever has it is removed in the end."""
        self.made.append(f"box{next(_numbers)}")
        return self.made[-1]

    def line(self, verb: str, flags: Sequence[str | Path], sh: str = "") -> list[str]:
        """The words of `run` or `create`: flags, then `--` and a command, or `sh`, a script."""
        words = [str(word) for word in flags]
        if sh:
            words += ["--", "sh", "-c", sh]
        place = words.index("--") if "--" in words else len(words)
        line = [verb, "--runtime", self.runtime, *words[:place], image.NAME]
        return [*line, *words[place + 1 :]]

    def run(self, *flags: str | Path, sh: str = "", **keywords: Any) -> Result:
        """`run --rm`."""
        return self(*self.line("run", ("--rm", *flags), sh), **keywords)

    def sees(self, *flags: str | Path, sh: str = "", **keywords: Any) -> str:
        """The same, which must work: what it printed."""
        return self.ask(*self.line("run", ("--rm", *flags), sh), **keywords)

    def started(self, *flags: str | Path, sh: str = "") -> str:
        """`run --detach`, of `top` if nothing else is said: the container's name."""
        name = self.name()
        words = flags if "--" in flags or sh else (*flags, "--", "top")
        self.ask(*self.line("run", ("--detach", "--name", name, *words), sh))
        return name

    def exec(self, name: str, *words: str | Path) -> str:
        """`exec`, which must work: what it printed."""
        return self.ask("exec", name, *words)

    def inspect(self, name: str, form: str) -> str:
        """`inspect` with a template."""
        return self.ask("inspect", "--format", form, name)

    def until(self, name: str, form: str, wanted: str) -> None:
        """Until inspect says so."""
        assert eventually(lambda: self.inspect(name, form) == wanted), (
            f"{form} is {self.inspect(name, form)!r}, not {wanted!r}"
        )

    def wait(self, name: str) -> int:
        """Its exit code, when it has ended."""
        return int(self.ask("wait", name))

    def clean(self) -> None:
        """Removes what was made under a name."""
        if self.made:
            self("rm", "--force", "--volumes", *self.made)
        self.made.clear()


__all__ = ["PATH", "Docker", "client", "configuration"]
