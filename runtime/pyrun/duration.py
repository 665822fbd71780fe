# SPDX-License-Identifier: Apache-2.0
"""Times on the command line, in the words of Go's time.ParseDuration, which runc's flags take."""

from __future__ import annotations

import re

from pyrun.errors import Error

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
LONGEST = 86400.0 * 365  # seconds; select(2) and its like take no more than some


def seconds(text: str, flag: str) -> float:
    """Seconds of a time as "5s", "1m30s" or "100ms", given with `flag`. Raises Error for anything
    else, and for what is not above 0."""
    at, total = 0, 0.0
    while match := _PART.match(text, at):
        total += float(match[1]) * _UNITS[match[2]]
        at = match.end()
    if not text or at < len(text):
        hint = "a number with a unit: 5s, 1m30s, 100ms"
        raise Error(f"{flag} {text!r}: not a duration", hint=hint)
    if not 0 < total <= LONGEST:
        raise Error(f"{flag} {text}: a duration must be greater than 0, and no more than a year")
    return total
