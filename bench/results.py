# SPDX-License-Identifier: Apache-2.0
"""What was measured, as JSON-able data: summaries, ratios, and every time in hyperfine's form."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import growth
import spread

OURS, FLOOR = "pyrun", "floor"
Results: TypeAlias = "dict[str, Any]"


def times(series: Mapping[str, Mapping[str, Sequence[int]]]) -> Results:
    """{contestant: {verb: nanoseconds of each round}}: "times", "ratios" and "results"."""
    ours = series[OURS]
    return {
        "times": {
            name: {verb: spread.summary(values) for verb, values in verbs.items() if values}
            for name, verbs in series.items()
        },
        "ratios": {
            name: {
                verb: spread.ratio(ours[verb], values) for verb, values in verbs.items() if values
            }
            for name, verbs in series.items()
            if name not in (OURS, FLOOR)
        },
        "results": [
            hyperfine(f"{name} {verb}", values)
            for name, verbs in series.items()
            for verb, values in verbs.items()
            if values
        ],
    }


def curve(name: str, series: growth.Times) -> Results:
    """One curve: "times" and "ratios" at each of its points, whose names are their numbers."""
    ours = series[OURS]
    return {
        "times": {
            who: {str(point): spread.summary(values) for point, values in points.items()}
            for who, points in series.items()
        },
        "ratios": {
            who: {str(point): spread.ratio(ours[point], values) for point, values in points.items()}
            for who, points in series.items()
            if who != OURS
        },
        "results": [
            hyperfine(f"{who} {name}", values, {name: str(point)})
            for who, points in series.items()
            for point, values in points.items()
        ],
    }


def rates(series: Mapping[str, Sequence[float]]) -> Results:
    """{contestant: containers a second of each round}."""
    ours = series[OURS]
    return {
        "rates": {name: spread.summary(values) for name, values in series.items()},
        "ratios": {
            name: spread.ratio(ours, values) for name, values in series.items() if name != OURS
        },
    }


def hyperfine(
    command: str, values: Sequence[int], parameters: dict[str, str] | None = None
) -> Results:
    """An entry of `results` as `hyperfine --export-json` writes it, in seconds. Without the times
    of the processor, which are not taken. `values`: nanoseconds."""
    seconds = [round(value / 1e9, 6) for value in values]
    entry = {
        "command": command,
        "mean": round(statistics.fmean(seconds), 6),
        "stddev": round(statistics.stdev(seconds), 6) if len(seconds) > 1 else None,
        "median": round(spread.median(seconds), 6),
        "min": min(seconds),
        "max": max(seconds),
        "times": seconds,
        "exit_codes": [0] * len(seconds),  # what ends otherwise is no measurement: it raises
    }
    return {**entry, "parameters": parameters} if parameters else entry


def dump(found: Results) -> str:
    """As JSON, in which a list of numbers takes one line."""
    return _text(found, "") + "\n"


def _text(value: Any, indent: str) -> str:
    inner = indent + " "
    if isinstance(value, dict) and any(isinstance(one, dict | list) for one in value.values()):
        rows = [f"{inner}{json.dumps(key)}: {_text(one, inner)}" for key, one in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(one, dict | list) for one in value):
        return "[\n" + ",\n".join(inner + _text(one, inner) for one in value) + f"\n{indent}]"
    return json.dumps(value)
