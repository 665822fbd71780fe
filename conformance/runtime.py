# SPDX-License-Identifier: Apache-2.0
"""Driving a runtime by the command line that all of them share: create, start, state, kill, delete
and run, with --root before the verb."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

PATIENCE = 15.0  # seconds that any command line may take


class Result(NamedTuple):
    """What a command line gave."""

    words: list[str]
    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """What it said on stderr, or its exit code, in one line."""
        lines = [line for line in self.err.strip().splitlines() if line.strip()]
        return lines[-1].strip()[:300] if lines else f"exit code {self.code}, and no word"


class TooLong(AssertionError):
    """A command line of the runtime did not end."""


def eventually(condition: Callable[[], Any], seconds: float = 5.0) -> bool:
    """Whether it becomes true within this time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


class Runtime:
    """A runtime binary with a state folder of its own. What is run is kept in `log`."""

    def __init__(self, path: str, root: Path, variables: Mapping[str, str]) -> None:
        self.path = path
        self.root = root
        self.variables = dict(variables)
        self.log: list[str] = []

    def __call__(self, *words: str | Path, out: IO[bytes] | None = None, **keywords: Any) -> Result:
        """Runs a command line; `out` instead of a result's text takes what the container prints.
        Other keywords are Popen's. Raises TooLong."""
        command = [self.path, "--root", str(self.root), *map(str, words)]
        started = time.monotonic()
        # Files, not pipes: a container that goes on holds them open, and nobody shall wait for it.
        with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as complained:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out or printed,
                stderr=complained,
                env={**os.environ, **self.variables, **keywords.pop("variables", {})},
                **keywords,
            )
            try:
                code = process.wait(PATIENCE)
            except BaseException as error:  # the time limit of the check, too
                process.kill()
                process.wait()
                if isinstance(error, subprocess.TimeoutExpired):
                    raise TooLong(f"{shlex.join(command)}: not over in {PATIENCE:.0f} s") from None
                raise
            result = Result(command, code, _content(printed), _content(complained))
        self._note(result, time.monotonic() - started)
        return result

    def _note(self, result: Result, seconds: float) -> None:
        line = f"{shlex.join(result.words)}  # {result.code}, {1000 * seconds:.0f} ms"
        self.log.append(line + (f": {result.complaint}" if result.code and result.err else ""))


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")
