# SPDX-License-Identifier: Apache-2.0
"""Results as tables: rows of cells, and the same as text in which columns line up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import growth
import jobs

FLOOR = "floor"
MEMORY = ("run", "create", "start", "exec", "state", "kill", "delete")
INIT = ("init private", "init shared", "init Pss", "init peak")
MISSING = "-"
Rows: TypeAlias = "list[list[str]]"


def sections(results: dict[str, Any]) -> list[tuple[str, Rows]]:
    """(what it shows, rows of which the first is the head) of all that was measured."""
    names = list(results["contestants"])
    peers = [name for name in names if name not in ("pyrun", FLOOR)]
    found = []
    if "times" in results:
        title = "time in ms: median (p10 to p90), and the ratio of pyrun to each, round by round"
        found.append((title, _times(results, names, peers)))
    if "unified" in results:
        title = "the same with cgroup v2 alone in view, without limits"
        found.append((title, _times(results["unified"], names, peers)))
    if "memory" in results:
        title = "memory in KiB: peak of the runtime in each verb, then the init that waits"
        found.append((title, _memory(results, names, peers)))
    if "least memory" in results:
        title = "smallest memory limit in which true runs, in KiB (cgroup v2)"
        found.append((title, _least(results["least memory"], peers)))
    if "at once" in results:
        title = f"{results['at once']['count']} containers created at once on two processors"
        found.append((title, _at_once(results["at once"], peers)))
    if results.get("growth"):
        title = "growth: time of the verb in ms, median, and the ratio of pyrun to each"
        found.append((title, _growth(results["growth"], peers)))
    return found


def render(results: dict[str, Any]) -> str:
    """The whole report as text; `results` is what run.measure() gives and --json writes."""
    parts = facts(results)
    for title, rows in sections(results):
        parts += ["", title, *lines(rows)]
    return "\n".join(parts)


def facts(results: dict[str, Any]) -> list[str]:
    """Where it was measured, of what, and what was not."""
    parts = [f"{key}: {value}" for key, value in results["machine"].items()]
    parts += [f"{name}: {version}" for name, version in results["contestants"].items()]
    return parts + [f"skipped: {sentence}" for sentence in results["skipped"]]


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


def _spread(found: dict[str, float] | None, unit: float = 1) -> str:
    if found is None:
        return MISSING
    low, middle, high = (found[key] / unit for key in ("p10", "median", "p90"))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def _median(found: dict[str, float] | None, unit: float = 1) -> str:
    return MISSING if found is None else f"{found['median'] / unit:.2f}"


def _times(results: dict[str, Any], names: list[str], peers: list[str]) -> Rows:
    rows = [["", *names, *(f"/ {peer}" for peer in peers)]]
    for verb in jobs.VERBS:
        row = [verb]
        row += [_spread(results["times"].get(name, {}).get(verb), 1e6) for name in names]
        row += [_spread(results["ratios"].get(peer, {}).get(verb)) for peer in peers]
        rows.append(row)
    return rows


def _memory(results: dict[str, Any], names: list[str], peers: list[str]) -> Rows:
    rows = [["", *names, *(f"/ {peer}" for peer in peers)]]
    for part in (*MEMORY, *INIT):
        values = {name: results["memory"][name][part] for name in names}
        ratios = [f"{values['pyrun'] / max(values[peer], 1):.2f}" for peer in peers]
        rows.append([part, *(f"{values[name]:.0f}" for name in names), *ratios])
    return rows


def _least(found: dict[str, int | None], peers: list[str]) -> Rows:
    values = [found[name] for name in ("pyrun", *peers)]
    cells = [MISSING if value is None else str(value) for value in values]
    return [["", "pyrun", *peers], ["limit", *cells]]


def _at_once(found: dict[str, Any], peers: list[str]) -> Rows:
    names = ["pyrun", *peers]
    rates = [_spread(found["rates"][name]) for name in names]
    ratios = [_spread(found["ratios"][peer]) for peer in peers]
    head = ["", *names, *(f"/ {peer}" for peer in peers)]
    return [head, ["containers a second", *rates, *ratios]]


def _growth(found: dict[str, Any], peers: list[str]) -> Rows:
    rows = [["", "", "pyrun", *peers, *(f"/ {peer}" for peer in peers)]]
    for name in growth.NAMES:
        if name not in found:
            continue
        times, ratios = found[name]["times"], found[name]["ratios"]
        for point in times["pyrun"]:
            first = name if point == next(iter(times["pyrun"])) else ""
            row = [first, point]
            row += [_median(times.get(who, {}).get(point), 1e6) for who in ("pyrun", *peers)]
            row += [_median(ratios.get(who, {}).get(point)) for who in peers]
            rows.append(row)
    return rows
