# SPDX-License-Identifier: Apache-2.0
"""Whether a value has the shape that a schema asks for: the interpreter of our JSON Schema subset.

It runs at every create, so it knows only the keywords that spec/config.schema.json uses (the
generator of pyrun._schema refuses others) and imports nothing. jsonschema is the referee: a test
holds both to the same verdict, problem by problem.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.types import Problem, Schema

_NOTHING: Schema = {}
_STRING_ONLY = {str}
_NOUNS = {
    "object": "an object",
    "array": "a list",
    "string": "a string",
    "integer": "an integer",
    "boolean": "true or false",
}
_SHOWN = 60  # characters of a value that a message repeats


def check(value: object, schema: Schema | None = None) -> list[Problem]:
    """All places where `value` breaks `schema` (default: config.json), as (JSON pointer, message).

    An empty list means that the shape is valid. Pointers are relative to `value`.
    """
    if schema is None:
        # Here and not above: words for errors are all that most verbs need of this module.
        from pyrun import _schema

        schema = _schema.CONFIG
    return list(_check(value, schema))


def step(name: str | int) -> str:
    """One step of a JSON pointer (RFC 6901): the name of a member or the index of an item."""
    if name.__class__ is int:
        return f"/{name}"
    return "/" + str(name).replace("~", "~0").replace("/", "~1")


def complaint(value: object, node: Schema) -> str:
    """What `node` asks for and what `value` is instead, in words."""
    return f"must be {_expected(node)}, not {shown(value)}"


def missing(name: str) -> tuple[str, str]:
    """The problem of an object without its required member, relative to that object."""
    return step(name), "is required"


def shown(value: object) -> str:
    """A value as a message repeats it: short, on one line, in the words of JSON."""
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _check(value: object, node: Schema) -> Sequence[Problem]:
    # Pointers are put together on the way back, from the problem outwards: a valid config pays
    # for none.
    kind = node["type"]
    if kind == "object":
        return _members(value, node) if isinstance(value, dict) else _wrong(value, node)
    if kind == "array":
        return _items(value, node) if isinstance(value, list) else _wrong(value, node)
    if kind == "string":
        if not isinstance(value, str):
            return _wrong(value, node)
        if len(node) > 1 and (
            ("enum" in node and value not in node["enum"])
            or ("minLength" in node and len(value) < node["minLength"])
        ):
            return _wrong(value, node)
        return ()
    if kind == "integer":
        return () if _integer(value, node) else _wrong(value, node)
    return () if value is True or value is False else _wrong(value, node)


def _members(value: dict[str, object], node: Schema) -> Sequence[Problem]:
    found: list[Problem] = []
    for name in node.get("required", ()):
        if name not in value:
            found.append(missing(name))
    known = node.get("properties", _NOTHING)
    other = node.get("additionalProperties")
    for name, member in value.items():
        child = known.get(name, other)
        if child is not None:  # an unknown member is an extension: ignored, as config.md asks
            problems = _check(member, child)
            if problems:
                found += [(step(name) + pointer, text) for pointer, text in problems]
    return found


def _items(value: list[object], node: Schema) -> Sequence[Problem]:
    if len(value) < node.get("minItems", 0):
        return _wrong(value, node)
    child = node["items"]
    # Most lists are of plain strings, and the system calls of a seccomp profile are hundreds.
    if len(child) == 1 and child["type"] == "string" and {*map(type, value)} <= _STRING_ONLY:
        return ()
    found: list[Problem] = []
    for index, item in enumerate(value):
        problems = _check(item, child)
        if problems:
            found += [(f"/{index}{pointer}", text) for pointer, text in problems]
    return found


def _integer(value: object, node: Schema) -> bool:
    if value.__class__ is not int and not (isinstance(value, float) and value.is_integer()):
        return False  # a bool has a class of its own; 1.0 is an integer to JSON Schema
    assert isinstance(value, int | float)
    if "minimum" in node and value < node["minimum"]:
        return False
    return not ("maximum" in node and value > node["maximum"])


def _wrong(value: object, node: Schema) -> Sequence[Problem]:
    return [("", complaint(value, node))]


def _expected(node: Schema) -> str:
    if "enum" in node:
        return "one of " + ", ".join(node["enum"])
    noun = _NOUNS[node["type"]]
    if "minimum" in node and "maximum" in node:
        return f"{noun} from {node['minimum']} to {node['maximum']}"
    if "minimum" in node:
        return f"{noun} of at least {node['minimum']}"
    if "maximum" in node:
        return f"{noun} of at most {node['maximum']}"
    if "minItems" in node:
        return f"{noun} of at least {node['minItems']} item"
    if "minLength" in node:
        return f"{noun} that is not empty"
    return noun
