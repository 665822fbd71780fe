# SPDX-License-Identifier: Apache-2.0
"""Hooks that keep what they get and see, for a check to read."""

from __future__ import annotations

import json
import re
from typing import Any

from conformance import leftovers
from conformance.container import Container

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")

# Keeps what a hook gets and sees: record FOLDER NAME CGROUP
SCRIPT = """#!/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
env >"$1/$2.env"
cat >"$1/$2.state"
pid=$(tr -d ' \\n\\t' <"$1/$2.state" | sed 's/.*"pid":\\([0-9]*\\).*/\\1/')
for kind in mnt net pid uts ipc; do readlink /proc/self/ns/$kind; done >"$1/$2.own"
for kind in mnt net pid uts ipc; do readlink /proc/$pid/ns/$kind; done >"$1/$2.theirs"
stat -L -c '%d:%i' / /proc/$pid/root/ >"$1/$2.roots" 2>&1
tr '\\0' ' ' </proc/$pid/cmdline >"$1/$2.program"
ls -d /sys/fs/cgroup/*$3 /sys/fs/cgroup$3 >"$1/$2.cgroups" 2>/dev/null
echo "$2" >>"$1/order"
"""


class Record:
    """What the hooks of a container have kept."""

    def __init__(self, box: Container) -> None:
        self.box = box
        self.folder = box.bundle.path / "records"
        self.folder.mkdir(mode=0o777)
        self.folder.chmod(0o777)
        self.script = box.bundle.path / "record"
        self.script.write_text(SCRIPT)
        self.script.chmod(0o755)
        box.bundle.mounts.append({"destination": "/work", "type": "bind", "options": ["bind"],
                                  "source": str(self.folder)})  # fmt: skip

    def hook(self, kind: str, name: str = "", **more: Any) -> None:
        """Adds a hook of a kind that keeps what it gets under this name, or that of its kind."""
        name = name or kind
        if kind == "startContainer":
            self.box.bundle.hook(kind, "/payload", "hook", f"/work/{name}.state", name, ";",
                                 "write", "/work/order", name, **more)  # fmt: skip
        else:
            group = f"/{leftovers.parent()}/{self.box.id}"
            self.box.bundle.hook(kind, str(self.script), str(self.folder), name, group, **more)

    def order(self) -> list[str]:
        """The names of the hooks that were called, one after the other."""
        path = self.folder / "order"
        text = path.read_text() if path.exists() else ""
        return re.findall("|".join([*KINDS, "first", "second"]), text)

    def lines(self, name: str, what: str) -> list[str]:
        """Of one thing that a hook has kept."""
        path = self.folder / f"{name}.{what}"
        return path.read_text().splitlines() if path.exists() else []

    def state(self, name: str) -> dict[str, Any]:
        """What a hook got on stdin, or {} where that was no JSON."""
        text = "\n".join(self.lines(name, "state"))
        if text.startswith("name\t"):  # the payload's record
            text = text.partition("state\t")[2].partition("\ncwd\t")[0]
        try:
            return dict(json.loads(text))
        except ValueError:
            return {}
