# SPDX-License-Identifier: Apache-2.0
"""Many containers created at once: how many a second on two processors."""

from __future__ import annotations

import os
from collections.abc import Sequence

import contestants
import process

COUNT = 100
PROCESSORS = 2


def measure(
    there: Sequence[contestants.Runtime], commands: process.Commands, count: int, rounds: int
) -> dict[str, list[float]]:
    """{contestant: containers a second in each round}, from the first start of a create to the end
    of the last; all creates are started before any is waited for. Raises process.CommandError."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:PROCESSORS])
    found: dict[str, list[float]] = {runtime.name: [] for runtime in there}
    try:
        for number in range(rounds):
            turn = number % len(there)
            for runtime in (*there[turn:], *there[:turn]):
                crowd = [runtime.another(f"{number}-{index}") for index in range(count)]
                lines = [one.create(contestants.WAITING) for one in crowd]
                process.settle(count)
                taken = commands.many(lines, jobs=count)
                found[runtime.name].append(count / (taken / 1e9))
                process.end([one.pid() for one in crowd])
                commands.many([one.verb("delete") for one in crowd], jobs=PROCESSORS)
    finally:
        os.sched_setaffinity(0, allowed)
    return found
