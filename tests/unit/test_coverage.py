# SPDX-License-Identifier: Apache-2.0
"""spec/coverage.toml is whole and true: each property has a rule and a test that exist."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from unit import coverage_table
from unit.coverage_table import ROOT, Table

DOCUMENTS = ("config", "state", "features")
SCHEMA = {
    "properties": {
        "root": {"properties": {"path": {}, "readonly": {}}},
        "hooks": {"properties": {"a": {"items": {"$ref": "#/definitions/hook"}}, "b": {}}},
        "rates": {"additionalProperties": {"properties": {"limit": {}}}},
    },
    "definitions": {"hook": {"properties": {"path": {}}}},
}
NAMES = ["root", "root.path", "root.readonly", "hooks", "hooks.a", "hooks.a[].path", "hooks.b"]
NAMES += ["rates", "rates.*.limit"]
RULE, TEST = "made.rule", "tests/test_made.py::test_it"
WHOLE: Table = {
    **{name: [RULE, TEST] for name in NAMES if name not in ("hooks.a", "hooks.b")},
    "hooks.*": ["made.Thing.method", TEST],
}


def rows() -> dict[str, Table]:
    """The table as it is."""
    found: dict[str, Table] = tomllib.loads((ROOT / "spec/coverage.toml").read_text())
    return found


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_property_has_a_rule_and_a_test(document: str) -> None:
    schema = json.loads((ROOT / f"spec/{document}.schema.json").read_text())
    names = coverage_table.properties(schema)
    assert coverage_table.problems(document, names, rows()[document]) == []


def test_there_is_no_other_section() -> None:
    assert set(rows()) == set(DOCUMENTS)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A project of one rule and one test."""
    (tmp_path / "runtime/pyrun").mkdir(parents=True)
    (tmp_path / "tests").mkdir()
    code = "def rule(): pass\nclass Thing:\n    def method(self): pass\nVALUE = 1\n"
    (tmp_path / "runtime/pyrun/made.py").write_text(code)
    words = " ".join(sorted({name.rpartition(".")[2] for name in NAMES}))
    text = f'"""{words}"""\nclass Test:\n    def test_it(self): pass\ndef made(): pass\n'
    (tmp_path / "tests/test_made.py").write_text(text)
    (tmp_path / "tests/test_other.py").write_text("def test_it(): pass\n")
    return tmp_path


def test_properties() -> None:
    assert coverage_table.properties(SCHEMA) == NAMES


def test_a_whole_table(tree: Path) -> None:
    assert coverage_table.problems("config", NAMES, WHOLE, tree) == []


@pytest.mark.parametrize(
    ("row", "cells", "text"),
    [
        ("root.path", None, "root.path: has no row"),
        ("hooks.*", None, "hooks.b: has no row"),
        ("root.paths", [RULE, TEST], "root.paths: no such property"),
        ("hooks.*[]", [RULE, TEST], "hooks.*[]: no such property"),
        ("*", [RULE, TEST], "root: in rows root, *"),
        ("root", [], "root: names no rule"),
        ("root", [RULE], "root: names no test"),
        ("root", [TEST], "root: names no rule"),
        ("root", ["made.other", TEST], "root: no such rule: made.other"),
        ("root", ["made.VALUE", TEST], "root: no such rule: made.VALUE"),
        ("root", ["made", TEST], "root: no such rule: made"),
        ("root", ["absent.rule", TEST], "root: no such rule: absent.rule"),
        ("root", ["made.method", TEST], "root: no such rule: made.method"),
        ("root", [RULE, TEST + "s"], f"root: no such test: {TEST}s"),
        ("root", [RULE, "tests/no.py::test_it"], "root: no such test: tests/no.py::test_it"),
        ("root", [RULE, "tests/test_made.py::made"], "no such test: tests/test_made.py::made"),
        ("root", [RULE, "tests/test_other.py::test_it"], "root: no file of its tests has the word"),
        ("root", ["ignored", TEST], "root: is not to be ignored"),
        ("root", ["absent", TEST], "root: is not absent"),
        ("root", ["compile.unsupported.problems", TEST], "does not refuse it"),
    ],
)
def test_a_fault_is_named(tree: Path, row: str, cells: list[str] | None, text: str) -> None:
    table = dict(WHOLE)
    if cells is None:
        del table[row]
    else:
        table[row] = cells
    found = coverage_table.problems("config", NAMES, table, tree)
    assert any(text in problem for problem in found), found


def test_a_field_that_is_still_refused(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage_table.unsupported, "LINUX", ("personality",))
    table: Table = {"linux.personality": [RULE, TEST], "linux.personality.domain": [RULE, TEST]}
    found = coverage_table.problems("config", list(table), table, tree)
    assert sum("unsupported.problems refuses it" in problem for problem in found) == 2


def test_absent_is_what_no_verb_makes(tree: Path) -> None:
    table: Table = {"root": ["absent", TEST]}
    assert coverage_table.problems("features", ["root"], table, tree) == []
    (tree / "runtime/pyrun/commands").mkdir()
    (tree / "runtime/pyrun/commands/features.py").touch()
    assert coverage_table.problems("features", ["root"], table, tree) == ["root: is not absent"]
