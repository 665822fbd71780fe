# SPDX-License-Identifier: Apache-2.0
"""Containers that are made by a template, or by Python."""

from __future__ import annotations

import binascii
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from life.runtimes import Container, Result

BOOT, PACK = 60, 112  # where in a file their fields begin: runtime/launcher/template.h


class Maker:
    """Makes containers of one bundle, and tells which programs that took."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.trace = container.bundle.path / "trace"
        self.templates = container.runtime.root / ".cache/create"

    def make(
        self, verb: str = "create", prefix_more: Sequence[str] = (), **how: Any
    ) -> tuple[Result, bool]:
        """The verb's result, and whether Python was started for it."""
        # Not -f: its init would keep strace waiting.
        prefix = [*prefix_more, "strace", "-qq", "-e", "trace=execve", "-o", str(self.trace)]
        result = self.container.create(verb=verb, prefix=prefix, **how)
        lines = [line for line in self.trace.read_text().splitlines() if "execve(" in line]
        return result, any("/interpreter" in line or "/python3" in line for line in lines)

    def prime(self, verb: str = "create", **how: Any) -> None:
        """Leave a template of this shape."""
        time.sleep(0.3)  # template.PAUSE
        result = self.container.create(verb=verb, **how)
        assert result == (0, "", "")
        self.delete()
        assert list(self.templates.iterdir()), "there is no template"

    def damage(self, at: int, *, noticed: bool = True) -> None:
        """Another byte there in each template; another CRC as well, if not `noticed` by that."""
        for path in self.templates.iterdir():
            damage(path, at, noticed=noticed)

    def delete(self) -> None:
        assert self.container.delete("--force") == (0, "", "")


def damage(path: Path, at: int, *, noticed: bool = True) -> None:
    """Another byte there; another CRC as well, if not `noticed` by that."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    if not noticed:
        data[12:16] = binascii.crc32(data[16:]).to_bytes(4, sys.byteorder)
    path.write_bytes(data)
