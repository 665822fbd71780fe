# SPDX-License-Identifier: Apache-2.0
"""The command of conformance/: which tests it chooses, and for which runtime."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def listed(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "conformance", *words, "--collect-only", "-q"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_tests_are_those_of_the_runtime() -> None:
    done = listed("--runtime", "runc", "-k", "test_list")
    assert done.returncode == 0
    assert "test_root.py::test_listed_devices[runc]" in done.stdout
    assert "[pyrun]" not in done.stdout


def test_a_runtime_must_be_named() -> None:
    assert listed().returncode == 2
