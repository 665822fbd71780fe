# SPDX-License-Identifier: Apache-2.0
"""An ordinary user of the machine, who has pyrun and a bundle, and no privileges."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from life.runtimes import Result, executable

NAME = f"pyrunlife{os.getpid() % 100000}"


class User(NamedTuple):
    """An ordinary user, with a bundle and a folder for state."""

    entry: pwd.struct_passwd
    home: Path

    def command(self, *words: str | Path, environment: dict[str, str] | None = None) -> list[str]:
        """A pyrun of this user, with nothing of ours about it."""
        values = {"HOME": str(self.home), "PATH": "/usr/bin:/bin"}
        values |= (
            {"XDG_RUNTIME_DIR": str(self.home / "run")} if environment is None else environment
        )
        if "PYRUN_NO_FAST" in os.environ:  # the test's way
            values["PYRUN_NO_FAST"] = "1"
        elif (
            environment is None
        ):  # said, as engines do: the launcher leaves it to Python to find it
            words = ("--root", self.home / "run/pyrun", *words)
        entry = self.entry
        drop = ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--init-groups"]
        env = ["env", "-i", *(f"{name}={value}" for name, value in values.items())]
        return [*drop, *env, executable("pyrun"), *map(str, words)]

    def __call__(self, *words: str | Path, environment: dict[str, str] | None = None) -> Result:
        """Runs it in the bundle."""
        done = subprocess.run(
            self.command(*words, environment=environment),
            cwd=self.home / "bundle",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def leave(self, *words: str) -> int:
        """As calling it, for a verb that leaves a container."""
        with open(os.devnull, "r+b") as null:
            done = subprocess.run(
                self.command(*words),
                cwd=self.home / "bundle",
                stdin=null,
                stdout=null,
                stderr=null,
                timeout=20,
            )
        return done.returncode

    def config(self, *verbs: str) -> dict[str, Any]:
        """What `spec --rootless` has written, for the payload."""
        config: dict[str, Any] = json.loads((self.home / "bundle/config.json").read_text())
        words: list[str] = []
        for verb in verbs:
            words += [*verb.split(" "), ";"]
        config["process"]["args"] = ["/payload", *words[:-1]]
        config["process"]["terminal"] = False
        return config

    def save(self, config: dict[str, Any]) -> None:
        """Into the bundle."""
        (self.home / "bundle/config.json").write_text(json.dumps(config))


def map_ranges(user: User, config: dict[str, Any]) -> None:
    """The user's own id as 0, and from 1 on what /etc/subuid and /etc/subgid give."""
    for kind, own in (("uid", user.entry.pw_uid), ("gid", user.entry.pw_gid)):
        text = Path(f"/etc/sub{kind}").read_text()
        line = next(line for line in text.splitlines() if line.startswith(f"{NAME}:"))
        _, start, count = line.split(":")
        config["linux"][f"{kind}Mappings"] = [
            {"containerID": 0, "hostID": own, "size": 1},
            {"containerID": 1, "hostID": int(start), "size": int(count)},
        ]
