# SPDX-License-Identifier: Apache-2.0
"""Turns spec/config.schema.json into pyrun/_schema.py: a create need not read and resolve it.

Usage: python schema_module.py spec/config.schema.json OUT.py

Every $ref becomes the name of the definition it means, so the checker never looks one up; texts for
people are left out. A keyword that the checker (pyrun.schema_check) does not know is refused here,
at build time: at run time it would be a rule that nobody applies.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

KEYWORDS = {
    "type", "properties", "required", "items", "enum", "minimum", "maximum",
    "minItems", "minLength", "additionalProperties",
}  # fmt: skip
TEXTS = {"$schema", "$comment", "title", "description", "definitions"}
TYPES = {"object", "array", "string", "integer", "boolean"}
REF = "#/definitions/"

HEADER = '''# SPDX-License-Identifier: Apache-2.0
# ruff: noqa
"""Made from spec/config.schema.json by runtime/build/schema_module.py: don't edit."""

'''


def variable(name: str) -> str:
    """The Python name of one definition."""
    return f"_{name}"


def literal(node: Any, where: str) -> str:
    """The Python expression for one schema node; other definitions appear as their names."""
    if "$ref" in node:
        if set(node) != {"$ref"}:
            raise SystemExit(f"{where}: draft-07 ignores what stands beside a $ref")
        return variable(node["$ref"].removeprefix(REF))
    unknown = set(node) - KEYWORDS - TEXTS
    if unknown:
        raise SystemExit(f"{where}: the checker does not know {', '.join(sorted(unknown))}")
    if not isinstance(node.get("type"), str) or node["type"] not in TYPES:
        raise SystemExit(f"{where}: every node needs one type of {', '.join(sorted(TYPES))}")
    parts = []
    for keyword, value in node.items():
        if keyword in TEXTS:
            continue
        if keyword == "properties":
            inner = [
                f"{name!r}: {literal(child, f'{where}/{name}')}" for name, child in value.items()
            ]
            text = "{" + ", ".join(inner) + "}"
        elif keyword in {"items", "additionalProperties"}:
            text = literal(value, f"{where}/{keyword}")
        elif isinstance(value, list):
            text = repr(tuple(value))
        else:
            text = repr(value)
        parts.append(f"{keyword!r}: {text}")
    return "{" + ", ".join(parts) + "}"


def references(node: Any) -> set[str]:
    """Names of the definitions that a node refers to, at any depth."""
    if isinstance(node, dict):
        own = {node["$ref"].removeprefix(REF)} if "$ref" in node else set()
        return own.union(*(references(child) for child in node.values()))
    return set()


def ordered(definitions: dict[str, Any]) -> list[str]:
    """Names of the definitions, each after those that it refers to; a circle is refused."""
    done: list[str] = []

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise SystemExit(f"definitions refer to each other: {' -> '.join((*path, name))}")
        if name not in done:
            for other in sorted(references(definitions[name])):
                visit(other, (*path, name))
            done.append(name)

    for name in definitions:
        visit(name, ())
    return done


def module(schema: dict[str, Any]) -> str:
    """The whole text of _schema.py."""
    definitions = schema.get("definitions", {})
    names = ordered(definitions)
    lines = [f"{variable(name)} = {literal(definitions[name], name)}" for name in names]
    lines.append(f"CONFIG = {literal(schema, 'config')}")
    pairs = ", ".join(f"{name!r}: {variable(name)}" for name in names)
    lines.append(f"DEFINITIONS = {{{pairs}}}")
    return HEADER + "\n".join(lines) + "\n"


def main(arguments: list[str]) -> None:
    source, target = arguments
    schema = json.loads(Path(source).read_text(encoding="utf-8"))
    Path(target).write_text(module(schema), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
