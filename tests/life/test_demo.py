# SPDX-License-Identifier: Apache-2.0
"""The README's first command: a real container, and a table that shows what it is."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from needs import needs

ROOT = Path(__file__).parent.parent.parent


@needs("root", "busybox", "runc")
@pytest.mark.parametrize("runtime", ["pyrun", "runc"])
def test_demo(runtime: str, pyrun: Path, tmp_path: Path) -> None:
    path = pyrun if runtime == "pyrun" else shutil.which("runc", path="/usr/sbin:/usr/bin")
    done = subprocess.run(
        [ROOT / "scripts/demo"],
        env={**os.environ, "PYRUN": str(path), "TMPDIR": str(tmp_path)},
        cwd="/",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    container, host = lines[0].index("the container sees"), lines[0].index("the host sees")
    cells = {
        line[:container].strip(): (line[container:host].strip(), line[host:].strip())
        for line in lines[2:]
    }
    assert cells["hostname"] == ("box", socket.gethostname())
    assert cells["pid of its shell"][0] == "1"
    assert cells["network interfaces"][0] == "lo"
    assert cells["memory limit"][0] == "64 MiB"
    assert cells["process limit"][0] == "32"
    assert cells["capabilities"][0] == "kill net_bind_service audit_write"
    assert cells["seccomp"][0] == "filtered"
    assert cells["the call chmod"] == ("refused", "done")
    assert list(tmp_path.iterdir()) == []
