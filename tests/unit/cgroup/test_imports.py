# SPDX-License-Identifier: Apache-2.0
"""The cgroup driver is on the hot path: what it may load beside itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyrun

ALLOWED = {"_struct", "_socket", "_signal", "fcntl", "time", "errno", "os", "__future__"}
SCRIPT = """
import sys
sys.path.insert(0, {path!r})
import os
before = set(sys.modules)
from pyrun.cgroup import driver, v1, v2
print(" ".join(set(sys.modules) - before))
"""


def test_what_is_loaded() -> None:
    script = SCRIPT.format(path=str(Path(pyrun.__file__).parent.parent))
    command = [sys.executable, "-ISc", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if name.partition(".")[0] != "pyrun"}
    assert loaded <= ALLOWED
    assert "pyrun.kernel" not in done.stdout  # the bpf(2) binding comes with the first filter
