# SPDX-License-Identifier: Apache-2.0
"""The pack holds what is installed, is what the launcher runs, and can be missing."""

from __future__ import annotations

import marshal
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pyrun as package
from needs import needs

FOLDER = Path(package.__file__).parent


def table(pack: Path) -> dict[str, tuple[str, int]]:
    data = pack.read_bytes()
    found = marshal.loads(data[4:])
    assert isinstance(found, dict)
    return found


def test_what_is_in_it() -> None:
    """Every module but those for words; test_no_module_of_ours_is_looked_for finds one too few."""
    found = table(FOLDER / "pyrun.pack")
    missing = []
    for path in FOLDER.rglob("*.py"):
        relative = str(path.relative_to(FOLDER.parent))
        name = relative.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        if name in found:
            assert found[name][0] == relative
            assert found[name][1] >= 0
        else:
            missing.append(name)
    assert "pyrun.cli.program" in missing
    assert "pyrun.creation" in found
    assert found["pyrun.kernel._linux"][1] == -1
    assert found["_cffi_backend"][1] == -1
    assert found["__future__"][1] >= 0


@needs("strace")
def test_no_module_of_ours_is_looked_for(pyrun: Path, tmp_path: Path) -> None:
    """Not one file of the package is opened beside the pack, nor asked for."""
    trace = tmp_path / "trace"
    words = ["strace", "-o", trace, "-e", "trace=openat,newfstatat,stat", pyrun, "state", "x"]
    done = subprocess.run([*words], capture_output=True, text=True)
    assert "container does not exist: x" in done.stderr
    lines = [line for line in trace.read_text().splitlines() if f'"{FOLDER}' in line]
    assert [line for line in lines if "/pyrun.pack" not in line] == []
    assert lines


@pytest.fixture
def install(pyrun: Path, tmp_path: Path) -> Path:
    """An install of its own, whose pack may be changed."""
    packages = FOLDER.parent.relative_to(sys.prefix)
    shutil.copytree(FOLDER, tmp_path / packages / "pyrun")
    (tmp_path / "bin").mkdir()
    shutil.copy(pyrun, tmp_path / "bin/pyrun")
    (tmp_path / "bin/python3").symlink_to(Path(sys.executable).resolve())
    return tmp_path


def test_without_a_pack(install: Path) -> None:
    [pack] = install.rglob("pyrun.pack")
    pack.unlink()
    done = subprocess.run([install / "bin/pyrun", "state", "x"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "pyrun: container does not exist: x\n")
