# SPDX-License-Identifier: Apache-2.0
"""Programs that name an interpreter: what the fuzzer of that begins with."""

from __future__ import annotations

import struct
from pathlib import Path


def seeds(corpus: Path) -> None:
    """A script, and an ELF file of each width."""
    corpus.mkdir(parents=True, exist_ok=True)
    (corpus / "script").write_bytes(b"#! /bin/sh -e\n")
    for kind in (1, 2):
        name = b"/lib/ld.so\0"
        wide = kind == 2
        header = struct.pack("<HHI", 2, 62, 1) + (
            struct.pack("<QQQIHHHHHH", 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
            if wide
            else struct.pack("<IIIIHHHHHH", 0, 64, 0, 0, 52, 32, 1, 0, 0, 0)
        )
        segment = (
            struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(name), len(name), 1)
            if wide
            else struct.pack("<8I", 3, 120, 0, 0, len(name), len(name), 4, 1)
        )
        data = (b"\x7fELF" + bytes([kind, 1, 1]) + bytes(9) + header).ljust(64, b"\0") + segment
        (corpus / f"elf{kind}").write_bytes(data.ljust(120, b"\0") + name)
