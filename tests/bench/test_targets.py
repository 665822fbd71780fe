# SPDX-License-Identifier: Apache-2.0
"""What pyrun is to reach, and whether the figures in docs/ do."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import page
import pytest
import targets

from .figures import made_up

DOCS = Path(__file__).parent.parent.parent / "docs"


def test_the_figures_in_the_docs_reach_all_of_them() -> None:
    found = json.loads((DOCS / page.FIGURES).read_text())
    assert targets.missed(found) == []
    # Those of times, of many at once, of peaks and of the init; the limit's is in the page's text.
    wanted = 2 * len(targets.TIMES) + len(targets.AT_ONCE) + 7 * len(targets.PEAK) + 2
    assert targets.count(found) >= wanted


def test_what_is_missed() -> None:
    """In the made up ones pyrun takes half of runc's and twice of crun's, also of memory."""
    lines = targets.missed(made_up())
    assert "start: 2.00 of crun's, at most 1.0 is wanted" in lines
    assert "cgroup v2: start: 2.00 of crun's, at most 1.0 is wanted" not in lines  # not measured
    assert "containers at once: 0.50 of crun's, at least 0.7 is wanted" in lines
    assert "memory of the waiting init: 0.50 of runc's, at most 0.1 is wanted" in lines
    assert not [line for line in lines if line.startswith(("run", "exec", "peak", "smallest"))]


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (("ratios", "runc", "run", "median"), 0.71, "run: 0.71 of runc's"),
        (("unified", "ratios", "runc", "exec", "median"), 0.8, "cgroup v2: exec: 0.80 of runc's"),
        (("at once", "ratios", "runc", "median"), 1.4, "containers at once: 1.40 of runc's"),
        (("memory", "pyrun", "create"), 5000.0, "peak memory of create: 1.25 of runc's"),
        (("least memory", "pyrun"), 3000, "smallest memory limit: 0.33 of runc's"),
    ],
)
def test_each_kind(path: tuple[str, ...], value: float, line: str) -> None:
    found: Any = copy.deepcopy(made_up())
    place = found
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert [one for one in targets.missed(found) if one.startswith(line)]
    assert targets.count(found) == targets.count(made_up())


def test_without_figures_nothing_is_judged() -> None:
    assert targets.count({}) == 0
    assert targets.missed({}) == []
