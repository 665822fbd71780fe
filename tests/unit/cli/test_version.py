# SPDX-License-Identifier: Apache-2.0
"""--version, as Docker, podman and containerd's client read it."""

from __future__ import annotations

import re
import sys
import types

import pytest

import pyrun
from pyrun.__main__ import main


def test_the_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    build = types.ModuleType("pyrun._commit")
    build.COMMIT = "0123abc"  # type: ignore[attr-defined]
    library = types.ModuleType("pyrun.kernel.libseccomp")
    library.version = lambda: "2.5.4"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyrun._commit", build)
    monkeypatch.setitem(sys.modules, "pyrun.kernel.libseccomp", library)
    assert main(["pyrun", "--version"]) == 0
    python = ".".join(map(str, sys.version_info[:3]))
    assert capsys.readouterr().out.splitlines() == [
        f"pyrun version {pyrun.__version__}",
        "commit: 0123abc",
        "spec: 1.3.0",
        f"python: {python}",
        "libseccomp: 2.5.4",
    ]


@pytest.mark.parametrize("argv0", ["runc", "/usr/sbin/runc", "pyrun", "/opt/runc/pyrun", "crun"])
def test_it_answers_to_runc(argv0: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([argv0, "-v"]) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    name = "runc" if argv0.endswith("/runc") or argv0 == "runc" else "pyrun"
    assert re.fullmatch(rf"{name} version [0-9]+\.[0-9]+\.[0-9]+\S*", first)
    # Docker takes name and number from the last line with this word.
    assert not [line for line in rest if "version" in line]


def test_global_flags_before_it_do_not_matter(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pyrun", "--root", "/r", "--debug", "--version"]) == 0
    assert capsys.readouterr().out.startswith("pyrun version ")
