# SPDX-License-Identifier: Apache-2.0
"""The specification's own schemas and examples, version 1.3.0, from a copy of it that lies beside
this project (or at $PYRUN_OCI_SPEC). Without one, what is to be compared with it is skipped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("config", "state", "features")
PLATFORMS = ("freebsd", "solaris", "vm", "windows", "zos")
LIMITS = ("minimum", "maximum", "minItems", "minLength", "pattern")

# Where someone keeps the specification beside this project.
COPY = Path(os.environ.get("PYRUN_OCI_SPEC", ROOT.parent / "shared/oci-runtime-spec"))


class Example(NamedTuple):
    """One document of the specification's tests."""

    document: str
    verdict: str
    name: str
    text: str


def present() -> bool:
    """Whether there is a copy."""
    return (COPY / "schema/test").is_dir()


def examples() -> list[Example]:
    """Those of the specification's tests; none without a copy."""
    return [
        Example(*path.parts[-3:], path.read_text())
        for path in sorted(COPY.glob("schema/test/*/*/*.json"))
    ]


def demanded(document: str) -> set[str]:
    """What the specification's schema demands."""
    return demands(COPY / f"schema/{document}-schema.json")


def demands(path: Path) -> set[str]:
    """Of a schema, one line each: `root.path: type string`, `root: requires path`. Schemas that are
    written differently can be compared so. What is in sections of other platforms is left out.
    """
    found = _below(path, json.loads(path.read_text()), "")
    return {line for line in found if not line.startswith(tuple(f"{p}." for p in PLATFORMS))}


def _below(file: Path, node: dict[str, Any], at: str) -> Iterator[str]:
    for place, part in _parts(file, node):
        yield from _of(part, at)
        for name, child in part.get("properties", {}).items():
            yield from _below(place, child, f"{at}.{name}" if at else name)
        if "items" in part:
            yield from _below(place, part["items"], f"{at}[]")
        others = [part.get("additionalProperties"), *part.get("patternProperties", {}).values()]
        for child in others:
            if isinstance(child, dict):
                yield from _below(place, child, f"{at}.*")


def _of(node: dict[str, Any], at: str) -> Iterator[str]:
    if "type" in node:
        yield f"{at}: type {node['type']}"
    for name in node.get("required", ()):
        yield f"{at}: requires {name}"
    for word in node.get("enum", ()):
        yield f"{at}: may be {word}"
    for limit in LIMITS:
        if limit in node:
            yield f"{at}: {limit} {node[limit]}"


def _parts(file: Path, node: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The node, what it refers to, and what it must also be, each in its file."""
    yield file, node
    if "$ref" in node:
        yield from _parts(*_referred(file, node["$ref"]))
    for part in [*node.get("allOf", ()), *node.get("anyOf", ())]:
        yield from _parts(file, part)


def _referred(file: Path, reference: str) -> tuple[Path, dict[str, Any]]:
    name, _, inner = reference.partition("#")
    target = file.parent / name if name else file
    found: dict[str, Any] = json.loads(target.read_text())
    for step in inner.strip("/").split("/"):
        found = found[step]
    return target, found
