# SPDX-License-Identifier: Apache-2.0
"""JSON in and out with the C half of the json module alone, and the limits that a runtime needs.

`import json` brings in re and enum and costs more than parsing a config. Its C scanner and encoder
do the work and import nothing; only when the text is malformed do they import json.decoder
themselves, for the exception that knows the line and column.

What a parser may let pass and a runtime may not: a name given twice (which one counts?), NaN,
numbers that lose digits, NUL in a string (the kernel would cut it there), half a surrogate pair
(no UTF-8 exists for it), and nesting that exhausts the stack.
"""

from __future__ import annotations

from _json import encode_basestring_ascii, make_encoder, make_scanner

from pyrun import pack
from pyrun.errors import Error
from pyrun.schema_check import shown, step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE_LIMIT = 16 * 1024 * 1024  # bytes of one document
DEPTH_LIMIT = 500  # containers within each other
_SPACE = " \t\n\r"
_EXACT = 2**53  # from here on a float skips integers


class _Refused:
    """Stands where a value was that we refuse, until the walk that finds its pointer."""

    __slots__ = ("why",)

    def __init__(self, why: str) -> None:
        self.why = why


class _Decoder:
    """What make_scanner asks for its decisions."""

    strict = True  # control characters in strings are refused
    object_hook: None = None
    array_hook: None = None  # read from Python 3.15 on
    parse_int = int

    def __init__(self, *, drop_null: bool) -> None:
        self.drop_null = drop_null
        self.refused = False

    def refuse(self, why: str) -> object:
        self.refused = True
        return _Refused(why)

    def object_pairs_hook(self, pairs: list[tuple[str, object]]) -> object:
        members = dict(pairs)
        if len(members) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            return self.refuse(f"{shown(twice)} is given twice")
        if self.drop_null and None in members.values():
            return {name: value for name, value in members.items() if value is not None}
        return members

    def parse_float(self, text: str) -> object:
        value = float(text)
        if value in {float("inf"), float("-inf")}:
            return self.refuse(f"{shown(text)} is too large")
        if not value.is_integer():
            return value
        # 1.0 and 1e3 are integers to JSON Schema, and so to us; beyond 2^53 they would lose digits.
        if abs(value) >= _EXACT:
            return self.refuse(f"{text[:40]} must be written as an integer, digit by digit")
        return int(value)

    def parse_constant(self, text: str) -> object:
        return self.refuse(f"{text} is not JSON")


def loads(data: bytes, what: str, *, drop_null: bool = False) -> object:
    """The value of one JSON document; any fault is an Error that begins with `what`.

    With `drop_null`, a member whose value is null counts as absent, at any depth: so do the
    engines' own decoders read it, and some engines write null for what is not set.
    """
    if len(data) > SIZE_LIMIT:
        raise Error(f"{what}: {len(data)} bytes are more than the limit of {SIZE_LIMIT}")
    text = _text(data, what)
    decoder = _Decoder(drop_null=drop_null)
    start = len(text) - len(text.lstrip(_SPACE))
    # _Decoder has what the scanner reads; typeshed only knows json.JSONDecoder.
    scan = make_scanner(decoder)  # type: ignore[arg-type]
    try:
        try:
            value, end = scan(text, start)
        except SystemError:
            # Until 3.12 is the floor: the scanner looks for the exception to raise among the
            # modules that are loaded, and this one is too slow to load for nothing.
            __import__("json.decoder")
            value, end = scan(text, start)
    except StopIteration as stop:
        raise _malformed(what, "a value is expected", text, stop.value) from None
    except RecursionError:
        raise _too_deep(what) from None
    except ValueError as error:
        position = getattr(error, "pos", None)  # json.JSONDecodeError, which we can't name here
        if position is None:  # int(): more digits than Python converts
            raise Error(f"{what}: a number has too many digits") from None
        why = str(error).partition(": line ")[0]
        raise _malformed(what, why[:1].lower() + why[1:], text, position) from None
    rest = text[end:].lstrip(_SPACE)
    if rest:
        raise _malformed(what, "text follows the end of the value", text, len(text) - len(rest))
    # Fewer brackets than the limit can't nest deeper than it: only an unusual document is walked.
    if text.count("[") + text.count("{") > DEPTH_LIMIT and _depth(value) > DEPTH_LIMIT:
        raise _too_deep(what)
    # NUL and half pairs can only come from these escapes: raw ones failed above.
    if decoder.refused or "\\u0000" in text or "\\ud" in text or "\\uD" in text:
        for pointer, why in _faults(value):
            raise Error(f"{what}: {pointer or '/'}: {why}")
    return value


def dumps(value: object, indent: str = "") -> str:
    """`value` as JSON in ASCII: on one line, or one member a line, `indent` deeper each level.

    With an indent the layout is that of json.dumps(indent=...). Raises TypeError for a value that
    JSON has no form for, ValueError for NaN.
    """
    return _pretty(value, indent, "\n") if indent else "".join(_encode(value, 0))


def _text(data: bytes, what: str) -> str:
    if data.startswith(b"\xef\xbb\xbf"):
        raise Error(f"{what}: begins with a byte order mark: save it as UTF-8 without one")
    text = data.decode("utf-8", "replace")
    if "\ufffd" not in text:
        return text
    pack.complete()  # for strictness
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Error(f"{what}: not UTF-8 (line {line}, byte {error.start})") from None


def _malformed(what: str, why: str, text: str, position: int) -> Error:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return Error(f"{what}: not valid JSON: {why} (line {line}, column {column})")


def _too_deep(what: str) -> Error:
    return Error(f"{what}: nested deeper than {DEPTH_LIMIT} levels")


def _depth(value: object) -> int:
    level, depth = [value], 0
    while level:
        depth += 1
        level = [
            child
            for node in level
            for child in _children(node)
            if child.__class__ is dict or child.__class__ is list
        ]
    return depth


def _children(node: object) -> Iterator[object]:
    if isinstance(node, dict):
        return iter(node.values())
    return iter(node) if isinstance(node, list) else iter(())


def _faults(root: object) -> Iterator[tuple[str, str]]:
    """(JSON pointer, what is wrong) for all that no runtime should take, in no special order."""
    todo: list[tuple[str, object]] = [("", root)]
    while todo:
        pointer, node = todo.pop()
        if isinstance(node, _Refused):
            yield pointer, node.why
        elif isinstance(node, str):
            yield from _string_faults(pointer, node)
        elif isinstance(node, dict):
            for name, member in node.items():
                yield from _string_faults(pointer, name)
                todo.append((pointer + step(name), member))
        elif isinstance(node, list):
            todo += [(f"{pointer}/{index}", item) for index, item in enumerate(node)]


def _string_faults(pointer: str, text: str) -> Iterator[tuple[str, str]]:
    if "\0" in text:
        yield pointer, "a string holds a NUL character, which ends a string for the kernel"
    if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        yield pointer, "a string holds half a surrogate pair (\\ud800 to \\udfff)"


def _unknown(value: object) -> object:
    raise TypeError(f"{value.__class__.__name__} has no form in JSON")


_encode = make_encoder(
    None,  # markers: none, our values hold no circles
    _unknown,  # default
    encode_basestring_ascii,
    None,  # indent: C has none
    ":",
    ",",
    False,  # noqa: FBT003  sort_keys
    False,  # noqa: FBT003  skipkeys
    False,  # noqa: FBT003  allow_nan
)


def _pretty(value: object, indent: str, margin: str) -> str:
    inner = margin + indent
    if isinstance(value, dict) and value:
        lines = [
            f"{encode_basestring_ascii(name)}: {_pretty(member, indent, inner)}"
            for name, member in value.items()
        ]
        return "{" + inner + f",{inner}".join(lines) + margin + "}"
    if isinstance(value, list) and value:
        lines = [_pretty(item, indent, inner) for item in value]
        return "[" + inner + f",{inner}".join(lines) + margin + "]"
    return "".join(_encode(value, 0))
