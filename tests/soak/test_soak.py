# SPDX-License-Identifier: Apache-2.0
"""The loads of `make soak`, small."""

from __future__ import annotations

import pytest

from life import leftovers
from needs import needs
from soak import loads

pytestmark = [needs("root", "busybox", "cc")]


def test_small_loads() -> None:
    leftovers.become_subreaper(yes=True)
    try:
        with leftovers.own_view():
            found = loads.soak("pyrun", 0.001)
    finally:
        leftovers.become_subreaper(yes=False)
    assert found["left"] == "nothing"
    failed = {what: count for what, count in found.items() if what.endswith("failed")}
    assert len(failed) == 3
    assert set(failed.values()) == {"0"}
    assert found["runtime processes beside 5 idle containers"] == "0"


def test_what_is_left_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def untidy(yard: loads.Yard, _scale: float, _into: dict[str, str]) -> None:
        assert yard.container().create().code == 0

    monkeypatch.setattr(loads, "LOADS", (untidy,))
    leftovers.become_subreaper(yes=True)
    try:
        with leftovers.own_view():
            found = loads.soak("pyrun", 0.001)
    finally:
        leftovers.become_subreaper(yes=False)
    assert "1 state" in found["left"]
    assert "1 processes" in found["left"]
