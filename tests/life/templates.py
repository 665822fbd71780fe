# SPDX-License-Identifier: Apache-2.0
"""Containers that are made by a template, or by Python; the same of processes that join."""

from __future__ import annotations

import binascii
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from life.bundles import Bundle
from life.runtimes import Container, Result
from pyrun import template_folder

MOST = template_folder.MOST
PAUSE = 1.5 * template_folder.PAUSE / 1e9  # seconds, after which one more is made

BOOT, PACK = 60, 112  # where in a file their fields begin: runtime/launcher/template.h


class Maker:
    """Makes containers of one bundle, and tells which programs that took."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.trace = container.bundle.path / "trace"
        self.templates = container.runtime.root / ".cache/create"

    def make(
        self, verb: str = "create", prefix_more: Sequence[str] = (), **how: Any
    ) -> tuple[Result, bool]:
        """The verb's result, and whether Python was started for it."""
        # Not -f: its init would keep strace waiting.
        prefix = [*prefix_more, "strace", "-qq", "-e", "trace=execve", "-o", str(self.trace)]
        result = self.container.create(verb=verb, prefix=prefix, **how)
        lines = [line for line in self.trace.read_text().splitlines() if "execve(" in line]
        return result, any("/interpreter" in line or "/python3" in line for line in lines)

    def prime(self, verb: str = "create", **how: Any) -> None:
        """Leave a template of this shape."""
        time.sleep(PAUSE)
        result = self.container.create(verb=verb, **how)
        assert result == (0, "", "")
        self.delete()
        assert list(self.templates.iterdir()), "there is no template"

    def damage(self, at: int, *, noticed: bool = True) -> None:
        """Another byte there in each template; another CRC as well, if not `noticed` by that."""
        for path in self.templates.iterdir():
            damage(path, at, noticed=noticed)

    def delete(self) -> None:
        assert self.container.delete("--force") == (0, "", "")


LOOK = (
    "mounts", "env", "hostname", "caps", "id", "umask", "cwd", "nnp", "status Seccomp", "fds",
    "keyring", "rlimit 7", "cat /proc/self/cmdline", "cat /proc/self/cgroup", "ioprio",
    "cat /proc/self/oom_score_adj", "status SigBlk", "status SigIgn", "status Cpus_allowed",
)  # fmt: skip


class Joiner:
    """Brings processes in, and tells which programs that took."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.trace = container.bundle.path / "trace"
        self.folder = container.runtime.root / ".cache/exec"

    def exec(
        self, *verbs: str, flags: Sequence[str | Path] = (), options: Sequence[str] = (), **how: Any
    ) -> tuple[Result, bool]:
        """The result, and whether Python was started for it."""
        prefix = ["strace", "-qq", "-e", "trace=execve", "-o", str(self.trace), *options]
        result = self.container.exec(*verbs, flags=flags, prefix=prefix, **how)
        lines = [line for line in self.trace.read_text().splitlines() if "execve(" in line]
        return result, any("/interpreter" in line or "/python3" in line for line in lines)

    def prime(self, *verbs: str, flags: Sequence[str | Path] = (), **how: Any) -> Result:
        """Leave a template of this shape."""
        time.sleep(PAUSE)
        before = self.templates()
        result = self.container.exec(*verbs, flags=flags, **how)
        assert self.templates() != before, "there is no template"
        return result

    def templates(self) -> dict[str, int]:
        """Their names, and which files they are."""
        return {path.name: path.stat().st_ino for path in self.folder.glob("*")}


def confined(container: Container) -> Joiner:
    """One that runs, with a filter and limits."""
    bundle = container.bundle
    bundle.process["oomScoreAdj"] = 10
    bundle.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 100}]
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["syslog"], "action": "SCMP_ACT_ERRNO"}],
    }
    container.started("sleep 1000")
    return Joiner(container)


def without_numbers(result: Result) -> list[str]:
    """A temporary file without a name is another one each time."""
    return [re.sub(r"#\d+ ", "", answer) for answer in result.answers()]


def with_hooks(bundle: Bundle) -> None:
    bundle.config["hooks"] = {"poststop": [{"path": "/bin/true"}]}


def damage(path: Path, at: int, *, noticed: bool = True) -> None:
    """Another byte there; another CRC as well, if not `noticed` by that."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    if not noticed:
        data[12:16] = binascii.crc32(data[16:]).to_bytes(4, sys.byteorder)
    path.write_bytes(data)
