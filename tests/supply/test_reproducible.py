# SPDX-License-Identifier: Apache-2.0
"""Two builds of one source have the same bytes, wherever and whenever they are made: so that
anybody can tell whether a binary is what it says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import pyrun as package

from .locks import ROOT

SOURCES = ("pyproject.toml", "meson.build", "LICENSE", "runtime", "spec", "docs/man")


def copy(folder: Path) -> Path:
    """The sources, in another place, of another time."""
    for name in SOURCES:
        target = folder / name
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
            target.chmod(0o644)
    return folder


def build(folder: Path, **environment: str) -> subprocess.Popen[bytes]:
    """A wheel of the copy, in its folder `out`."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-index", "--no-build-isolation"]
    return subprocess.Popen(
        [*command, "--no-deps", "--wheel-dir", "out", "."],
        cwd=folder,
        env={**os.environ, "PATH": path, "SOURCE_DATE_EPOCH": "1700000000", **environment},
    )


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two, whose builders have little in common."""
    folder = tmp_path_factory.mktemp("wheels")
    one = copy(folder / "one")
    other = copy(folder / "some where/else")
    builds = [
        build(one, PYTHONHASHSEED="1", TZ="UTC", LC_ALL="C"),
        build(other, PYTHONHASHSEED="2", TZ="Asia/Tokyo", LC_ALL="C.UTF-8", HOME=str(folder)),
    ]
    assert [one.wait(timeout=300) for one in builds] == [0, 0]
    return [next((place / "out").glob("*.whl")) for place in (one, other)]


def test_wheels_are_the_same(wheels: list[Path]) -> None:
    one, other = (zipfile.ZipFile(wheel) for wheel in wheels)
    assert one.namelist() == other.namelist()
    differing = [name for name in one.namelist() if one.read(name) != other.read(name)]
    assert differing == []
    for name in ("pyrun/executor", "scripts/pyrun", "pyrun/interpreter"):
        assert [member for member in one.namelist() if member.endswith(name)], name
    assert wheels[0].read_bytes() == wheels[1].read_bytes()


def test_no_path_of_the_builder_is_in_it(wheels: list[Path]) -> None:
    """Nor is anything set-id, or writable for others."""
    wheel = zipfile.ZipFile(wheels[0])
    place = str(wheels[0].parents[1]).encode()
    assert [name for name in wheel.namelist() if place in wheel.read(name)] == []
    modes = {entry.filename: entry.external_attr >> 16 for entry in wheel.infolist()}
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o7002} == {}


def test_packs_are_the_same(tmp_path: Path) -> None:
    """What the launcher loads is made where pyrun is installed."""
    shutil.copytree(Path(package.__file__).parent, tmp_path / "pyrun")
    packs = []
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-X", "no_debug_ranges", ROOT / "runtime/build/pack.py", tmp_path],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
        )
        packs.append((tmp_path / "pyrun/pyrun.pack").read_bytes())
    assert packs[0] == packs[1]
