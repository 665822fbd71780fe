# SPDX-License-Identifier: Apache-2.0
"""That the benchmark refuses to compare what did different work."""

from __future__ import annotations

import samework

WORK: samework.Work = {
    "number of mounts": 2,
    "mounts": [("/", "ro", "ext4"), ("/proc", "rw", "proc")],
}


def test_the_same_work() -> None:
    assert samework.differences(WORK, dict(WORK)) == []


def test_a_fact_that_differs_is_named() -> None:
    assert samework.differences(WORK, {**WORK, "number of mounts": 3}) == [
        "number of mounts: 2 against 3"
    ]


def test_a_fact_that_only_one_has() -> None:
    assert samework.differences({**WORK, "Seccomp": ["2"]}, WORK) == ["Seccomp: ['2'] against None"]


def test_only_the_mounts_that_differ_are_shown() -> None:
    other: samework.Work = {**WORK, "mounts": [("/", "rw", "ext4"), ("/proc", "rw", "proc")]}
    assert samework.differences(WORK, other) == [
        "mounts: [('/', 'ro', 'ext4')] against [('/', 'rw', 'ext4')]"
    ]
