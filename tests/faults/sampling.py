# SPDX-License-Identifier: Apache-2.0
"""How much of a sweep is done: all of it with PYRUN_SWEEP=all (`make faults`), N points of each
verb with PYRUN_SWEEP=N, else as many points of as many verbs as the test says; chosen by
PYRUN_SWEEP_SEED."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
SEED = int(os.environ.get("PYRUN_SWEEP_SEED", "1"))
SWEEP = os.environ.get("PYRUN_SWEEP", "")
ALL = bool(SWEEP)  # of what is more than points


def sample(points: Sequence[T], count: int) -> list[T]:
    """`count` of them or all: one at random of each part of equal length."""
    count = int(SWEEP) if SWEEP.isdigit() else len(points) if ALL else count
    if len(points) <= count:
        return list(points)
    choose = random.Random(SEED)
    edges = [len(points) * part // count for part in range(count + 1)]
    return [points[choose.randrange(a, b)] for a, b in itertools.pairwise(edges)]


def tell(line: str) -> None:
    """A long sweep says at once what it has found: in the file $PYRUN_SWEEP_LOG."""
    if path := os.environ.get("PYRUN_SWEEP_LOG"):
        with open(path, "a") as file:
            file.write(f"{line}\n")
