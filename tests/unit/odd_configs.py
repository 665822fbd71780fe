# SPDX-License-Identifier: Apache-2.0
"""Configs as nobody means to write them: real ones, changed by hypothesis in their values, their
text and their bytes.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from unit import configs, runtime_spec
from unit.compile.configs_by_schema import pruned

PLANS = Path(__file__).resolve().parents[1] / "plans"

BASES: list[Any] = [
    configs.minimal(),
    configs.isolated(),
    configs.FULL,
    *[pruned(copy.deepcopy(configs.FULL))] * 3,  # what of it is honoured
    *(json.loads(path.read_text()) for path in sorted(PLANS.glob("*.json"))),
    *(json.loads(e.text) for e in runtime_spec.examples() if e[:2] == ("config", "good")),
]

NUMBERS = [
    edge + d for edge in (0, 2**15, 2**16, 2**31, 2**32, 2**53, 2**63, 2**64) for d in (-1, 0)
]
STRINGS = [
    "", "\0", "a\0b", "\ud800", "a\udfff", "\n", "a\nb", "\x1b[2J", "\u202e", "é\u0301", "x" * 5000,
    "/", "..", "../..", "/../x", "//", "/proc/self/fd/3", "/dev/null", "pid", "c", "bind", "rbind",
    "SCMP_ACT_ALLOW", "SCMP_ACT_NOTIFY", "SCHED_RR", "RLIMIT_CORE", "CAP_KILL", "A=b", "=", "1.0.0",
    "1.3.0", "MPOL_BIND", "a.slice:b:c", "kernel.shmmax", "%s", "{0}", "~1", "~",
]  # fmt: skip
DEEP = [f"@{levels}@" for levels in (3, 480, 500, 501, 3000)]  # becomes so many lists in the text
SCALARS = st.one_of(
    st.sampled_from([None, True, False, {}, [], 1.0, 1.5, -0.0, 1e16, 1e300, 10**30]),
    st.sampled_from([*NUMBERS, *(-number for number in NUMBERS)]),
    st.sampled_from([*STRINGS, *DEEP]),
    st.text(max_size=4),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from([*STRINGS[:9], "path", "type"]), inner, max_size=2),
    ),
    max_leaves=4,
)


def places(value: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The path of every value but the outermost."""
    children = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for name, child in children:
        found.append((*at, name))
        if isinstance(child, dict | list):
            found += places(child, (*at, name))
    return found


@st.composite
def changed(draw: st.DrawFn) -> Any:
    """A config in which up to four values are others, gone, swapped or more."""
    config = copy.deepcopy(draw(st.sampled_from(BASES)))
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2, 2, 4]))):
        paths = places(config)
        if paths:
            _change(draw, config, draw(st.sampled_from(paths)), paths)
    return config


def _change(draw: st.DrawFn, config: Any, path: tuple[str | int, ...], paths: list[Any]) -> None:
    place = _at(config, path[:-1])
    name = path[-1]
    how = draw(st.sampled_from(["like", "like", "set", "drop", "add", "move", "twice"]))
    if how == "like" and isinstance(place[name], str):
        place[name] = draw(st.sampled_from(STRINGS))
    elif how == "like" and isinstance(place[name], bool):
        place[name] = not place[name]
    elif how == "like" and isinstance(place[name], int):
        place[name] = draw(st.sampled_from(NUMBERS))
    elif how in ("like", "set"):
        place[name] = draw(VALUES)
    elif how == "drop":
        del place[name]
    elif how == "move":  # a value of another field, of another type likely
        place[name] = copy.deepcopy(_at(config, draw(st.sampled_from(paths))))
    elif isinstance(place, list):
        place.append(copy.deepcopy(place[name]) if how == "twice" else draw(VALUES))
    else:
        place[draw(st.sampled_from([*STRINGS, "unheardOf"]))] = draw(VALUES)


def _at(value: Any, path: tuple[str | int, ...]) -> Any:
    for name in path:
        value = value[name]
    return value


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Such a config as bytes; of some, the text is damaged besides."""
    text = json.dumps(draw(changed()), ensure_ascii=draw(st.booleans()))
    for word in DEEP:
        levels = int(word.strip("@"))
        text = text.replace(f'"{word}"', "[" * levels + "]" * levels)
    data = text.encode(errors="surrogatepass")  # which is no UTF-8: the reader has to notice
    how = draw(st.sampled_from(["whole"] * 9 + ["cut", "bytes", "member"]))
    position = draw(st.integers(0, len(data)))
    if how == "cut":
        return data[:position]
    if how == "bytes":
        odd = st.sampled_from(
            [b"\xff", b"\xed\xa0\x80", b"\0", b"\n", b"NaN", b"1e999", b"}", b","]
        )
        return data[:position] + draw(odd) + data[position:]
    if how == "member":
        return _with_member(draw, data, position)
    return data


def _with_member(draw: st.DrawFn, data: bytes, position: int) -> bytes:
    """One member more in some object: of a name that is there already, if the object has it."""
    brace = data.find(b"{", position) if b"{" in data[position:] else data.find(b"{")
    names = ["ociVersion", "path", "type", "cwd", "uid", "names", "allow", "destination"]
    member = (
        json.dumps(draw(st.sampled_from(names))) + ":" + draw(st.sampled_from(["1", '"x"', "null"]))
    )
    return data[: brace + 1] + member.encode() + b"," + data[brace + 1 :]
