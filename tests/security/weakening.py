# SPDX-License-Identifier: Apache-2.0
"""A pyrun with one defence taken out (weakened.py), as it never was installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pyrun as package
from executor import plans

ROOT = Path(__file__).parents[2]
PACKAGE = Path(package.__file__).parent


class Defence(NamedTuple):
    """`edits`: (file below runtime/, its text, the text without the defence). `tests`: those that
    fail then, by file and name. `static`: whether the executor is. `planted`: the edits are no rule
    taken away, where none stands in a place of its own: they do what the rule is against. `needs`:
    of the machine."""

    name: str
    edits: tuple[tuple[str, str, str], ...]
    tests: tuple[str, ...]
    static: bool = True
    planted: bool = False
    needs: tuple[str, ...] = ()


def build(folder: Path, launcher: Path, defence: Defence) -> Path:
    """The launcher of an installation in `folder` without the defence. Raises CalledProcessError
    where the rest does not compile, AssertionError where the text to take out is not there."""
    packages = folder / PACKAGE.parent.relative_to(sys.prefix)
    shutil.copytree(PACKAGE, packages / "pyrun", ignore=shutil.ignore_patterns("__pycache__"))
    (packages / "pyrun/pyrun.pack").unlink(missing_ok=True)
    for other in PACKAGE.parent.iterdir():
        if other.name != "pyrun":
            (packages / other.name).symlink_to(other)
    (folder / "bin").mkdir()
    shutil.copy(launcher.resolve(), folder / "bin/pyrun")
    (folder / "bin/python3").symlink_to(Path(sys.executable).resolve())
    sources = folder / "executor"
    shutil.copytree(ROOT / "runtime/executor", sources)
    for file, old, new in defence.edits:
        path = sources.parent / file if file.startswith("executor/") else packages / file
        text = path.read_text()
        assert old in text, f"{defence.name}: {file} does not have it any more"
        path.write_text(text.replace(old, new))
    if not defence.static or any(file.startswith("executor/") for file, _, _ in defence.edits):
        words = ["cc", "-std=c17", "-D_GNU_SOURCE", f"-I{plans.header(folder)}"]
        words += ["-static"] * defence.static
        program = ["-o", packages / "pyrun/executor"]
        subprocess.run([*words, *sorted(sources.glob("*.c")), *program], check=True)
    return folder / "bin/pyrun"
