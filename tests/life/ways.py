# SPDX-License-Identifier: Apache-2.0
"""On which ways a test goes with pyrun: the same must come of each.

Every test runs twice: as it is, and with PYRUN_NO_FAST=1, where Python carries out every verb
(docs/fast.md). @one_way("why") takes the second one from a test that is about one of them, or that
chooses itself. What is marked `again` runs once more, with every exec after another one of the same
words, which leaves a template for it; what is marked `warmed`, with every container after another
one of its bundle. test_ways.py looks whether these are what they are said to be.

With PYRUN_ONE_WAY=1 the second way and `warmed` are for those tests alone whose ids are given: in a
virtual machine (docs/vm.md) all takes longer.
"""

from __future__ import annotations

import os

import pytest

MARKERS = (
    "one_way(why): with pyrun, not once more where no verb goes without Python",
    "again: with pyrun, also where each exec has been there before",
    "warmed: with pyrun, also where a container of the same shape has been there before",
    "once: neither of these two, for it counts",
)
AS_IT_IS, PYTHON, AGAIN, WARMED = "", "python", "again", "warmed"


def courses(node: pytest.Function) -> list[str]:
    """Those of a test; the first has no name."""
    found = [AS_IT_IS]
    one_way = node.get_closest_marker("one_way")
    if one_way is None:
        found.append(PYTHON)
    elif not (one_way.args and one_way.args[0]):
        raise pytest.UsageError(f"{node.nodeid}: one_way does not say why")
    if not node.get_closest_marker("once"):
        found += [name for name in (AGAIN, WARMED) if node.get_closest_marker(name)]
    return found


def select(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Takes out what PYRUN_ONE_WAY leaves out."""
    if not os.environ.get("PYRUN_ONE_WAY"):
        return
    others = [item for item in items if _further(item) and item.nodeid not in config.args]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]


def _further(item: pytest.Item) -> bool:
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return parameters.get("runtime_course") in (PYTHON, WARMED)
