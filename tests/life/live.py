# SPDX-License-Identifier: Apache-2.0
"""A container that does what it is told while it runs, and the verb `mounts` on it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from life.mountinfo import Mount, mounts
from life.runtimes import Container, Result, eventually


class Inside:
    """A container that does what it is told while it runs."""

    def __init__(self, container: Container, *flags: str) -> None:
        container.bundle.say("obey")
        container.bundle.save()
        self.container = container
        words = ("run", *flags, "--bundle", container.bundle.path, container.id)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = container.runtime.popen(*words, **pipes)
        assert eventually(lambda: (container.runtime.root / container.id / "state.json").exists())

    def ask(self, verb: str) -> str:
        """The answer to a verb of the payload."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{verb}\n".encode())
        self.process.stdin.flush()
        answer = b""
        while not answer.endswith(b"\036\n"):
            line = self.process.stdout.readline()
            assert line, "it has ended"
            answer += line
        return answer[:-2].decode().rstrip("\n")

    def mounts(self) -> dict[str, Mount]:
        return mounts(self.ask("mounts"))

    def end(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(10) == 0


def verb(container: Container, action: str, *entries: Any) -> Result:
    text = json.dumps(list(entries))
    return container.runtime("mounts", action, container.id, "-", stdin=text)


def add(container: Container, *entries: Any) -> None:
    assert verb(container, "add", *entries) == (0, "", "")


def remove(container: Container, *entries: Any) -> None:
    assert verb(container, "remove", *entries) == (0, "", "")


def record(container: Container) -> list[str]:
    """The destinations on record."""
    path = container.runtime.root / container.id / "mounts.json"
    return [entry["destination"] for entry in json.loads(path.read_text())["mounts"]]


def init(container: Container) -> int:
    text = (container.runtime.root / container.id / "state.json").read_text()
    return int(json.loads(text)["init_process_pid"])


def view(container: Container) -> str:
    return Path(f"/proc/{init(container)}/mountinfo").read_text()
