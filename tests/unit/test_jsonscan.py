# SPDX-License-Identifier: Apache-2.0
"""JSON in and out: the same values as the json module, and what a runtime refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrun import jsonscan
from pyrun.errors import Error
from unit import configs

NAME = "config.json"


def failure(data: bytes) -> str:
    with pytest.raises(Error) as caught:
        jsonscan.loads(data, NAME)
    return str(caught.value)


def documents(largest: float) -> st.SearchStrategy[object]:
    """JSON values; those that loads refuses by design are left out and have tests of their own."""
    return st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(-largest, largest)
        | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
        lambda inner: st.lists(inner) | st.dictionaries(st.text("abcé\n/~"), inner),
        max_leaves=30,
    )


@given(documents(2**53 - 1))
def test_reads_what_the_json_module_reads(value: object) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        assert jsonscan.loads(text.encode(), NAME) == json.loads(text)


@given(documents(sys.float_info.max))
def test_writes_what_the_json_module_writes(value: object) -> None:
    assert jsonscan.dumps(value) == json.dumps(value, separators=(",", ":"))
    assert jsonscan.dumps(value, "  ") == json.dumps(value, indent=2)
    assert jsonscan.dumps(value, "\t") == json.dumps(value, indent="\t")


def test_the_full_config_survives_a_round_trip() -> None:
    for indent in ("", "  "):
        data = jsonscan.dumps(configs.FULL, indent).encode()
        assert jsonscan.loads(data, NAME, drop_null=True) == configs.FULL


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")]])
def test_a_number_without_a_json_form_is_not_written(value: object) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        jsonscan.dumps(value)


def test_a_value_without_a_json_form_is_not_written() -> None:
    with pytest.raises(TypeError, match="bytes has no form in JSON"):
        jsonscan.dumps({"a": [b"x"]})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not valid JSON: a value is expected (line 1, column 1)"),
        (b"\n\n  ", "not valid JSON: a value is expected (line 3, column 3)"),
        (b"{]", "not valid JSON: expecting property name enclosed in double quotes (line 1, "),
        (b'{\n "a": tru}', "not valid JSON: a value is expected (line 2, column 7)"),
        (b'{"a": 1}\n}', "not valid JSON: text follows the end of the value (line 2, column 1)"),
        (b'{"a": "\n"}', "not valid JSON: invalid control character at (line 1, column 8)"),
        (b'{"a": "\0"}', "not valid JSON: invalid control character at (line 1, column 8)"),
        (b"{'a': 1}", "not valid JSON: expecting property name"),
        (b'{"a": 1 // b\n}', "not valid JSON: expecting ',' delimiter (line 1, column 9)"),
        (b"\xef\xbb\xbf{}", "begins with a byte order mark: save it as UTF-8 without one"),
        (b"\xff\xfe{\0}\0", "not UTF-8 (line 1, byte 0)"),
        (b'{"a":\n"\xe9"}', "not UTF-8 (line 2, byte 7)"),
        (b'{"a": "\xed\xa0\x80"}', "not UTF-8 (line 1, byte 7)"),
        (b'{"a": NaN}', "/a: NaN is not JSON"),
        (b'{"a": [1, -Infinity]}', "/a/1: -Infinity is not JSON"),
        (b'{"a": 1e400}', '/a: "1e400" is too large'),
        (b'{"a": 9007199254740993.0}', "/a: 9007199254740993.0 must be written as an integer"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "a number has too many digits"),
        (b'{"x": {"a": 1, "b": 2, "a": 3}}', '/x: "a" is given twice'),
        (b'[{}, {"a": {}, "a": {}}]', '/1: "a" is given twice'),
        # the rootfs of an image must not be able to end a path early
        (b'{"root": {"path": "/a\\u0000/b"}}', "/root/path: a string holds a NUL character"),
        (b'{"a": {"b/c\\u0000": 1}}', "/a: a string holds a NUL character"),
        (b'{"a": "\\ud800"}', "/a: a string holds half a surrogate pair"),
        (b'{"a": ["\\uDC00x"]}', "/a/0: a string holds half a surrogate pair"),
    ],
)
def test_refused(data: bytes, message: str) -> None:
    assert failure(data).startswith(f"{NAME}: {message}")


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b' \r\n\t{"a": 1}\n ', {"a": 1}),
        (b'"\\\\u0000"', "\\u0000"),  # a backslash, and not an escape
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        ('"\U0001f600é"'.encode(), "\U0001f600é"),
        (b"[1.0, 1e3, -0.0, 1.5]", [1, 1000, 0, 1.5]),
        (b"[18446744073709551615, -9223372036854775808]", [2**64 - 1, -(2**63)]),
        (b'{"a": null, "b": [null]}', {"a": None, "b": [None]}),
    ],
)
def test_accepted(data: bytes, value: object) -> None:
    assert jsonscan.loads(data, NAME) == value


def test_an_integer_in_another_notation_becomes_one() -> None:
    assert type(jsonscan.loads(b"1e3", NAME)) is int


def test_null_members_count_as_absent_on_request() -> None:
    data = b'{"a": null, "b": {"c": null, "d": [null, {"e": null}]}}'
    assert jsonscan.loads(data, NAME, drop_null=True) == {"b": {"d": [None, {}]}}


@pytest.mark.parametrize(
    ("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")]
)
@pytest.mark.parametrize("count", [300, 501, 1500, 200_000])
def test_a_nesting_bomb_is_an_error(opening: bytes, closing: bytes, count: int) -> None:
    levels = count * len(closing)
    data = opening * count + b"1" + closing * count
    if levels <= jsonscan.DEPTH_LIMIT:
        jsonscan.loads(data, NAME)
    else:
        assert failure(data) == f"{NAME}: nested deeper than 500 levels"


def test_an_unclosed_nesting_bomb_is_an_error() -> None:
    assert failure(b"[" * 100_000).startswith(f"{NAME}: n")


def test_many_containers_side_by_side_are_no_bomb() -> None:
    assert jsonscan.loads(b"[" + b"{}," * 2000 + b"[]]", NAME) == [{}] * 2000 + [[]]


def test_size_limit() -> None:
    data = b'"' + b"a" * (jsonscan.SIZE_LIMIT - 2) + b'"'
    assert len(str(jsonscan.loads(data, NAME))) == jsonscan.SIZE_LIMIT - 2
    assert "more than the limit of 16777216" in failure(data + b" ")


def test_no_json_module_is_needed_for_a_valid_document() -> None:
    """What it would import costs more than the parsing: see the docstring of pyrun.jsonscan."""
    program = (
        "import sys; sys.path[:0] = sys.argv[1:]; import pyrun; pyrun.__path__ += sys.argv[1:];"
        "from pyrun import jsonscan; value = jsonscan.loads(b'{\"a\": [1.0]}', 'x');"
        "jsonscan.dumps(value); jsonscan.dumps(value, '  ');"
        "print(sorted({'json', 're', 'enum', 'typing', 'functools'} & set(sys.modules)))"
    )
    import pyrun

    folders = [str(Path(pyrun.__path__[0]).parent), *pyrun.__path__[1:]]
    answer = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", program, *folders],
        check=True,
        capture_output=True,
        text=True,
    )
    assert answer.stdout == "[]\n"
