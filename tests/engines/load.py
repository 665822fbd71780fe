# SPDX-License-Identifier: Apache-2.0
"""Many containers at once by an engine, and what a node has of them."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Sequence

from .host import Failed, Host, eventually

COUNT = 100 if os.environ.get("PYRUN_ENGINES") else 20  # that a test starts
TIMEOUT = 900.0


def at_once(host: Host, line: Sequence[str], numbers: range, jobs: int) -> tuple[float, list[str]]:
    """Runs the command once a number, which replaces {} in its words, so many at a time: seconds,
    and what was printed. Raises Failed when one of them fails."""
    script = f'seq {numbers.start} {numbers.stop - 1} | xargs -P {jobs} -I {{}} "$@"'
    words = ["sh", "-c", script, "sh", *line]
    begin = time.monotonic()
    result = host(*words, timeout=TIMEOUT)
    taken = time.monotonic() - begin
    if result.code != 0:
        raise Failed(words[3:], result)
    return taken, result.out.splitlines()


def left(host: Host, before: Sequence[str], prefix: str, roots: Sequence[str]) -> list[str]:
    """What there is more than before, some seconds later at the latest: processes, cgroups whose
    names begin with this, what runtimes keep in these folders."""

    def found() -> list[str]:
        states = [place for root in roots for place in host.path(root).glob("[!.]*")]
        cgroups = [f"cgroup {path}" for path in host.cgroups_of(prefix)]
        processes = Counter(host.processes()) - Counter(before)
        return [*(f"state {place.name}" for place in states), *cgroups, *processes.elements()]

    eventually(lambda: not found(), 20)
    return found()


def memory_of(host: Host, pids: Sequence[int]) -> int:
    """KiB that these processes take, what they share divided among those who share it."""
    total = 0
    for pid in pids:
        text = host.path(f"/proc/{pid}/smaps_rollup").read_text()
        total += int((re.search(r"^Pss: +(\d+)", text, re.MULTILINE) or [0, 0])[1])
    return total


def pids_of(host: Host, word: str) -> list[int]:
    """Of the processes whose program's name begins with this."""
    found = []
    for entry in host.path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "comm").read_text().startswith(word):
                    found.append(int(entry.name))
            except OSError:
                continue  # it has just ended
    return found


def size_of(host: Host, folder: str) -> int:
    """KiB of the files below a folder, as they lie in its file system."""
    if not host.path(folder).exists():
        return 0
    return int(host.ask("du", "-sk", folder).split()[0])
