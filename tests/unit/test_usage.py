# SPDX-License-Identifier: Apache-2.0
"""The rows and the screen of `top`."""

from __future__ import annotations

from typing import Any

import pytest

from pyrun import screen, usage

STATS: dict[str, Any] = {
    "cpu": {"usage": {"total": 5_000_000}, "psi": {"some": {"avg10": 1.5}}},
    "memory": {"usage": {"limit": 64 << 20, "usage": 16 << 20}},
    "pids": {"current": 3},
    "blkio": {
        "ioServiceBytesRecursive": [
            {"major": 8, "op": "Read", "value": 1024},
            {"major": 8, "minor": 16, "op": "Read", "value": 1024},
            {"major": 8, "op": "Write"},
            {"major": 8, "op": "Total", "value": 2048},
        ]
    },
}


def row(name: str, moment: int, cpu_time: int | None) -> dict[str, Any]:
    found = {"id": name, "status": "running", "moment": moment, **usage.numbers(STATS)}
    return {**found, "cpu_time": cpu_time}


def test_numbers() -> None:
    assert usage.numbers(STATS) == {
        "cpu_time": 5_000_000,
        "memory": 16 << 20,
        "memory_limit": 64 << 20,
        "pids": 3,
        "read": 2048,
        "written": 0,
        "pressure": {"cpu": 1.5, "memory": None, "io": None},
    }


@pytest.mark.parametrize("limit", [2**64 - 1, 9223372036854771712, 0])
def test_no_limit(limit: int) -> None:
    assert usage.numbers({"memory": {"usage": {"limit": limit}}})["memory_limit"] is None


def test_nothing_known() -> None:
    found = usage.numbers({})
    assert found.pop("pressure") == {"cpu": None, "memory": None, "io": None}
    assert set(found.values()) == {None}


@pytest.mark.parametrize(
    ("before", "percent"),
    [
        ([row("a", 0, 1_000_000)], 50.0),
        ([row("b", 0, 1_000_000)], None),
        ([row("a", 0, None)], None),
        ([row("a", 0, 9_000_000)], None),  # a new container of that name
        ([], None),
    ],
)
def test_share_of_the_cpu(before: list[dict[str, Any]], percent: float | None) -> None:
    (found,) = usage.compared([row("a", 4_000_000, 3_000_000)], before)
    assert found["cpu_percent"] == percent
    assert not {"moment", "cpu_time"} & found.keys()


def test_table() -> None:
    """The busiest first; the names to the left, the numbers to the right."""
    before = [row("calm", 0, 0), row("busy", 0, 0)]
    now = [row("calm", 100, 1), row("busy", 100, 250), row("new", 100, 9)]
    head, *lines = usage.table(usage.compared(now, before))
    assert head.split()[:5] == ["ID", "STATUS", "CPU%", "MEMORY", "LIMIT"]
    assert [line.split()[0] for line in lines] == ["busy", "calm", "new"]
    assert lines[0].split() == (
        "busy running 250.0 16.0M 64.0M 25.0 3 2.0K 0B 1.5 - -".split()  # noqa: SIM905
    )
    assert {len(line) for line in lines} == {len(head)}


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "-"), (0, "0B"), (999, "999B"), (1000, "1.0K"), (1 << 20, "1.0M"), (150 << 20, "150M"),
     (1 << 60, "1.0E")],
)  # fmt: skip
def test_sizes(count: int | None, text: str) -> None:
    assert usage.size(count) == text


def test_frame_fits_the_screen() -> None:
    found = screen.frame(["abcdef", "gh", "ij"], columns=4, rows=2)
    assert found == "abcd\x1b[K\r\ngh\x1b[K\x1b[J"
