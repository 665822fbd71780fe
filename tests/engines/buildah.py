# SPDX-License-Identifier: Apache-2.0
"""buildah on a host of its own, with one runtime."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

from . import image
from .host import Host, Result, runtime_path
from .podman import configuration

_numbers = itertools.count(1)


class Buildah:
    """Commands of buildah's with --runtime, and what they make, which goes in the end."""

    def __init__(self, host: Host, runtime: str) -> None:
        self.host = host
        self.runtime = runtime
        self.containers: list[str] = []
        self.images: list[str] = []

    @staticmethod
    def prepare(host: Host) -> None:
        """Configuration and image of a new host."""
        host.write("/etc/containers/containers.conf", configuration(host.driver))
        archive = image.write(host.folder / "box.tar")
        host.ask("buildah", "pull", "--quiet", f"docker-archive:{archive}")

    def ask(self, *words: str | Path, **keywords: Any) -> str:
        """A command that must work: what it printed."""
        return self.host.ask("buildah", *words, **keywords)

    def build(self, text: str, *flags: str) -> str:
        """`build` of this Containerfile, with the static busybox beside it; the image's name."""
        result = self.try_to_build(text, *flags)
        assert result.code == 0, result
        return self.images[-1]

    def try_to_build(self, text: str, *flags: str) -> Result:
        """The same, which may fail."""
        self.images.append(f"localhost/built{next(_numbers)}")
        folder = self.host.folder / self.images[-1].rpartition("/")[2]
        folder.mkdir()
        shutil.copy(image.busybox(), folder / "busybox")
        (folder / "Containerfile").write_text(text)
        runtime = ["--runtime", runtime_path(self.runtime)]
        return self.host("buildah", "build", *runtime, *flags, "-t", self.images[-1], folder)

    def begun(self, of: str = image.NAME) -> str:
        """`from`: the name of a working container."""
        self.containers.append(self.ask("from", "--pull-never", of))
        return self.containers[-1]

    def run(self, container: str, *words: str, flags: tuple[str, ...] = ()) -> Result:
        """`run` in a working container."""
        runtime = ["--runtime", runtime_path(self.runtime)]
        return self.host("buildah", "run", *runtime, *flags, container, "--", *words)

    def line(self, container: str, *words: str) -> list[str]:
        """The words of `run` at a terminal."""
        runtime = ["--runtime", runtime_path(self.runtime)]
        return ["buildah", "run", "--tty", *runtime, container, "--", *words]

    def clean(self) -> None:
        """Removes what was made."""
        if self.containers:
            self.host("buildah", "rm", *self.containers)
        if self.images:
            self.host("buildah", "rmi", "--force", *self.images)
        self.containers.clear()
        self.images.clear()
