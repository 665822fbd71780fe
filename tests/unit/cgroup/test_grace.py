# SPDX-License-Identifier: Apache-2.0
"""Moving ourselves to where we are: only there, and only on v1."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest

from pyrun.cgroup import grace

HYBRID = "9:name=systemd:/\n8:pids:/a/b\n7:cpu,cpuacct:/\n0::/x\n"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (HYBRID, "/r/pids/a/b/cgroup.procs"),
        ("3:cpu,cpuacct:/\n", "/r/cpu,cpuacct/cgroup.procs"),
        ("0::/user.slice\n", ""),
        ("2:name=systemd:/\n0::/\n", ""),
        ("2:pids:/../other\n1:cpu:/\n", "/r/cpu/cgroup.procs"),
        ("", ""),
    ],
)
def test_own_cgroup(text: str, place: str) -> None:
    assert grace.own_cgroup(text, "/r") == place


@pytest.mark.parametrize(("listed", "wrote"), [("1\n77\n", True), ("1\n770\n", False)])
def test_only_where_we_are(tmp_path: Path, listed: str, wrote: bool) -> None:
    """A path that leads to somebody else's cgroup must not become ours."""
    (tmp_path / "own").write_text("8:pids:/a\n")
    procs = tmp_path / "pids/a/cgroup.procs"
    procs.parent.mkdir(parents=True)
    procs.write_text(listed)
    grace.stay(str(tmp_path / "own"), str(tmp_path), 77)
    assert procs.read_text().startswith("0") is wrote


def test_what_is_missing_is_left_alone(tmp_path: Path) -> None:
    grace.stay(str(tmp_path / "none"), str(tmp_path), 1)
    (tmp_path / "own").write_text("8:pids:/a\n")
    grace.stay(str(tmp_path / "own"), str(tmp_path), 1)
    assert [path.name for path in tmp_path.iterdir()] == ["own"]


def test_a_thread_that_fails_at_once_is_not_heard(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It only saves time: what goes wrong there is no word to who reads our stderr."""
    begun = threading.Event()

    def fail(*_: object) -> None:
        begun.set()
        raise MemoryError

    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    monkeypatch.setattr(grace.os, "geteuid", lambda: 0)
    monkeypatch.setattr(grace, "ROOT", "/nowhere")
    monkeypatch.setattr(grace, "stay", fail)
    grace.begin()
    assert begun.wait(10)
    deadline = time.monotonic() + 0.2
    while time.monotonic() < deadline:
        assert capfd.readouterr() == ("", "")
        time.sleep(0.02)
