# SPDX-License-Identifier: Apache-2.0
"""What is wrong with spec/coverage.toml: properties, rules and tests that it names or forgets."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyrun.compile import unsupported

ROOT = Path(__file__).resolve().parents[2]
REFUSING = "compile.unsupported.problems"

# Words in the place of a rule, and where they may stand.
NOT_READ = "ignored"
IGNORED = {
    "process.user.username": "config.md, User: of Windows",
    "linux.resources.memory.checkBeforeUpdate": "of updates: a new cgroup uses nothing yet",
    **dict.fromkeys(
        ("freebsd", "solaris", "vm", "windows", "zos"), "config.md, Platform-specific: of another"
    ),
}
ABSENT = "absent"
ABSENT_UNLESS = {"features": "commands/features.py"}  # the verb that makes the document

Table = dict[str, list[str]]


def properties(schema: dict[str, Any]) -> list[str]:
    """The path of every named property: `linux.rdma.*.hcaHandles`, `mounts[].type`."""
    return list(_below(schema, schema.get("definitions", {}), ""))


def _below(node: dict[str, Any], definitions: dict[str, Any], at: str) -> Iterator[str]:
    if "$ref" in node:
        node = definitions[node["$ref"].removeprefix("#/definitions/")]
    for name, child in node.get("properties", {}).items():
        path = f"{at}.{name}" if at else name
        yield path
        yield from _below(child, definitions, path)
    if "items" in node:
        yield from _below(node["items"], definitions, f"{at}[]")
    if "additionalProperties" in node:
        yield from _below(node["additionalProperties"], definitions, f"{at}.*")


def problems(document: str, names: list[str], table: Table, root: Path = ROOT) -> list[str]:
    """Every fault of one section of the table, in words."""
    found = []
    rows_of: dict[str, list[str]] = {name: [] for name in names}
    for row in table:
        matching = _pattern(row)
        known = [name for name in names if matching.fullmatch(name)]
        for name in known:
            rows_of[name].append(row)
        if not known:
            found.append(f"{row}: no such property")
    for name, rows in rows_of.items():
        if len(rows) != 1:
            found.append(f"{name}: {'in rows ' + ', '.join(rows) if rows else 'has no row'}")
    for row, cells in table.items():
        found += [f"{row}: {text}" for text in _cells(document, row, cells, root)]
    return found


def _pattern(row: str) -> re.Pattern[str]:
    return re.compile(re.escape(row).replace(r"\*", r"[^.\[\]]*"))


def _cells(document: str, row: str, cells: list[str], root: Path) -> Iterator[str]:
    rules = [cell for cell in cells if "::" not in cell]
    tests = [cell for cell in cells if "::" in cell]
    if not rules:
        yield "names no rule"
    if not tests:
        yield "names no test"
    for rule in rules:
        yield from _rule(document, row, rule, root)
    lost = [test for test in tests if not _has_test(test, root)]
    for test in lost:
        yield f"no such test: {test}"
    if not lost and not {ABSENT, REFUSING} & set(rules):
        yield from _named(row, tests, root)
    if document == "config":
        yield from _refused(row, REFUSING in rules)


def _rule(document: str, row: str, rule: str, root: Path) -> Iterator[str]:
    if rule == NOT_READ:
        if document != "config" or row not in IGNORED:
            yield "is not to be ignored"
    elif rule == ABSENT:
        verb = ABSENT_UNLESS.get(document)
        if verb is None or (root / "runtime/pyrun" / verb).exists():
            yield "is not absent"
    elif not _has_rule(rule, root):
        yield f"no such rule: {rule}"


def _has_rule(rule: str, root: Path) -> bool:
    steps = rule.split(".")
    for split in range(1, len(steps)):
        path = root / "runtime/pyrun" / ("/".join(steps[:split]) + ".py")
        if path.is_file():
            return ".".join(steps[split:]) in functions(path)
    return False


def _has_test(test: str, root: Path) -> bool:
    file, _, name = test.partition("::")
    path = root / file
    if not name.startswith("test_") or not path.is_file():
        return False
    return name in {known.rpartition(".")[2] for known in functions(path)}


def _named(row: str, tests: list[str], root: Path) -> Iterator[str]:
    """A test that shows a field has its name somewhere: a row that was copied has not."""
    leaf = re.split(r"[.\[\]*]+", row.rstrip("[]"))[-1]
    files = dict.fromkeys(root / test.partition("::")[0] for test in tests)
    if not any(re.search(rf"\b{re.escape(leaf)}\b", path.read_text()) for path in files):
        yield f"no file of its tests has the word {leaf}"


def _refused(row: str, is_refused: bool) -> Iterator[str]:
    """Whether the row and compile/unsupported.py say the same."""
    listed = any(
        row == top or row.startswith((f"{top}.", f"{top}[]"))
        for section, names in (
            ("process.", unsupported.PROCESS),
            ("linux.", unsupported.LINUX),
        )
        for top in (section + name for name in names)
    )
    if is_refused and not listed:
        yield f"{REFUSING} does not refuse it"
    if listed and not is_refused:
        yield f"{REFUSING} refuses it"


@functools.cache
def functions(path: Path) -> frozenset[str]:
    """The functions of a file, methods as Class.name."""
    return frozenset(_functions(ast.parse(path.read_text()).body, ""))


def _functions(body: list[ast.stmt], prefix: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef):
            yield prefix + node.name
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node.body, f"{prefix}{node.name}.")
