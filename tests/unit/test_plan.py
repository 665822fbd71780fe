# SPDX-License-Identifier: Apache-2.0
"""The encoding: read back by a reader of its own, written from the picture in plan.h."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrun import _build, describe, ops, plan
from pyrun.errors import Error
from pyrun.types import Op


def decoded(data: bytes) -> tuple[dict[str, int], list[Op]]:
    """The header, and the operations as they were given to encode()."""
    names = ("magic", "version", "checksum", "count", "slots", "donated", "blob")
    header = dict(zip(names, struct.unpack_from("=6IQ", data), strict=True))
    assert header["magic"] == 0x6E757279
    assert len(data) == 32 + 64 * header["count"] + header["blob"]
    blob = data[32 + 64 * header["count"] :]
    by_code = {code: name for name, code in _build.CODES.items()}
    found: list[Op] = []
    for index in range(header["count"]):
        code, tolerate, *words = struct.unpack_from("=II7Q", data, 32 + 64 * index)
        kinds = [kind for _, kind in describe.signature(by_code[code])]
        assert not any(words[len(kinds) :])
        operands = tuple(operand(k, w, blob) for k, w in zip(kinds, words, strict=False))
        found.append((by_code[code], operands, tolerate))
    return header, found


def operand(kind: str, word: int, blob: bytes) -> Any:
    if kind in ("int", "Slot", "Out"):
        return word
    if kind == "str | None" and word == 0:
        return None
    if kind.startswith("str"):
        return text(word, blob)
    assert word % 8 == 0
    (count,) = struct.unpack_from("=Q", blob, word)
    if kind == "bytes":
        return blob[word + 8 : word + 8 + count]
    offsets = struct.unpack_from(f"={count + 1}Q", blob, word + 8)
    assert offsets[-1] == 0
    return [text(offset, blob) for offset in offsets[:-1]]


def text(offset: int, blob: bytes) -> str:
    assert offset >= 8
    return blob[offset : blob.index(b"\0", offset)].decode("utf-8", "surrogateescape")


SAMPLE = [
    ops.sethostname("box"),
    ops.fsconfig(5, "size", None),
    ops.fsconfig(5, "size", ""),
    ops.tolerate(17, ops.symlinkat("box", 3, "size")),
    ops.setgroups(b"\1\0\0\0"),
    ops.execve(["a", "", "a"], []),
    ops.run_hook(["/h", "h"], ["A=ü"], 1, 2, 3, 4, 5),
    ops.seccomp(0, bytes(range(64))),
    ops.capset(2**64 - 1, 0, 1),
]


def test_round_trip() -> None:
    header, found = decoded(plan.encode(SAMPLE, 7))
    assert found == SAMPLE
    assert header["version"] == 1
    assert header["checksum"] == _build.CHECKSUM
    assert (header["slots"], header["donated"]) == (1024, 7)


TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)
OPS = st.one_of(
    st.builds(ops.sethostname, TEXTS),
    st.builds(ops.fsconfig, st.integers(0, 1023), TEXTS, st.none() | TEXTS),
    st.builds(ops.setgroups, st.binary(max_size=40)),
    st.builds(ops.execve, st.lists(TEXTS, max_size=4), st.lists(TEXTS, max_size=4)),
    st.builds(ops.tolerate, st.integers(1, 133), st.builds(ops.setresuid, st.integers(0, 2**32))),
)


@given(st.lists(OPS, max_size=10))
def test_any_round_trip(sample: list[Op]) -> None:
    data = plan.encode(sample, 0)
    assert decoded(data)[1] == sample
    assert plan.encode(sample, 0) == data


def test_strings_are_there_once() -> None:
    one = plan.encode([ops.sethostname("a" * 1000)], 0)
    assert len(plan.encode([ops.sethostname("a" * 1000)] * 9, 0)) == len(one) + 8 * 64


def test_bytes_that_are_no_text_come_through() -> None:
    """A path of the host may be any bytes: os.fsdecode keeps them as surrogates."""
    name = b"/x\xff".decode("utf-8", "surrogateescape")
    assert b"/x\xff\0" in plan.encode([ops.open_host(name, 0, 5)], 0)


def test_negative_numbers_are_two_complement() -> None:
    assert decoded(plan.encode([ops.prctl(-1, 0)], 0))[1] == [ops.prctl(2**64 - 1, 0)]


@pytest.mark.parametrize("op", [ops.sethostname("a\0b"), ops.execve(["a\0"], [])])
def test_a_nul_is_refused(op: Op) -> None:
    with pytest.raises(Error, match="NUL"):
        plan.encode([op], 0)
