# SPDX-License-Identifier: Apache-2.0
"""The plan as bytes: what the executor reads. The format is drawn in runtime/executor/plan.h."""

from __future__ import annotations

import sys
from _struct import Struct

from pyrun import _build
from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.types import Op, Operand

MAGIC = 0x6E757279
VERSION = 1
OPERANDS = 7
SLOTS = 1024

_HEADER = Struct("=IIIIIIQ")
_RECORD = Struct("=II7Q")
HEADER_SIZE = _HEADER.size
RECORD_SIZE = _RECORD.size
_NUMBER = 0xFFFF_FFFF_FFFF_FFFF
_PADDING = (0,) * OPERANDS


class Blob:
    """Strings (each once), and counted objects in the order of the operations."""

    __slots__ = ("data", "strings")

    def __init__(self) -> None:
        self.data = bytearray(8)
        self.strings: dict[str, int] = {}

    def string(self, text: str) -> int:
        offset = self.strings.get(text)
        if offset is None:
            raw = text.encode("utf-8", "surrogateescape")
            if b"\0" in raw:
                raise Error(f"a string holds a NUL character: {text!r}")
            offset = self.strings[text] = len(self.data)
            self.data += raw
            self.data.append(0)
        return offset

    def _align(self) -> int:
        self.data += bytes(-len(self.data) % 8)
        return len(self.data)

    def block(self, raw: bytes) -> int:
        offset = self._align()
        self.data += len(raw).to_bytes(8, sys.byteorder) + raw
        return offset

    def strings_of(self, texts: Sequence[str]) -> int:
        offsets = [self.string(text) for text in texts]
        offset = self._align()
        self.data += Struct(f"={len(offsets) + 2}Q").pack(len(offsets), *offsets, 0)
        return offset

    def place(self, operand: Operand) -> int:
        if isinstance(operand, int):
            return operand & _NUMBER
        if isinstance(operand, str):
            return self.string(operand)
        if operand is None:
            return 0
        if isinstance(operand, bytes):
            return self.block(operand)
        return self.strings_of(operand)


def encode(ops: Sequence[Op], donated: int, blob: Blob | None = None) -> bytes:
    """The plan's bytes for these operations; the runtime fills the first `donated` slots."""
    blob = blob or Blob()
    codes = _build.CODES
    records = bytearray()
    for name, operands, tolerated in ops:
        words = [
            operand if type(operand) is int and operand >= 0 else blob.place(operand)
            for operand in operands
        ]
        records += _RECORD.pack(codes[name], tolerated, *words, *_PADDING[len(words) :])
    header = _HEADER.pack(MAGIC, VERSION, _build.CHECKSUM, len(ops), SLOTS, donated, len(blob.data))
    return header + bytes(records) + bytes(blob.data)
