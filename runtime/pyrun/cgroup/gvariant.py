# SPDX-License-Identifier: Apache-2.0
"""The text format of GVariant (https://docs.gtk.org/glib/gvariant-text-format.html), as far as
properties of a scope need it: strings, booleans, numbers, and arrays of them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    Value: TypeAlias = tuple[str, Any]  # D-Bus's signature, and a value for it

# Type keywords, their letters, and the numbers that fit.
INTEGERS = {
    "byte": ("y", 0, (1 << 8) - 1),
    "int16": ("n", -(1 << 15), (1 << 15) - 1),
    "uint16": ("q", 0, (1 << 16) - 1),
    "int32": ("i", -(1 << 31), (1 << 31) - 1),
    "uint32": ("u", 0, (1 << 32) - 1),
    "int64": ("x", -(1 << 63), (1 << 63) - 1),
    "uint64": ("t", 0, (1 << 64) - 1),
}
LIMITS = {letter: (low, high) for letter, low, high in INTEGERS.values()}
KEYWORDS = {name: letter for name, (letter, _, _) in INTEGERS.items()}
KEYWORDS |= {"double": "d", "boolean": "b", "string": "s", "objectpath": "o"}
ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
END = " ,]\t\n"  # what ends a word


def parse(text: str) -> Value:
    """The value that `text` stands for. Raises ValueError, in words."""
    value, at = _value(text, 0, "")
    at = _skip(text, at)
    if at < len(text):
        raise ValueError(f"{text[at:]!r} is left over")
    return value


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\n":
        at += 1
    return at


def _value(text: str, at: int, wanted: str) -> tuple[Value, int]:
    """The value at this place, of the type `wanted` unless that is "", and where it ends."""
    at = _skip(text, at)
    if at == len(text):
        raise ValueError("a value is missing")
    if text[at] in "'\"":
        found, at = _string(text, at)
        if wanted not in ("", "s", "o"):
            raise ValueError(f"{found!r} is not of the type {wanted!r}")
        return (wanted or "s", found), at
    if text[at] == "[":
        return _array(text, at, wanted)
    end = at
    while end < len(text) and text[end] not in END:
        end += 1
    word = text[at:end]
    if word in KEYWORDS or word.startswith("@"):
        return _value(text, end, KEYWORDS.get(word) or word[1:])
    return _plain(word, wanted), end


def _string(text: str, at: int) -> tuple[str, int]:
    quote, found = text[at], ""
    at += 1
    while at < len(text) and text[at] != quote:
        char = text[at]
        if char == "\\" and at + 1 < len(text):
            at += 1
            char = text[at]
            if char in "uU":
                raise ValueError("write the character itself, not \\u")
            char = ESCAPES.get(char, char)
        if char == "\0":
            raise ValueError("a string can't hold a NUL")
        found += char
        at += 1
    if at == len(text):
        raise ValueError(f"a string without its closing {quote}")
    return found, at + 1


def _array(text: str, at: int, wanted: str) -> tuple[Value, int]:
    if wanted and not wanted.startswith("a"):
        raise ValueError(f"an array is not of the type {wanted!r}")
    inner = wanted[1:]
    items: list[Any] = []
    at = _skip(text, at + 1)
    while text[at : at + 1] != "]":
        if items:
            if text[at : at + 1] != ",":
                raise ValueError("an array needs , between its values and ] at its end")
            at += 1
        (inner, item), at = _value(text, at, inner)
        items.append(item)
        at = _skip(text, at)
    if not inner:
        raise ValueError("an empty array needs its type: @as []")
    return (f"a{inner}", items), at + 1


def _plain(word: str, wanted: str) -> Value:
    """A boolean or a number, which is an int32 if nothing says otherwise."""
    if word in ("true", "false") and wanted in ("", "b"):
        return "b", word == "true"
    try:
        if wanted == "d" or (not wanted and "." in word):
            return "d", float(word)
        number = int(word, 0)
    except ValueError:
        raise ValueError(f"{word!r} is no string, boolean, number or array of them") from None
    if wanted not in ("", *LIMITS):
        raise ValueError(f"{word} is not of the type {wanted!r}")
    low, high = LIMITS[wanted or "i"]
    if not low <= number <= high:
        raise ValueError(f"{number} does not fit: write int64 or uint64 before it")
    return wanted or "i", number
