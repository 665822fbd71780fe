# SPDX-License-Identifier: Apache-2.0
"""The launcher finds its Python and package from where it lies, whatever the caller's state is."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pyrun as package

PACKAGE = Path(package.__file__).parent
PACK = Path(__file__).parents[2] / "runtime/build/pack.py"
# In place of the package: reports what a process started by the launcher finds.
STAND_IN = """
import json, os, sys

def main(argv):
    report = {
        "argv": argv,
        "environment": dict(os.environ),
        "fds": {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in (0, 1, 2)},
        "json": json.__file__,
        "path": sys.path,
        "site": "site" in sys.modules,
        "bytecode": not sys.dont_write_bytecode,
        "encoding": sys.getfilesystemencoding(),
    }
    with open(argv[1], "w") as file:
        json.dump(report, file)
    return 42

def finish(argv):
    os._exit(main(argv))
"""


class Install:
    """A prefix with the real launcher, the real interpreter, and the stand-in for the package."""

    def __init__(self, folder: Path, launcher: Path) -> None:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self.prefix = folder / "prefix"
        self.launcher = self.prefix / "bin/pyrun"
        self.python = self.prefix / "bin/python3"
        self.packages = self.prefix / "lib" / version / "site-packages"
        self.report = folder / "report.json"
        (self.prefix / "bin").mkdir(parents=True)
        (self.packages / "pyrun").mkdir(parents=True)
        (self.packages / "pyrun/__init__.py").touch()
        (self.packages / "pyrun/__main__.py").write_text(STAND_IN)
        self.python.symlink_to(os.path.realpath(sys.executable))
        shutil.copy(launcher, self.launcher)

    def have_interpreter(self, packed: bool) -> None:
        """The launcher's own, and perhaps a pack for it."""
        folder = self.packages / "pyrun"
        shutil.copy(PACKAGE / "interpreter", folder)
        shutil.copy(PACKAGE / "pack.py", folder)
        if packed:
            subprocess.run([sys.executable, PACK, self.packages], check=True)

    def run(self, *arguments: str | bytes, name: Path | None = None, **how: Any) -> dict[str, Any]:
        """What the stand-in found. Fails unless its exit code came through."""
        done = subprocess.run([name or self.launcher, self.report, *arguments], **how)
        assert done.returncode == 42, done
        report: dict[str, Any] = json.loads(self.report.read_text())
        return report


@pytest.fixture(params=["python3", "interpreter", "interpreter with a pack"])
def install(request: pytest.FixtureRequest, tmp_path: Path, pyrun: Path) -> Install:
    found = Install(tmp_path, pyrun.resolve())
    if request.param != "python3":
        found.have_interpreter(packed="pack" in request.param)
    return found


def test_no_environment(install: Install) -> None:
    report = install.run(env={})
    # python3 adds LC_CTYPE where no locale is set.
    assert report["environment"].keys() <= {"LC_CTYPE"}
    assert report["encoding"] == "utf-8"
    assert report["path"][-1] == str(install.packages)


def test_environment_reaches_the_runtime(install: Install) -> None:
    given = {
        "LISTEN_FDS": "2",
        "NOTIFY_SOCKET": "/run/n",
        "XDG_RUNTIME_DIR": "/run/u",
        "PATH": "/p",
    }
    assert install.run(env=given)["environment"].items() >= given.items()


def test_start_is_lean(install: Install) -> None:
    report = install.run()
    assert not report["site"]
    assert not report["bytecode"]


@pytest.mark.parametrize("relative", [False, True])
def test_through_symlinks(install: Install, tmp_path: Path, relative: bool) -> None:
    """PREFIX/bin/pyrun is a link into the private folder, and engines link to it again as runc."""
    target = install.launcher
    (tmp_path / "bin").mkdir()
    first = tmp_path / "bin/pyrun"
    first.symlink_to(os.path.relpath(target, first.parent) if relative else target)
    second = tmp_path / "runc"
    second.symlink_to("bin/pyrun" if relative else first)
    report = install.run(name=second, cwd="/")
    assert report["argv"][0] == "runc"
    assert report["path"][-1] == str(install.packages)


def test_arguments_come_through_untouched(install: Install) -> None:
    given = ["", "-c", "--", "-V", "a b", "naïve", b"\xff\xfe", "x" * 100_000]
    report = install.run(*given)
    assert [os.fsencode(argument) for argument in report["argv"][2:]] == [
        os.fsencode(argument) for argument in given
    ]


def test_hostile_working_directory(install: Install, tmp_path: Path) -> None:
    """A bundle is not ours: nothing in it may be taken for a module, nor for the package."""
    bundle = tmp_path / "bundle"
    (bundle / "pyrun").mkdir(parents=True)
    for name in ("json", "os", "posix", "sitecustomize", "usercustomize", "pyrun/__main__"):
        (bundle / f"{name}.py").write_text("raise SystemExit('taken in')\n")
    report = install.run(cwd=bundle)
    assert not report["json"].startswith(str(tmp_path))
    hostile = {"PYTHONPATH": str(bundle), "PYTHONHOME": str(bundle), "PYTHONSTARTUP": "/x"}
    report = install.run(cwd=bundle, env={**os.environ, **hostile})
    assert str(bundle) not in report["path"]


def test_deleted_working_directory(install: Install, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    install.run(name=install.launcher, cwd=gone, preexec_fn=gone.rmdir)


@pytest.mark.parametrize(
    "closed", [fds for n in (1, 2, 3) for fds in itertools.combinations((0, 1, 2), n)]
)
def test_closed_standard_fds(install: Install, closed: tuple[int, ...]) -> None:
    """A state file opened as fd 2 would get our error messages written into it."""

    def close() -> None:
        for fd in closed:
            os.close(fd)

    report = install.run(preexec_fn=close)
    for fd in closed:
        assert report["fds"][str(fd)] == "/dev/null"


def test_open_standard_fds_stay(install: Install, tmp_path: Path) -> None:
    path = tmp_path / "stream"
    with path.open("w+") as stream:
        report = install.run(stdin=stream, stdout=stream, stderr=stream)
    assert set(report["fds"].values()) == {str(path)}


def test_missing_interpreter(tmp_path: Path, pyrun: Path) -> None:
    install = Install(tmp_path, pyrun.resolve())
    install.python.unlink()
    done = subprocess.run([install.launcher], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    path = install.prefix.resolve() / "bin/python3"
    assert done.stderr == f"pyrun: cannot start its Python {path}: No such file or directory\n"
