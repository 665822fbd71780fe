# SPDX-License-Identifier: Apache-2.0
"""What is installed grants nothing to anybody, and running it writes nothing into it."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import pyrun as package
from needs import needs

from .locks import ROOT

PACKAGE = Path(package.__file__).parent


def granted(folder: Path) -> list[Path]:
    """Files below it that are set-id, have capabilities, or that others may write."""
    found = []
    for path in folder.rglob("*"):
        if path.is_symlink():
            continue
        mode = path.stat().st_mode
        capable = "security.capability" in os.listxattr(path)
        if capable or mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH):
            found.append(path)
    return found


def test_nothing_is_set_id(pyrun: Path) -> None:
    assert granted(PACKAGE) == []
    assert not pyrun.resolve().stat().st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH)


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o757])
def test_what_grants_is_seen(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "x"
    path.touch()
    assert granted(tmp_path) == []
    path.chmod(mode)
    assert granted(tmp_path) == [path]


def test_no_script_grants_anything() -> None:
    """Neither to a file that is installed nor by a rule of sudo's."""
    grants = re.compile(r"\bsetcap\b|chmod [ug]?\+s|chmod 0?[2467]\d{3}\b|NOPASSWD")
    files = [path for path in (ROOT / "scripts").iterdir() if path.is_file()]
    assert len(files) > 5
    assert [
        path.name for path in [*files, ROOT / "meson.build"] if grants.search(path.read_text())
    ] == []
    assert grants.search("chmod 4755 bin/pyrun")


def test_no_bytecode_is_written(pyrun: Path, tmp_path: Path) -> None:
    """By a caller who could: an installation that root has used is the one that was installed."""
    prefix = tmp_path / "prefix"
    packages = prefix / PACKAGE.parent.relative_to(sys.prefix)
    shutil.copytree(PACKAGE, packages / "pyrun", ignore=shutil.ignore_patterns("__pycache__"))
    (packages / "pyrun/pyrun.pack").unlink()
    for other in PACKAGE.parent.iterdir():  # what it needs of others
        if other.name != "pyrun":
            (packages / other.name).symlink_to(other)
    (prefix / "bin").mkdir()
    shutil.copy(pyrun.resolve(), prefix / "bin/pyrun")
    (prefix / "bin/python3").symlink_to(os.path.realpath(sys.executable))
    before = sorted(packages.joinpath("pyrun").rglob("*"))
    (tmp_path / "state").mkdir(mode=0o700)
    for words in (["features"], ["--help"], ["--root", tmp_path / "state", "list"]):
        done = subprocess.run([prefix / "bin/pyrun", *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert sorted(packages.joinpath("pyrun").rglob("*")) == before
    # An ordinary Python would have written some.
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    program = f"import sys; sys.path[:0] = [{str(packages)!r}]; import pyrun.features"
    subprocess.run([sys.executable, "-c", program], env=clean, check=True)
    assert sorted(packages.joinpath("pyrun").rglob("*")) != before


@needs("root")
def test_the_caller_s_umask_opens_nothing(pyrun: Path, tmp_path: Path) -> None:
    """Whatever umask an engine has, what is kept of containers is the caller's alone."""
    root, bundle = tmp_path / "state", tmp_path / "bundle"
    (bundle / "rootfs/bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", bundle / "rootfs/bin/sh")
    command = [str(pyrun), "--root", str(root)]
    subprocess.run([*command, "spec", "--bundle", str(bundle)], check=True)
    config = bundle / "config.json"
    config.write_text(config.read_text().replace('"terminal": true', '"terminal": false'))
    name = f"umask-{os.getpid()}"
    log = tmp_path / "log"
    words = ["--log", str(log), "create", "--bundle", str(bundle), name]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    subprocess.run([*command, *words], check=True, preexec_fn=lambda: os.umask(0), **quiet)  # type: ignore[call-overload]
    try:
        kept = [root, *root.rglob("*")]
        assert len(kept) > 4
        modes = {str(path): oct(path.lstat().st_mode & 0o777) for path in kept}
        assert {path: mode for path, mode in modes.items() if int(mode, 8) & 0o077} == {}
    finally:
        subprocess.run([*command, "delete", "--force", name], check=True)
