# SPDX-License-Identifier: Apache-2.0
"""The test build: a copy of the installed pyrun with the named points of fault.py and fault.h.
Nothing of them is in the sources or in an ordinary build."""

from __future__ import annotations

import sys
from pathlib import Path

from security.weakening import PACKAGE, Defence, build

HERE = Path(__file__).parent
RUN = "run[op.code](op.arg) < 0 && errno"
MET = "meet(argv[0], &op, run[op.code]) < 0 && errno"
HOOK = "from pyrun import fault\n\nfault.place(globals())\n"


def faulty(folder: Path, launcher: Path) -> Path:
    """The launcher of a test build in `folder`. Raises as weakening.build()."""
    main = "int main(int argc, char **argv)\n"
    edits = (
        ("executor/executor.c", main, (HERE / "fault.h").read_text() + "\n" + main),
        ("executor/executor.c", RUN, MET),
    )
    program = build(folder, launcher, Defence("named points", edits, ()))
    package = folder / PACKAGE.relative_to(sys.prefix)
    (package / "fault.py").write_text((HERE / "fault.py").read_text())
    from faults.fault import POINTS

    for module in POINTS:
        path = package.parent / (module.replace(".", "/") + ".py")
        with path.open("a") as file:
            file.write(HOOK)
    return program
