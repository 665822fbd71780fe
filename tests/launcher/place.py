# SPDX-License-Identifier: Apache-2.0
"""A launcher whose Python only says that it was asked, and a container's folder as create leaves
it, with an init that is a sleeping process of ours."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from pyrun import init, shortcut, state

PYTHON = 97  # the exit code of what stands in for Python


class Place:
    """A launcher whose Python only says that it was asked, and a container whose init sleeps."""

    def __init__(self, folder: Path, launcher: Path) -> None:
        self.launcher = folder / "prefix/bin/pyrun"
        self.launcher.parent.mkdir(parents=True)
        shutil.copy(launcher, self.launcher)
        python = self.launcher.parent / "python3"
        python.write_text(f"#!/bin/sh\nexit {PYTHON}\n")
        python.chmod(0o755)
        self.root = folder / "root"
        self.cgroup = folder / "cgroup"
        self.cgroup.mkdir()
        (self.cgroup.parent / "freezer").mkdir()
        (self.cgroup.parent / "freezer/freezer.state").write_text("THAWED\n")
        self.init = subprocess.Popen(["sleep", "100"])
        self.container = state.claim({"root": str(self.root)}, "box")
        self.folder = self.root / "box"
        self.frozen = self.cgroup.parent / "freezer/freezer.state"

    def record(self, **changes: Any) -> None:
        """As create leaves it; `changes` are members of the intent."""
        box = self.container
        box.intent = {
            "ociVersion": "1.3.0",
            "id": "box",
            "bundle": '/b/"pid": 1, \u00e9',
            "rootfs": "/b/rootfs",
            "created": "2024-01-01T00:00:00Z",
            "boot_id": init.boot_id(),
            "cgroup": {
                "manager": "cgroupfs",
                "layout": "v1",
                "paths": {"cpu": str(self.cgroup), "cpuacct": str(self.cgroup)},
            },
            "annotations": {"a": 'running"'},
            "hooks": {},
            "own_pids": True,
            **changes,
        }
        box.state = {
            "init_process_pid": self.init.pid,
            "init_process_start": init.start_time(self.init.pid)[1],
            "phase": init.CREATED,
        }
        box.write_intent()
        box.write_state()
        shortcut.leave(box)
        # Like a create that has ended: the lock is free.
        os.close(box.fd)
        box.fd = os.open(self.folder, os.O_RDONLY)

    def freezer(self) -> dict[str, Any]:
        """A cgroup with one, for record()."""
        paths = {"freezer": str(self.frozen.parent), "cpu": str(self.cgroup)}
        return {"manager": "cgroupfs", "layout": "v1", "paths": paths}

    def end(self) -> None:
        """The init's end; nobody waits for it yet."""
        self.init.kill()
        os.waitid(os.P_PID, self.init.pid, os.WEXITED | os.WNOWAIT)

    def __call__(self, *words: str, **how: Any) -> subprocess.CompletedProcess[str]:
        """A command line; `root` None: without --root."""
        root = how.pop("root", str(self.root))
        options = ["--root", root] if root else []
        return subprocess.run(
            [self.launcher, *options, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            **how,
        )

    def code(self, *words: str, **how: Any) -> int:
        """Its exit code."""
        return self(*words, **how).returncode

    def untouched(self) -> bool:
        """Whether everything is there, and the init lives."""
        names = {path.name for path in self.folder.iterdir()}
        return (
            {"fast", "intent.json", "state.json"} <= names
            and self.cgroup.is_dir()
            and self.init.poll() is None
        )
