# SPDX-License-Identifier: Apache-2.0
"""The instruction set: each operation is documented, used by a rule, and there in C."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from pyrun import _build, ops
from pyrun.compile import order

ROOT = Path(__file__).parents[2]
NAMES = [name for name, _ in inspect.getmembers(ops, inspect.isfunction) if name != "tolerate"]
KINDS = {"int", "str", "str | None", "list[str]", "bytes", "Slot", "Out"}


def used() -> set[str]:
    """ops.<name>( anywhere in the compiler."""
    folder = Path(order.__file__).parent
    return {
        node.attr
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "ops"
    }


def test_every_operation_is_used_by_a_rule() -> None:
    assert set(NAMES) - used() == set()


def test_every_operation_has_a_code_of_its_own() -> None:
    assert set(_build.CODES) == set(NAMES)
    assert sorted(_build.CODES.values()) == list(range(len(NAMES)))


def test_every_operation_is_there_in_c_and_no_other() -> None:
    """The build makes sure of the first; a leftover would stay unseen."""
    sources = [path.read_text() for path in (ROOT / "runtime/executor").glob("*.c")]
    defined = {
        name for text in sources for name in re.findall(r"^int op_(\w+)\(", text, re.MULTILINE)
    }
    assert defined == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_documented_and_typed(name: str) -> None:
    function = getattr(ops, name)
    assert inspect.getdoc(function)
    kinds = dict(function.__annotations__)
    assert kinds.pop("return") == "Op"
    assert set(kinds.values()) <= KINDS
    assert len(kinds) <= 7
    samples = {"str": "x", "str | None": None, "list[str]": ["x"], "bytes": b""}
    values = tuple(samples.get(kind, 1) for kind in kinds.values())
    assert function(*values) == (name, values, 0)  # its name is its function's


def test_tolerate() -> None:
    op = ops.umask(0)
    assert ops.tolerate(17, op) == ("umask", (0,), 17)
    assert op == ("umask", (0,), 0)
