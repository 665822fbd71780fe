# SPDX-License-Identifier: Apache-2.0
"""A process that is brought into a container can be seen from inside before it has become the
user's program: root in the container may look, and gets hold of nothing (CVE-2016-9962)."""

from __future__ import annotations

import subprocess

from faults.stops import EFFECTS, PATHS, PLACES, Stop, Stopped
from needs import needs

from .box import Box
from .test_identity import user_namespace

pytestmark = needs("root", "busybox")

# Each link of a process is a way to what it has open, and its environment may hold secrets.
LOOK = """
for p in /proc/[0-9]*; do
    case $p in /proc/1|/proc/$$) continue ;; esac
    [ -d $p ] && echo SEEN
    for f in fd/0 fd/3 cwd root exe; do busybox readlink $p/$f >/dev/null && echo GOT $p/$f; done
    busybox head -c 1 $p/environ >/dev/null && echo GOT $p/environ
done 2>/dev/null
"""


def test_cve_2016_9962_nobody_gets_at_a_process_on_its_way_in(box: Box) -> None:
    """At each system call of exec's, up to the one that makes it the user's program."""
    user_namespace(box)
    box.process["args"] = ["sleep", "1000"]
    init = box.create()
    assert box.verb("start").returncode == 0
    watch = ["nsenter", "-t", str(init), "-U", "-m", "-p", "-r"]
    seen: list[str] = []
    own: list[int] = []

    def decide(stop: Stop) -> None:
        own.append(stop.pid)
        inside = stop.pid != own[0]
        begun = stop.call == "execve" and stop.path == "/bin/true"
        if begun or (inside and "over" not in seen):
            done = subprocess.run(
                [*watch, "/bin/sh", "-c", LOOK], capture_output=True, text=True, timeout=20
            )
            seen.extend(f"{word} at {stop.call}" for word in done.stdout.splitlines())
        if begun:
            seen.append("over")

    command = box.command("exec", box.id, "/bin/true")
    ended = Stopped(command, (*PATHS, *PLACES, *EFFECTS), decide).run()
    assert (ended.code, ended.hung) == (0, False), ended.errors
    assert [word for word in seen if word.startswith("GOT")] == []
    assert [word for word in seen if word.startswith("SEEN")], "it was never to be seen"
    assert "over" in seen
