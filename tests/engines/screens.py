# SPDX-License-Identifier: Apache-2.0
"""A terminal with an engine's command line in its foreground."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any, cast

from life.runtimes import Container
from life.terminals import Screen

from .host import Host


class _OnHost:
    """What a Screen starts commands by."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.runtime = self

    def popen(self, *words: str, **keywords: Any) -> subprocess.Popen[bytes]:
        """On this host."""
        line = self.host.command(*words, TERM="xterm")
        control = keywords.pop("preexec_fn")

        def begin() -> None:
            self.host.cgroup.enter()
            control()

        return subprocess.Popen(line, preexec_fn=begin, **keywords)


@contextlib.contextmanager
def screen(host: Host, line: Sequence[str], rows: int = 30, columns: int = 100) -> Iterator[Screen]:
    """The command line of an engine, as a person has it."""
    found = Screen(cast(Container, _OnHost(host)), line, rows, columns)
    try:
        yield found
    finally:
        found.close()
