# SPDX-License-Identifier: Apache-2.0
"""What no tool checks: sizes, names, licence lines, and that the tree holds no machine's traces."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import tree

FUNCTION_LINES = 60
FILE_LINES = 400
# (file, function or "") -> why it may be longer. An entry that is not needed fails.
LONGER: dict[tuple[str, str], str] = {
    ("runtime/pyrun/ops.py", ""): "the instruction set is one list: its order is the encoding",
}

# A name that says nothing grows into the file where everything lands.
VAGUE = re.compile(r"(^|_)(utils?|helpers?|commons?|managers?|misc)($|_)")

NEEDS_LICENCE = {".py", ".pyi", ".c", ".h", ".toml", ".build", ".test"}

# Nothing of the machine that a file was written on, and no registry: a mirror is the user's choice.
FOREIGN = re.compile(
    r"/(home|Users)/[a-z]\w*/\w|"
    r"(pypi\.org|pythonhosted\.org|deb\.debian\.org|registry\.npmjs\.org)"
)


def python_functions(path: Path) -> Iterator[tuple[str, int]]:
    """(name, lines) of each function, decorators left out."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def c_functions(path: Path) -> Iterator[tuple[str, int]]:
    """(name, lines) of each function: clang-format keeps their opening braces alone in column 0."""
    lines = path.read_text().splitlines()
    start = None
    for number, line in enumerate(lines):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            first = start - 1
            while first > 0 and lines[first][:1] in (" ", "\t"):
                first -= 1  # a signature of several lines
            found = re.search(r"(\w+)\(", lines[first])
            yield found.group(1) if found else lines[first], number - first + 1
            start = None


def sizes() -> dict[tuple[str, str], int]:
    """The lines of every file ("" for its function) and every function, where they are too many."""
    found = {}
    for path in tree.files(".py", ".c", ".h"):
        name = tree.name(path)
        lines = len(path.read_text().splitlines())
        if lines > FILE_LINES:
            found[name, ""] = lines
        functions = python_functions(path) if path.suffix == ".py" else c_functions(path)
        for function, length in functions:
            if length > FUNCTION_LINES:
                found[name, function] = length
    return found


def test_sizes() -> None:
    found = sizes()
    too_long = {key: lines for key, lines in found.items() if key not in LONGER}
    assert not too_long
    assert not LONGER.keys() - found.keys(), "an exception that is not needed any more"


def test_function_lengths_are_measured(tmp_path: Path) -> None:
    source = tmp_path / "x.c"
    source.write_text("struct s {\n    int i;\n};\n\nstatic int f(int a,\n    int b)\n{\n}\n")
    assert list(c_functions(source)) == [("f", 4)]
    source = tmp_path / "x.py"
    source.write_text("@d\ndef f():\n    def g():\n        pass\n    return g\n")
    assert list(python_functions(source)) == [("f", 4), ("g", 2)]


def test_names_say_something() -> None:
    vague = [tree.name(path) for path in tree.files() if VAGUE.search(path.stem)]
    assert not vague


@pytest.mark.parametrize("name", ["utils", "test_utils", "mount_helper", "manager", "common"])
def test_vague_names_are_found(name: str) -> None:
    assert VAGUE.search(name)


def test_licence_lines() -> None:
    sources = [
        path
        for path in tree.files()
        if path.suffix in NEEDS_LICENCE or path.name == "Makefile" or path in tree.scripts()
    ]
    lacking = [
        tree.name(path)
        for path in sources
        if not any(
            "SPDX-License-Identifier: Apache-2.0" in line
            for line in path.read_text().splitlines()[:3]
        )
    ]
    assert not lacking


def test_nothing_of_one_machine() -> None:
    found = []
    for path in tree.files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue  # a fuzz corpus
        found += [
            f"{tree.name(path)}:{number}: {line.strip()}"
            for number, line in enumerate(text.splitlines(), 1)
            if FOREIGN.search(line)
        ]
    assert not found


def test_every_module_says_what_it_knows() -> None:
    silent = [
        tree.name(path)
        for path in tree.files(".py")
        if path.stat().st_size and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent
