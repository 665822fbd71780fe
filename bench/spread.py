# SPDX-License-Identifier: Apache-2.0
"""What a series of measurements comes to: medians and percentiles, never means, because the noise
of a shared machine only ever adds."""

from __future__ import annotations

from collections.abc import Sequence


def percentile(values: Sequence[float], fraction: float) -> float:
    """The value below which `fraction` (0 to 1) of the values lie, interpolated between two."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    place = (len(ordered) - 1) * fraction
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return percentile(values, 0.5)


def summary(values: Sequence[float]) -> dict[str, float]:
    """Minimum, 10th percentile, median, 90th percentile, MAD (the median distance from the median)
    and the number of values, in the unit of the values."""
    middle = median(values)
    return {
        "min": min(values),
        "p10": percentile(values, 0.1),
        "median": middle,
        "p90": percentile(values, 0.9),
        "mad": median([abs(value - middle) for value in values]),
        "runs": len(values),
    }


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """How ours compares with theirs, round by round: 0.5 is half the time.

    The two series are of the same rounds; what disturbed a round disturbed both. Gives the median
    of the rounds' ratios, and their 10th and 90th percentile.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} rounds against {len(theirs)}")
    pairs = [one / other for one, other in zip(ours, theirs, strict=True)]
    return {
        "p10": percentile(pairs, 0.1),
        "median": median(pairs),
        "p90": percentile(pairs, 0.9),
    }
