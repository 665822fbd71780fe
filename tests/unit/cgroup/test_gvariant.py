# SPDX-License-Identifier: Apache-2.0
"""GVariant's text format, as its documentation has it."""

from __future__ import annotations

from typing import Any

import pytest

from pyrun.cgroup.gvariant import parse


@pytest.mark.parametrize(
    ("text", "signature", "value"),
    [
        ("'x'", "s", "x"),
        ('"x y"', "s", "x y"),
        (r"'it\'s\n\\'", "s", "it's\n\\"),
        ("true", "b", True),
        ("boolean false", "b", False),
        ("5", "i", 5),
        (" -5 ", "i", -5),
        ("0x10", "i", 16),
        ("uint64 18446744073709551615", "t", 2**64 - 1),
        ("@t 5", "t", 5),
        ("byte 255", "y", 255),
        ("int64 -9", "x", -9),
        ("1.5", "d", 1.5),
        ("double 2", "d", 2.0),
        ("objectpath '/a'", "o", "/a"),
        ("['a', 'b']", "as", ["a", "b"]),
        ("['a']", "as", ["a"]),
        ("@as []", "as", []),
        ("[uint32 1, 2]", "au", [1, 2]),
        ("@at [1,2]", "at", [1, 2]),
        ("[['a'],['b','c']]", "aas", [["a"], ["b", "c"]]),
    ],
)
def test_values(text: str, signature: str, value: Any) -> None:
    assert parse(text) == (signature, value)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "soon", "'open", "'a' 'b'", "[", "['a'", "['a' 'b']", "['a',]", "['a', 1]", "[]",
        "2147483648", "byte 256", "uint32 -1", "uint32 'x'", "boolean 1", "string 5", "@s [1]",
        "('a', 'b')", "{'a': 1}", "1e", r"'\u0041'", "'\0'", "@", "5 5", "nan",
    ],
)  # fmt: skip
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)
