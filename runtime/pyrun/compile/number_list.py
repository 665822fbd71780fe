# SPDX-License-Identifier: Apache-2.0
"""Lists of CPUs and memory nodes such as `0-3,7`: cpuset(7), List format."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    ByteOrder: TypeAlias = Literal["little", "big"]

WORD = 64  # bits; the kernel reads whole words
CPUS = 8192  # NR_CPUS of the largest kernel
NODES = 1024  # MAX_NUMNODES


def numbers(text: str, limit: int) -> list[int]:
    """The numbers of a list, sorted, each below `limit`. Blanks and empty parts mean nothing.

    Raises ValueError with a sentence for anything else.
    """
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not part.strip():
            continue
        low = _number(first, text, limit)
        high = _number(last, text, limit) if dash else low
        if high < low:
            raise ValueError(f"must not go down, as {part.strip()} does")
        found.update(range(low, high + 1))
    return sorted(found)


def mask(found: list[int], byteorder: ByteOrder) -> bytes:
    """A bit each of a sorted list, in words of the machine's order; nothing for no numbers."""
    words = [0] * (found[-1] // WORD + 1) if found else []
    for number in found:
        words[number // WORD] |= 1 << number % WORD
    return b"".join(word.to_bytes(WORD // 8, byteorder) for word in words)


def _number(word: str, text: str, limit: int) -> int:
    digits = word.strip()
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"must be a list such as 0-3,7, not {text!r}")
    if len(digits) > 9 or int(digits) >= limit:
        raise ValueError(f"must have numbers below {limit}, not {digits[:20]}")
    return int(digits)
