# SPDX-License-Identifier: Apache-2.0
"""Parses a well-formed command line without click, by the table that the build made from click's.

Whatever this module does not take (a mistake, --help, --version, "--") it leaves to
pyrun.cli.explain, which knows the same grammar and can say what is wrong.
"""

from __future__ import annotations

from pyrun._flags import BOOLS, DEFAULTS, GLOBALS, VERBS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.types import Options


def parse(words: list[str]) -> tuple[str, Options] | None:
    """The verb and its options, or None when the command line is not plainly right.

    `words` is argv without argv[0]. A flag after the verb wins over the same one before it.
    """
    before: Options = {}
    at = _read_flags(words, 0, (GLOBALS,), before)
    if not 0 <= at < len(words) or words[at] not in VERBS:
        return None
    verb = words[at]
    flags, defaults, names, required, variadic, stops = VERBS[verb]
    after: Options = {}
    positionals: list[str] = []
    at += 1
    while True:
        at = _read_flags(words, at, (flags, GLOBALS), after)
        if at < 0:
            return None
        if at == len(words):
            break
        if stops:
            positionals = words[at:]
            break
        positionals.append(words[at])
        at += 1
    if len(positionals) < required or (len(positionals) > len(names) and not variadic):
        return None
    if variadic:
        last = len(names) - 1
        after[names[last]] = tuple(positionals[last:])
        del positionals[last:]
    for name, value in zip(names, positionals):  # noqa: B905 - the optional ones may be missing
        after[name] = value
    # A verb's own flag hides the global one of that name: its default comes last.
    return verb, {**DEFAULTS, **before, **defaults, **after}


def _read_flags(
    words: list[str], at: int, tables: tuple[dict[str, Any], ...], into: Options
) -> int:
    """Reads flags from words[at] on; the index of the first word that is none, -1 when it can't."""
    end = len(words)
    while at < end:
        word = words[at]
        if word[:1] != "-" or word == "-":
            return at
        # As Go's flag package: one dash or two before any name, long or short.
        name, equals, value = word[2 if word[1] == "-" else 1 :].partition("=")
        flag = tables[0].get(name) or tables[-1].get(name)
        if flag is None:
            return -1
        option, kind = flag
        at += 1
        if kind == "flag":
            if equals and value not in BOOLS:
                return -1
            into[option] = BOOLS[value] if equals else True
            continue
        if not equals:
            if at == end:
                return -1
            value = words[at]
            at += 1
        converted = _convert(kind, value)
        if converted is None:
            return -1
        into[option] = (*into.get(option, ()), value) if kind == "texts" else converted
    return at


def _convert(kind: str | dict[str, str], value: str) -> str | int | None:
    if isinstance(kind, dict):
        return kind.get(value)
    if kind in ("text", "texts"):
        return value
    # A count. Narrower than int(), which takes "+1" and "1_0": click may have those.
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else None
