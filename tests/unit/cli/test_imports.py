# SPDX-License-Identifier: Apache-2.0
"""What a well-formed command line loads before its verb: every module costs each container."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Launch = Callable[..., subprocess.CompletedProcess[str]]

OURS = {
    "pyrun",
    "pyrun.__main__",
    "pyrun._flags",
    "pyrun.cli",
    "pyrun.cli.hot",
    "pyrun.errors",
    "pyrun.log",
    "pyrun.pack",
}
# `os` brings its own few; `__future__` is an import too.
STANDARD = "import __future__, _imp, _json, errno, gc, marshal, os, sys, time"

REPORT = """
before = set(sys.modules)
def run(opts):
    print(*sorted(set(sys.modules) - before))
    return 0
for verb in ("create", "state"):
    sys.modules["pyrun.commands." + verb] = module = type(sys)("pyrun.commands." + verb)
    module.run = run
"""


def loaded_by(code: str) -> set[str]:
    program = f"import sys; before = set(sys.modules); {code}; print(*set(sys.modules) - before)"
    python = [sys.executable, "-I", "-S", "-B", "-X", "utf8", "-c", program]
    return set(subprocess.run(python, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    "line",
    [
        "state c",
        "--log-format=json --log /tmp/pyrun-imports.log create --bundle /b --pid-file /b/p c",
    ],
)
def test_the_hot_path_loads_these_alone(line: str, launch: Launch) -> None:
    done = launch("pyrun", *line.split(), extra=REPORT)
    assert done.stderr == ""
    loaded = set(done.stdout.split()) | {"pyrun"}
    mine = {name for name in loaded if name.partition(".")[0] == "pyrun"}
    early = {"pyrun.cgroup", "pyrun.cgroup.grace"} if "create" in line else set()
    assert mine - {"pyrun.commands.create", "pyrun.commands.state"} == OURS | early
    # `os` was loaded already when the interpreter made it part of its start.
    assert loaded - mine <= loaded_by(STANDARD)
