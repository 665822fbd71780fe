# SPDX-License-Identifier: Apache-2.0
"""The statistics of the benchmark."""

from __future__ import annotations

import pytest
import spread


@pytest.mark.parametrize(
    ("values", "fraction", "expected"),
    [
        ([7], 0.5, 7),
        ([3, 1, 2], 0.5, 2),
        ([4, 1, 3, 2], 0.5, 2.5),
        ([1, 2, 3, 4, 5], 0, 1),
        ([1, 2, 3, 4, 5], 1, 5),
        ([0, 10], 0.9, 9),
        (list(range(101)), 0.1, 10),
    ],
)
def test_percentile(values: list[float], fraction: float, expected: float) -> None:
    assert spread.percentile(values, fraction) == pytest.approx(expected)


def test_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        spread.percentile([], 0.5)


def test_one_slow_round_moves_neither_median_nor_mad() -> None:
    calm = spread.summary([10, 11, 12, 13, 14])
    noisy = spread.summary([10, 11, 12, 13, 14_000])
    assert calm["median"] == noisy["median"] == 12
    assert calm["mad"] == noisy["mad"] == 1
    assert (calm["min"], calm["runs"]) == (10, 5)


def test_the_ratio_is_taken_round_by_round() -> None:
    """A machine that slows down meanwhile changes every time, and no ratio."""
    theirs = [10.0, 20.0, 40.0]
    assert spread.ratio([5.0, 10.0, 20.0], theirs) == {"p10": 0.5, "median": 0.5, "p90": 0.5}
    assert spread.ratio([20.0, 20.0, 20.0], theirs)["median"] == 1.0


def test_a_ratio_needs_as_many_rounds_of_both() -> None:
    with pytest.raises(ValueError, match="1 rounds against 2"):
        spread.ratio([1.0], [1.0, 2.0])
