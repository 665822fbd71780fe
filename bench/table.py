# SPDX-License-Identifier: Apache-2.0
"""Results as text: columns that line up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jobs

FLOOR = "floor"
MEMORY = (*jobs.VERBS[:1], *jobs.VERBS[2:], "init private", "init shared", "init Pss", "init peak")


def lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as text; the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def render(results: dict[str, Any]) -> str:
    """The whole report; `results` is what run.measure() gives and --json writes."""
    names = list(results["contestants"])
    peers = [name for name in names if name in results["ratios"]]
    parts = [f"{key}: {value}" for key, value in results["machine"].items()]
    parts += [f"{name}: {version}" for name, version in results["contestants"].items()]
    parts += [f"skipped: {sentence}" for sentence in results["skipped"]]
    parts += ["", "time in ms: median (p10 to p90), and the ratio of pyrun to each, round by round"]
    parts += lines(_times(results, names, peers))
    parts += ["", "memory in KiB: peak of the runtime in each verb, then the init that waits"]
    parts += lines(_memory(results, names, peers))
    return "\n".join(parts)


def _times(results: dict[str, Any], names: list[str], peers: list[str]) -> list[list[str]]:
    rows = [["", *names, *(f"/ {peer}" for peer in peers)]]
    for verb in jobs.VERBS:
        row = [verb]
        for name in names:
            found = results["times"][name][verb]
            low, middle, high = (found[key] / 1e6 for key in ("p10", "median", "p90"))
            row.append(f"{middle:.2f} ({low:.2f} to {high:.2f})")
        for peer in peers:
            found = results["ratios"][peer][verb]
            row.append(f"{found['median']:.2f} ({found['p10']:.2f} to {found['p90']:.2f})")
        rows.append(row)
    return rows


def _memory(results: dict[str, Any], names: list[str], peers: list[str]) -> list[list[str]]:
    rows = [["", *names, *(f"/ {peer}" for peer in peers)]]
    for part in MEMORY:
        values = {name: results["memory"][name][part] for name in names}
        ratios = [f"{values['pyrun'] / max(values[peer], 1):.2f}" for peer in peers]
        rows.append([part, *(f"{values[name]:.0f}" for name in names), *ratios])
    return rows
