# SPDX-License-Identifier: Apache-2.0
"""Where nothing has booted systemd: what tests its cgroup driver, with a systemd of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest

from life import leftovers
from needs import needs

pytestmark = [
    needs("root", "systemd_to_boot"),
    pytest.mark.one_way("the tests that it runs take both"),
    pytest.mark.usefixtures("pyrun"),
]

TESTS = Path(__file__).parents[1]
BOOTED = TESTS / "vm/booted"
FILES = (
    "test_systemd.py",
    "test_systemd_limits.py",
    "test_systemd_reload.py",
    "test_systemd_stop.py",
    "test_faults.py",
)


def booted(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """A command there."""
    env = {**os.environ, "RUNTIME": "pyrun"}
    command = [BOOTED, *words]
    process = subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True, env=env)
    try:
        output, errors = process.communicate(timeout=280)
    except subprocess.TimeoutExpired:
        process.terminate()  # it takes away what it has made
        raise
    for place in leftovers.hierarchies():
        assert not (place / f"pyrun-booted-{process.pid}").exists()
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def test_it_is_systemd() -> None:
    """Which answers, and ends with the command, whose exit code is told."""
    done = booted("sh", "-c", "systemctl is-system-running; cat /proc/1/comm; exit 3")
    assert (done.returncode, done.stdout) == (3, "running\nsystemd\n"), done.stderr


def test_its_cgroup_driver() -> None:
    files = [TESTS / "life" / name for name in FILES]
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "systemd"]
    done = booted(*words, *files)
    assert done.returncode == 0, done.stdout[-8000:]
    (passed,) = re.findall(r"(\d+) passed", done.stdout)
    assert int(passed) > 50
