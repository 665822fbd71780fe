# SPDX-License-Identifier: Apache-2.0
"""Times of the command line."""

from __future__ import annotations

import pytest

from pyrun import duration
from pyrun.errors import Error


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5s", 5), ("100ms", 0.1), ("1m", 60), ("1h1m1s", 3661), ("1.5s", 1.5), (".5s", 0.5),
     ("1.s", 1), ("20us", 2e-5), ("20µs", 2e-5), ("7ns", 7e-9)],
)  # fmt: skip
def test_as_go_reads_it(text: str, seconds: float) -> None:
    assert duration.seconds(text, "--interval") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "5d", "-1s", "+1s", "1s2", "٣s", "1e3s"])
def test_no_duration(text: str) -> None:
    with pytest.raises(Error, match="--interval .*: not a duration: a number with a unit"):
        duration.seconds(text, "--interval")


@pytest.mark.parametrize("text", ["0s", "0h0m", "9999999h"])
def test_out_of_range(text: str) -> None:
    with pytest.raises(Error, match=f"--interval {text}: a duration must be greater than 0"):
        duration.seconds(text, "--interval")
