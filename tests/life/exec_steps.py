# SPDX-License-Identifier: Apache-2.0
"""Steps that the tests of exec share."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from life.bundles import sentence
from life.runtimes import Container, Result

CHOWN, KILL, NET_BIND, AUDIT_WRITE = (1 << bit for bit in (0, 5, 10, 29))
OWN = KILL | NET_BIND | AUDIT_WRITE  # the capabilities of these bundles
NOT_STARTED = 255


def sets(answer: str) -> dict[str, int]:
    """The payload's five sets."""
    return {name: int(value, 16) for name, value in map(str.split, answer.splitlines())}


def process_file(container: Container, *verbs: str, **members: Any) -> Path:
    """A file for --process, with no more in it than it must have."""
    path = container.bundle.path / "process.json"
    process = {
        "args": ["/payload", *sentence(*verbs)],
        "cwd": "/",
        "user": {"uid": 0, "gid": 0},
        **members,
    }
    path.write_text(json.dumps(process))
    return path


def by_file(container: Container, *verbs: str, **members: Any) -> Result:
    """exec --process."""
    return container.exec(flags=["--process", process_file(container, *verbs, **members)])


def end(pid: int) -> int:
    """Kill a child and reap it, if that was not done; its exit code."""
    try:
        os.kill(pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except (ProcessLookupError, ChildProcessError):
        return 0


def cgroup_of(pid: int | str) -> str:
    """/proc/PID/cgroup, or nothing when the process is gone."""
    try:
        return Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return ""
