# SPDX-License-Identifier: Apache-2.0
"""The pack holds what is installed, is what the launcher runs, and can be missing."""

from __future__ import annotations

import marshal
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pyrun as package
from needs import needs
from pyrun import pack

FOLDER = Path(package.__file__).parent
BUILDER = Path(__file__).parents[2] / "runtime/build/pack.py"

# Imports its arguments one by one: none may bring another of them along.
IN_ORDER = """
import sys
sys.path.append(sys.argv[1])
for name in sys.argv[2:]:
    before = set(sys.modules)
    __import__(name)
    assert not (set(sys.modules) - before - {name}) & set(sys.argv[2:]), name
"""


def table(pack: Path) -> dict[str, tuple[str, int]]:
    data = pack.read_bytes()
    found = marshal.loads(data[8 + int.from_bytes(data[:4], "little") :])
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
    assert "__future__" not in found  # it is for the compiler


@pytest.mark.parametrize("verb", ["create", "run", "exec", "start", "state", "kill", "delete"])
def test_modules_of_a_verb(verb: str) -> None:
    """In one piece, each behind those that it imports, and none that only some containers need."""
    data = (FOLDER / "pyrun.pack").read_bytes()
    rest = data[4 + int.from_bytes(data[:4], "little") :]
    codes = rest[4 + int.from_bytes(rest[:4], "little") :]
    names = [name for name, _ in marshal.loads(codes[table(FOLDER / "pyrun.pack")[verb][1] :])]
    assert names[-1] == f"pyrun.commands.{verb}"
    assert names.index("pyrun") < names.index("pyrun.errors") < names.index("pyrun.state")
    assert not {"pyrun.failure", "pyrun.net_devices", "pyrun.types"} & {*names}
    subprocess.run([sys.executable, "-I", "-S", "-c", IN_ORDER, FOLDER.parent, *names], check=True)


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


def test_what_may_be_built_in_works_with_half_of_python() -> None:
    """Distributions differ in what of the standard library is a part of their interpreter. What is
    not known to work early brings the other half with it, which costs as much again."""
    wanted = runpy.run_path(str(BUILDER))["STANDARD"]
    ours = [name for name in wanted if not name.startswith("encodings")]
    assert [name for name in ours if name not in pack.EARLY] == []
