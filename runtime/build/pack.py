# SPDX-License-Identifier: Apache-2.0
"""Packs the bytecode of an installed package into one file: see pyrun/pack.py.

    pack.py FOLDER          the one that holds the package, site-packages usually

The file has three parts, in marshal's form:

    the code of pyrun/pack.py
    {module: (file below FOLDER, or its path, and where its code begins in the third part)}
    the code of each module, one behind the other, and what the verbs of every day import, of each
    verb in one piece: [(module, its code, or None)], a module behind those that it imports

Before the first two stands the size of each, in 4 bytes, the lowest first. An extension module has
-1 in the table. The table has a verb under its name, as a module, with "" for the file.
"""

from __future__ import annotations
import __future__

import ast
import dis
import importlib
import importlib.machinery
import marshal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

PACKAGE = "pyrun"
BACKEND = "_cffi_backend"  # what the extension modules import
# What only words for a person need: read at every start, it would cost memory and time.
SLOW = (
    *("pyrun.cli.program", "pyrun.cli.verbs", "pyrun.cli.grammar", "pyrun.cli.version"),
    *("pyrun.describe", "pyrun.validate", "pyrun.spec_default", "pyrun.json_lines", "pyrun.types"),
    *("pyrun.commands.plan", "pyrun.plan_diff", "pyrun.commands.validate", "pyrun.commands.spec"),
    *("pyrun.commands.features", "pyrun.features"),
    *("pyrun.commands.trace", "pyrun.tracing", "pyrun.trace_file", "pyrun.commands.wait"),
    *("pyrun.commands.mounts", "pyrun.live_mounts", "pyrun.compile.live_mounts"),
    *("pyrun.commands.doctor", "pyrun.doctor", "pyrun.doctor.cgroups", "pyrun.doctor.engines"),
    *("pyrun.doctor.examination", "pyrun.doctor.finding", "pyrun.doctor.host"),
    *("pyrun.doctor.kernel", "pyrun.doctor.users"),
)
# Of the standard library, what is needed on the way to a container and is not built in. Python asks
# for encodings at the first text that is not right, and can't be helped if there is none.
STANDARD = (
    *("encodings", "encodings.aliases", "encodings.utf_8"),
    *("_blake2", "_json", "_posixsubprocess", "_socket", "_struct", "binascii", "fcntl", "select"),
    "termios",
)
VERBS = ("create", "run", "exec", "start", "state", "kill", "delete")
EXTENSIONS = tuple(importlib.machinery.EXTENSION_SUFFIXES)


def compiled(path: Path) -> CodeType:
    """The code of a source file. Tracebacks name the file as it is installed.

    Without what only readers need, and without the import of __future__, which is for the compiler.
    """
    tree = ast.parse(path.read_bytes(), str(path))
    flags = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            node.body = [child for child in node.body if not _is_text(child)]
            if not node.body:
                node.body.append(ast.Pass(lineno=node.lineno, col_offset=0))
    for statement in list(tree.body):
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            flags = __future__.annotations.compiler_flag
            tree.body.remove(statement)
        elif _is_text(statement) or _is_for_the_checker(statement):
            tree.body.remove(statement)
    code: CodeType = compile(tree, str(path), "exec", flags=flags, dont_inherit=True)
    return code


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _is_for_the_checker(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.If)
        and isinstance(statement.test, ast.Name)
        and statement.test.id == "TYPE_CHECKING"
        and not statement.orelse
    )


def module_name(relative: Path) -> str:
    """`pyrun/cli/hot.py` is pyrun.cli.hot, `pyrun/cli/__init__.py` pyrun.cli."""
    parts = [*relative.parts[:-1], relative.name.partition(".")[0]]
    return ".".join(part for part in parts if part != "__init__")


def modules(folder: Path) -> dict[str, tuple[str, CodeType | None]]:
    """The modules of the package but the slow ones, and the extension modules that it loads."""
    found: dict[str, tuple[str, CodeType | None]] = {}
    extensions = [path for path in folder.glob(f"{BACKEND}.*") if path.name.endswith(EXTENSIONS)]
    for path in sorted((folder / PACKAGE).rglob("*")):
        if path.name.endswith(EXTENSIONS):
            extensions.append(path)
        elif path.suffix == ".py":
            relative = path.relative_to(folder)
            name = module_name(relative)
            if name not in SLOW:
                found[name] = (str(relative), compiled(path))
    for path in extensions:
        relative = path.relative_to(folder)
        found[module_name(relative)] = (str(relative), None)
    for name in STANDARD:
        file = getattr(importlib.import_module(name), "__file__", None)
        if file is not None:  # else it is built in
            path = Path(file).absolute()
            found[name] = (str(path), None if path.name.endswith(EXTENSIONS) else compiled(path))
    return found


def imports(code: CodeType) -> Iterator[str]:
    """What a module imports as it is loaded, by the instructions of its own code alone: what is
    imported in a function is rarely needed."""
    words: tuple[str, ...] = ()
    for instruction in dis.get_instructions(code):
        if instruction.opname == "LOAD_CONST" and isinstance(instruction.argval, tuple):
            words = instruction.argval
        elif instruction.opname == "LOAD_CONST" and instruction.argval is None:
            words = ()
        elif instruction.opname == "IMPORT_NAME":
            yield instruction.argval
            yield from (f"{instruction.argval}.{word}" for word in words)


def needed(name: str, table: dict[str, tuple[str, CodeType | None]], into: list[str]) -> None:
    """Add a module to `into`, behind what it imports, as far as that is in the table."""
    if name not in table or name in into:
        return
    needed(name.rpartition(".")[0], table, into)
    code = table[name][1]
    for other in imports(code) if code else ():
        needed(other, table, into)
    if name not in into:
        into.append(name)


def sized(part: bytes) -> bytes:
    """With its size before it."""
    return len(part).to_bytes(4, "little") + part


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    found = modules(folder)
    table, codes = {}, b""
    for name, (path, code) in found.items():
        table[name] = (path, len(codes) if code else -1)
        codes += marshal.dumps(code) if code else b""
    for verb in VERBS:
        order: list[str] = []
        needed(f"{PACKAGE}.commands.{verb}", found, order)
        table[verb] = ("", len(codes))
        codes += marshal.dumps([(name, found[name][1]) for name in order])
    first = marshal.dumps(compiled(folder / PACKAGE / "pack.py"))
    target = folder / PACKAGE / "pyrun.pack"
    temporary = target.with_suffix(".new")
    temporary.write_bytes(sized(first) + sized(marshal.dumps(table)) + codes)
    temporary.rename(target)


if __name__ == "__main__":
    main()
