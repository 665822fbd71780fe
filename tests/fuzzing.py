# SPDX-License-Identifier: Apache-2.0
"""How long hypothesis goes on: a few examples, always the same, or with PYRUN_FUZZ=N so many times
as many, others each time (`make fuzz`). What it finds is kept in .hypothesis/ and tried first."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis.database import DirectoryBasedExampleDatabase

TIMES = int(os.environ.get("PYRUN_FUZZ", "0"))
FOUND = Path(__file__).parents[1] / "build/fuzz/hypothesis"


def short(examples: int) -> settings:
    """The settings of a test that tries so many when it is one of all tests."""
    return settings(
        max_examples=examples * max(1, TIMES),
        deadline=None,
        derandomize=not TIMES,
        database=DirectoryBasedExampleDatabase(FOUND) if TIMES else None,
        suppress_health_check=list(HealthCheck),
        phases=[phase for phase in Phase if phase != Phase.explain],
    )
