# SPDX-License-Identifier: Apache-2.0
"""The kit's command line, and what a run leaves."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from life import leftovers
from needs import needs
from unit.runtime_spec import ROOT


def kit(*words: str | Path, **keywords: object) -> subprocess.CompletedProcess[str]:
    """`python3 -m conformance` with these words."""
    command = [sys.executable, "-m", "conformance", *map(str, words)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, **keywords
    )  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "--runtime is missing"),
        (("--runtime", "no-such-runtime"), "--runtime no-such-runtime: no such program"),
        (("--runtime", "/etc/passwd"), "--runtime /etc/passwd: no such program"),
        (("--runtime", "true", "--select", "runtime.nothing"), "--select runtime.nothing: no such"),
        (("--runtime", "true", "--jobs", "0"), "numbers above 0"),
        (("--runtime", "true", "--format", "pdf"), "invalid choice"),
        (("--runtime", "true", "--select", "bundle", "--level", "MAY"), "no requirement of level"),
    ],
)
def test_wrong_words(words: tuple[str, ...], complaint: str) -> None:
    done = kit(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_help_and_list() -> None:
    done = kit("--help")
    assert done.returncode == 0
    assert "exit status: 0 when nothing failed" in done.stdout
    done = kit("--list", "--select", "runtime.state")
    lines = done.stdout.splitlines()
    assert lines[0].split()[:2] == ["runtime.state.ociVersion", "REQUIRED"]
    assert any("[not observable: It permits" in line for line in lines)
    assert any("statements are not for a runtime (platform)" in line for line in lines)


@needs("root", "cc")
def test_a_run(pyrun: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = kit("--runtime", pyrun, "--select", "runtime.state.id", "config.hostname",
               "runtime.state.more", "--format", "json", "-o", report, "--jobs", "2")  # fmt: skip
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr == f"conformance: {report}: failed: pyrun 0\n"
    found = json.loads(report.read_text())
    results = {entry["id"]: entry["results"]["pyrun"] for entry in found["requirements"]}
    assert {name: result["outcome"] for name, result in results.items()} == {
        "runtime.state.id": "pass",
        "runtime.state.more": "not observable",
        "config.hostname": "pass",
    }
    (check,) = results["config.hostname"]["checks"]
    assert {line["what"] for line in check["observations"]} == {
        "the host name inside", "the host name outside",
    }  # fmt: skip
    assert f"{pyrun} --root " in check["log"][0]
    assert found["runtimes"][0]["version"].startswith("pyrun version ")


NOTHING = """#!/bin/sh
echo "this runtime does nothing" >&2
exit 1
"""


@needs("root", "cc")
def test_a_runtime_that_does_nothing(tmp_path: Path) -> None:
    """Whatever must fail passes, everything else fails, and says why."""
    runtime = tmp_path / "nothing"
    runtime.write_text(NOTHING)
    runtime.chmod(0o755)
    done = kit("--runtime", runtime, "--select", "runtime.state", "runtime.query.unknown",
               "--jobs", "1")  # fmt: skip
    assert done.returncode == 1
    assert "FAIL     REQUIRED   runtime.state.id" in done.stdout
    assert "pass     MUST       runtime.query.unknown" in done.stdout
    assert "saw:      this runtime does nothing" in done.stdout


HANGS = """#!/bin/sh
[ "$1" = --version ] || sleep 60
"""


@needs("root", "cc")
def test_a_runtime_that_hangs(tmp_path: Path) -> None:
    runtime = tmp_path / "hangs"
    runtime.write_text(HANGS)
    runtime.chmod(0o755)
    done = kit("--runtime", runtime, "--select", "runtime.query.unknown", "--time-limit", "2",
               "--jobs", "1")  # fmt: skip
    assert done.returncode == 1
    assert "TimeoutError: not over in 2 seconds" in done.stdout


@needs("root", "cc")
def test_nothing_is_left(pyrun: Path) -> None:
    """No mount, no cgroup, no folder, whatever a check has made."""

    def seen() -> tuple[set[str], set[str], set[str]]:
        groups = {
            str(path) for place in leftovers.hierarchies() for path in place.glob("conformance-*")
        }
        folders = {path.name for path in Path("/tmp").glob("conformance-*")}
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return {line for line in lines if "/conformance-" in line}, groups, folders

    before = seen()
    done = kit("--runtime", pyrun, "--select", "runtime.delete", "config-linux.rootfsPropagation",
               "config.mounts.option.rbind", "config-linux.cpu.realtimeRuntime")  # fmt: skip
    assert done.returncode in (0, 1)
    assert seen() == before


@needs("root", "cc")
def test_progress_is_for_a_terminal(pyrun: Path) -> None:
    """A bar on stderr, and colours on stdout; gone from the screen at the end."""
    words = [sys.executable, "-m", "conformance", "--runtime", str(pyrun), "--select", "bundle"]
    master, peer = pty.openpty()
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=peer, text=True)
    os.close(peer)
    out, _ = process.communicate(timeout=60)
    shown = os.read(master, 100000).decode()
    os.close(master)
    assert process.returncode == 0
    assert "] 3/3 pyrun bundle.config." in shown
    assert shown.endswith("\r\033[K")
    assert "pass" in out and "\033" not in out
