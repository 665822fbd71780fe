# SPDX-License-Identifier: Apache-2.0
"""Packs the bytecode of an installed package into one file: see pyrun/pack.py.

    pack.py FOLDER          the one that holds the package, site-packages usually

The file begins with marshal's form of {module: (file below FOLDER, place)}. A module's code, in
marshal's form too, begins that many bytes after the end of this table; an extension module has -1.
Before all of it stands the table's size, in 4 bytes, the lowest first.
"""

from __future__ import annotations

import importlib.machinery
import marshal
import os
import sys
from pathlib import Path

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
)
EXTENSIONS = tuple(importlib.machinery.EXTENSION_SUFFIXES)


def compiled(path: Path) -> bytes:
    """The code of a source file. Tracebacks name the file as it is installed."""
    return marshal.dumps(compile(path.read_bytes(), str(path), "exec", dont_inherit=True))


def module_name(relative: Path) -> str:
    """`pyrun/cli/hot.py` is pyrun.cli.hot, `pyrun/cli/__init__.py` pyrun.cli."""
    parts = [*relative.parts[:-1], relative.name.partition(".")[0]]
    return ".".join(part for part in parts if part != "__init__")


def modules(folder: Path) -> dict[str, tuple[str, bytes]]:
    """The modules of the package but the slow ones, and the extension modules that it loads."""
    found = {}
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
        found[module_name(relative)] = (str(relative), b"")
    # Every module of ours begins with it, and it is not among those that the interpreter holds.
    future = sys.modules["__future__"].__file__
    assert future is not None
    found["__future__"] = (os.path.relpath(future, folder), compiled(Path(future)))
    return found


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    found = modules(folder)
    table, codes = {}, b""
    for name, (path, code) in found.items():
        table[name] = (path, len(codes) if code else -1)
        codes += code
    head = marshal.dumps(table)
    target = folder / PACKAGE / "pyrun.pack"
    temporary = target.with_suffix(".new")
    temporary.write_bytes(len(head).to_bytes(4, "little") + head + codes)
    temporary.rename(target)


if __name__ == "__main__":
    main()
