# SPDX-License-Identifier: Apache-2.0
"""Fakes for the command line's tests: verbs that run nothing, and the table that a build makes."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import pyrun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    # Makes pyrun.commands.<verb>: its run() returns the code or raises the exception given.
    Fake = Callable[..., list[dict[str, Any]]]
    # Runs the program in a process of its own, as the launcher does; extra code runs before it.
    Launch = Callable[..., subprocess.CompletedProcess[str]]

GENERATOR = Path(__file__).parents[3] / "runtime/build/flags_module.py"
PACKAGE = Path(pyrun.__file__).parent


def _provide_flags() -> str:
    """The folder that holds the generated table: the installed package's, or one made here."""
    if importlib.util.find_spec("pyrun._flags") is not None:
        return str(PACKAGE)
    folder = tempfile.mkdtemp(prefix="pyrun-flags-")
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    target = os.path.join(folder, "_flags.py")
    subprocess.run([sys.executable, str(GENERATOR), target], env=environment, check=True)
    pyrun.__path__.append(folder)
    return folder


# When this file is loaded: the test modules import pyrun.cli.hot, which imports the table.
_FLAGS_FOLDER = _provide_flags()


@pytest.fixture(autouse=True)
def keep_umask() -> Iterator[None]:
    """main() sets the umask of the whole process."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def generator() -> types.ModuleType:
    """The script that writes the table, as a module."""
    spec = importlib.util.spec_from_file_location("flags_module", GENERATOR)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """See Fake above. Returns the list to which each call's options are appended."""

    def install(verb: str, outcome: int | BaseException = 0, output: str = "") -> Any:
        calls: list[dict[str, Any]] = []

        def run(opts: dict[str, Any]) -> int:
            calls.append(opts)
            sys.stdout.write(output)
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        name = f"pyrun.commands.{verb}"
        module = types.ModuleType(name)
        module.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
        return calls

    return install


BOOT = """\
import sys
sys.path.insert(0, sys.argv[1])
import pyrun
pyrun.__path__.append(sys.argv[2])
del sys.argv[:3]
{extra}
from pyrun.__main__ import finish
finish(sys.argv)
"""


@pytest.fixture
def launch() -> Launch:
    """See Launch above. `click` puts site-packages in the path, for what needs click."""

    def run(*words: str, extra: str = "", **rest: Any) -> subprocess.CompletedProcess[str]:
        site = str(Path(importlib.util.find_spec("click").origin).parents[1])  # type: ignore[union-attr, arg-type]
        boot = BOOT.format(extra=f"sys.path.append({site!r})\n{extra}")
        python = [sys.executable, "-I", "-S", "-B", "-X", "utf8", "-c", boot]
        rest = {"stdout": subprocess.PIPE, **rest}
        return subprocess.run(
            [*python, str(PACKAGE.parent), _FLAGS_FOLDER, *words],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            **rest,
        )

    return run
