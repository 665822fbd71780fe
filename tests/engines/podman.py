# SPDX-License-Identifier: Apache-2.0
"""podman on a host of its own, with one runtime."""

from __future__ import annotations

import itertools
import json
import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import image
from .host import Failed, Host, Result, eventually, runtime_path

_numbers = itertools.count(1)

# What differs from a machine that was booted: there is no systemd, no journal, and maybe not the
# right to raise a limit, which podman does by default.
CONFIGURATION = """
[containers]
log_driver = "k8s-file"
default_ulimits = ["nofile={files}:{files}", "nproc=4096:4096"]
[engine]
cgroup_manager = "{driver}"
events_logger = "file"
runtime_supports_json = ["crun", "runc", "pyrun"]
runtime_supports_nocgroup = ["crun", "pyrun"]
[network]
network_backend = "netavark"
"""


def configuration(driver: str) -> str:
    """containers.conf; who makes cgroups."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return CONFIGURATION.format(files=min(hard, 16384) if hard > 0 else 16384, driver=driver)


class Podman:
    """Commands of podman's with --runtime, and containers that go when the test is over."""

    def __init__(self, host: Host, runtime: str) -> None:
        self.host = host
        self.runtime = runtime
        self.made: list[str] = []

    @staticmethod
    def prepare(host: Host) -> None:
        """Configuration and image of a new host."""
        host.write("/etc/containers/containers.conf", configuration(host.driver))
        archive = image.write(host.folder / "box.tar")
        host.ask("podman", "load", "--quiet", "--input", archive)

    def words(self, *words: str | Path) -> list[str]:
        """The words of a command line."""
        return ["podman", "--runtime", runtime_path(self.runtime), *map(str, words)]

    def __call__(self, *words: str | Path, **keywords: Any) -> Result:
        """Runs a command of podman's."""
        return self.host(*self.words(*words), **keywords)

    def ask(self, *words: str | Path, **keywords: Any) -> str:
        """The same, which must work: what it printed."""
        return self.host.ask(*self.words(*words), **keywords)

    def name(self) -> str:
        """A name for a container; whatever has it is removed in the end."""
        self.made.append(f"box{next(_numbers)}")
        return self.made[-1]

    def run(
        self, *flags: str | Path, sh: str = "", of: str = image.NAME, **keywords: Any
    ) -> Result:
        """`run --rm`: flags, then `--` and a command, or `sh`, a script."""
        return self("run", "--rm", *_in_place(flags, sh, of), **keywords)

    def sees(self, *flags: str | Path, sh: str = "", of: str = image.NAME, **keywords: Any) -> str:
        """The same, which must work: what it printed."""
        return self.ask("run", "--rm", *_in_place(flags, sh, of), **keywords)

    def started(self, *flags: str | Path, sh: str = "", of: str = image.NAME) -> str:
        """`run --detach`, of `top` if nothing else is said: the container's name."""
        name = self.name()
        words = flags if "--" in flags or sh else (*flags, "--", "top")
        self.ask("run", "--detach", "--name", name, *_in_place(words, sh, of))
        return name

    def exec(self, name: str, *words: str | Path) -> str:
        """`exec`, which must work: what it printed."""
        return self.ask("exec", name, *words)

    def inspect(self, name: str, form: str = "") -> Any:
        """`inspect`: a template's words, or everything."""
        if form:
            return self.ask("inspect", "--format", form, name)
        return json.loads(self.ask("inspect", name))[0]

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
            self("rm", "--force", "--time=0", "--ignore", *self.made)
        self.made.clear()


def _in_place(flags: Sequence[str | Path], sh: str, of: str) -> list[str]:
    """The flags and the command with the image's name between them."""
    words = [str(word) for word in flags]
    if sh:
        words += ["--", "sh", "-c", sh]
    place = words.index("--") if "--" in words else len(words)
    return [*words[:place], of, *words[place + 1 :]]


__all__ = ["Failed", "Podman", "configuration"]
