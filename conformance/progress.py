# SPDX-License-Identifier: Apache-2.0
"""The bar that a person watches while checks run. Nothing where stderr is no terminal."""

from __future__ import annotations

import os
import sys
from collections import Counter
from types import TracebackType
from typing import Any, Self

BAR = 24


class Progress:
    """Counts checks that have ended."""

    def __init__(self, labels: list[str]) -> None:
        self.labels = labels
        self.checks = 0
        self.ended = 0
        self.failed: Counter[str] = Counter()
        self.shown = sys.stderr.isatty()

    def __enter__(self) -> Self:
        self._draw("starting")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def total(self, checks: int) -> None:
        """How many there are."""
        self.checks = checks

    def __call__(self, found: dict[str, Any]) -> None:
        """One more, as engine.run() tells of it."""
        self.ended += 1
        label = self.labels[found["target"]]
        self.failed[label] += found["verdict"][0] == "fail"
        self._draw(f"{label} {found['ids'][0]}")

    def _draw(self, last: str) -> None:
        if not self.shown:
            return
        full = self.ended * BAR // max(self.checks, 1)
        failed = ", ".join(f"{label} {n} failed" for label, n in self.failed.items() if n)
        line = f"[{'=' * full}{' ' * (BAR - full)}] {self.ended}/{self.checks} "
        line += f"{failed}{'; ' if failed else ''}{last}"
        columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
        print(f"\r\033[K{line[: columns - 1]}", end="", file=sys.stderr, flush=True)
