# SPDX-License-Identifier: Apache-2.0
"""Containers that count, and what is needed to save them and to look at their numbers."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import time
from pathlib import Path

from life.runtimes import Container, Result, eventually

PATIENCE = 100.0 if "PYRUN_SLOW" in os.environ else 20.0  # seconds for a number, or a command


class Pipe:
    """The standard output of a container, as an engine holds it: a line each number."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        self.text = b""

    def lines(self, count: int) -> list[str]:
        """So many lines more than were there."""
        wanted = self.text.count(b"\n") + count
        while self.text.count(b"\n") < wanted:
            assert select.select([self.read_end], [], [], PATIENCE)[0], (
                f"no more after {self.text!r}"
            )
            data = os.read(self.read_end, 4096)
            assert data, f"the end after {self.text!r}"
            self.text += data
        return self.text.decode().splitlines()

    def until(self, word: str) -> None:
        """Until this is there."""
        while word.encode() not in self.text:
            assert select.select([self.read_end], [], [], PATIENCE)[0], (
                f"no more after {self.text!r}"
            )
            data = os.read(self.read_end, 4096)
            assert data, f"the end after {self.text!r}"
            self.text += data

    def rest(self) -> list[str]:
        """All lines there are, to the end: nobody has the other end open any more."""
        self.close_write_end()
        while True:
            assert select.select([self.read_end], [], [], PATIENCE)[0], "somebody holds it open"
            data = os.read(self.read_end, 4096)
            if not data:
                break
            self.text += data
        return self.text.decode().splitlines()

    def now(self) -> str:
        """What is there, without waiting."""
        os.set_blocking(self.read_end, False)
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.read_end, 4096):
                self.text += data
        return self.text.decode("utf-8", "replace")

    def close_write_end(self) -> None:
        """It is the container's alone then."""
        if self.write_end >= 0:
            os.close(self.write_end)
        self.write_end = -1

    def close(self) -> None:
        """Both ends."""
        self.close_write_end()
        os.close(self.read_end)


class Saved:
    """A container's verbs for checkpoints, with its standard output in a pipe."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.images = container.bundle.path / "images"
        self.pipes: list[Pipe] = []

    @property
    def pipe(self) -> Pipe:
        """The latest."""
        return self.pipes[-1]

    def start(self, *verbs: str, flags: tuple[str | Path, ...] = ()) -> Pipe:
        """Run the payload in the background."""
        container = self.container
        if verbs:
            container.bundle.say(*verbs)
        container.bundle.save()
        result = self.call("run", "--detach", "--pid-file", container.pid_file, *flags)
        assert result.code == 0, result
        return self.pipe

    def checkpoint(self, *flags: str | Path, timeout: float = PATIENCE) -> Result:
        """`checkpoint`, into the folder `images`."""
        words = ("--image-path", self.images, *flags, self.container.id)
        return self.container.runtime("checkpoint", *words, timeout=timeout)

    def saved(self, *flags: str | Path) -> Saved:
        """The same, which must work."""
        result = self.checkpoint(*flags)
        assert result.code == 0, (result, self.log("dump.log"))
        assert result.out == ""
        assert result.err == "" or self.container.runtime.name == "runc"  # which warns of retries
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass  # as an engine does: a zombie would keep its pid
        return self

    def restore(self, *flags: str | Path) -> Result:
        """`restore --detach`, with a new pipe."""
        container = self.container
        flags = ("--detach", "--pid-file", container.pid_file, "--image-path", self.images, *flags)
        return self.call("restore", *flags)

    def restored(self, *flags: str | Path) -> Pipe:
        """The same, which must work."""
        result = self.restore(*flags)
        assert result.code == 0, (result, self.log("restore.log"))
        assert result.err == ""
        return self.pipe

    def call(self, verb: str, *flags: str | Path) -> Result:
        """A command line whose standard output and errors, and the container's, are pipes of their
        own."""
        container = self.container
        output, errors = Pipe(), Pipe()
        self.pipes += [errors, output]
        words = [verb, "--bundle", container.bundle.path, *flags, container.id]
        process = container.runtime.popen(
            *words, stdin=subprocess.DEVNULL, stdout=output.write_end, stderr=errors.write_end
        )
        output.close_write_end()
        errors.close_write_end()
        code = process.wait(PATIENCE)
        return Result(code, "", errors.now())

    def log(self, name: str) -> list[str]:
        """The errors in a log of CRIU's."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self.images / name).read_text("utf-8", "replace").splitlines()
            return [line for line in lines if "Error" in line]
        return []

    def new_pipe(self) -> Pipe:
        """For a command line of the test's own."""
        self.pipes.append(Pipe())
        return self.pipe

    def wait_until_running(self) -> None:
        """As `state` sees it."""
        name = self.container.id
        assert eventually(lambda: self.container.runtime("state", name).code == 0)
        assert eventually(lambda: self.container.status() == "running")

    def close(self) -> None:
        """What the test holds."""
        for pipe in self.pipes:
            pipe.close()


def numbers(*outputs: list[str]) -> list[int]:
    """The numbers of one container, over all of its lives."""
    return [int(line) for lines in outputs for line in lines]


def goes_on(*outputs: list[str]) -> bool:
    """Whether it has counted on, without a number twice or left out."""
    found = numbers(*outputs)
    return bool(outputs[-1]) and found == list(range(1, len(found) + 1))


def wait_for(path: Path, seconds: float = PATIENCE) -> None:
    """Until there is such a file."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.01)
