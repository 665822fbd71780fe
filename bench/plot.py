# SPDX-License-Identifier: Apache-2.0
"""Results as a picture: a bar for each ratio, and a small plot for each curve.

SVG by hand, with its own background, so that it can be read on light and on dark pages.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape

import growth
import jobs

WIDTH, MARGIN = 880, 24
ROW, BAR = 34, 11  # a verb's height, a bar's
LABELS = 240  # the width of the verbs' names
LEAST, MOST = 1 / 128, 8  # the ratios at both ends of the axis
TICKS = ((1 / 64, "1/64"), (1 / 16, "1/16"), (1 / 4, "1/4"), (1, "1"), (4, "4"))
COLUMNS, PANEL_HEIGHT, GAP = 3, 190, 28
AT_ONCE, PEAK, WAITING = (
    "100 creates at once",
    "peak memory of create",
    "memory of the waiting init",
)
STYLE = """
.paper { fill: #ffffff } .text { fill: #1f2328 } .faint { fill: #59636e }
.line { stroke: #d1d9e0 } .axis { stroke: #59636e }
.pyrun { fill: #0969da; stroke: #0969da } .runc { fill: #bc4c00; stroke: #bc4c00 }
.crun { fill: #1a7f37; stroke: #1a7f37 } .bar { stroke: none }
.curve { fill: none; stroke-width: 2 }
text { font: 12px system-ui, sans-serif } .title { font-size: 15px; font-weight: 600 }
.small { font-size: 11px } .end { text-anchor: end } .middle { text-anchor: middle }
@media (prefers-color-scheme: dark) {
.paper { fill: #0d1117 } .text { fill: #f0f6fc } .faint { fill: #9198a1 }
.line { stroke: #3d444d } .axis { stroke: #9198a1 }
.pyrun { fill: #58a6ff; stroke: #58a6ff } .runc { fill: #f0883e; stroke: #f0883e }
.crun { fill: #3fb950; stroke: #3fb950 } .curve { fill: none } .bar { stroke: none }
}
"""


def draw(results: dict[str, Any]) -> str:
    """The whole picture; `results` is what run.measure() gives and --json writes."""
    bars = _ratios(results)
    names = [name for name in growth.NAMES if name in results.get("growth", {})]
    below = MARGIN + 60 + len(bars) * ROW + 30
    height = below + math.ceil(len(names) / COLUMNS) * (PANEL_HEIGHT + GAP) + 50
    body = [
        *_bars(bars, MARGIN),
        *_legend(results, below),
        *(
            line
            for index, name in enumerate(names)
            for line in _panel(name, results["growth"][name]["times"], *_place(index, below + 40))
        ),
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
            "<title>pyrun side by side with runc and crun</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="paper" width="{WIDTH}" height="{height}"/>',
            *body,
            "</svg>\n",
        ]
    )


def _ratios(results: dict[str, Any]) -> list[tuple[str, list[tuple[str, float]]]]:
    """(what, [(peer, ours by theirs)]); less than 1 is always the better for us."""
    peers = [name for name in results["contestants"] if name not in ("pyrun", "floor")]
    found: dict[str, list[tuple[str, float]]] = {}
    for verb in jobs.VERBS:
        for peer in peers:
            ratio = results.get("ratios", {}).get(peer, {}).get(verb)
            if ratio:
                found.setdefault(verb, []).append((peer, ratio["median"]))
    for peer in peers:
        if "at once" in results:  # a rate: the more the better
            rate = results["at once"]["ratios"][peer]["median"]
            found.setdefault(AT_ONCE, []).append((peer, 1 / rate))
        if "memory" in results:
            ours, theirs = results["memory"]["pyrun"], results["memory"][peer]
            found.setdefault(PEAK, []).append((peer, ours["create"] / theirs["create"]))
            ratio = _init(ours) / _init(theirs)
            found.setdefault(WAITING, []).append((peer, ratio))
    return list(found.items())


def _init(parts: dict[str, float]) -> float:
    return parts["init private"] + parts["init shared"]


def _bars(rows: list[tuple[str, list[tuple[str, float]]]], top: int) -> Iterator[str]:
    yield _text(MARGIN, top + 14, "pyrun's time or memory, divided by that of …", "title text")
    first = top + 56
    bottom = first + len(rows) * ROW
    for value, label in TICKS:
        kind = "axis" if value == 1 else "line"
        yield _line(_at(value), first - 8, _at(value), bottom, kind)
        yield _text(_at(value), first - 14, label, "small faint middle")
    yield _text(_at(1) - 8, bottom + 16, "← less than theirs", "small faint end")
    yield _text(_at(1) + 8, bottom + 16, "more →", "small faint")
    for index, (what, ratios) in enumerate(rows):
        middle = first + index * ROW + ROW / 2
        yield _text(MARGIN, middle, what, "text")
        for place, (peer, ratio) in enumerate(ratios):
            y = middle - 15 + place * (BAR + 2)
            left, right = sorted((_at(1), _at(ratio)))
            width = max(right - left, 1)
            yield (
                f'<rect class="bar {peer}" x="{left:.1f}" y="{y:.1f}" width="{width:.1f}" '
                f'height="{BAR}" rx="2"><title>{escape(what)}, {peer}: {ratio:.2f}</title></rect>'
            )
            label = f"{ratio:.2f}"
            if ratio < 1:
                yield _text(left - 4, y + 10, f"{peer} {label}", "small faint end")
            else:
                yield _text(right + 4, y + 10, f"{peer} {label}", "small faint")


def _at(ratio: float) -> float:
    """The place of a ratio on the bars' axis, which is logarithmic."""
    held = min(max(ratio, LEAST), MOST)
    part = math.log(held / LEAST) / math.log(MOST / LEAST)
    return MARGIN + LABELS + part * (WIDTH - 2 * MARGIN - LABELS - 70)


def _legend(results: dict[str, Any], top: int) -> Iterator[str]:
    yield _text(MARGIN, top + 20, "Median time in ms, by number of …", "title text")
    x = WIDTH - MARGIN
    for name in ("crun", "runc", "pyrun"):
        if name in results["contestants"]:
            yield _text(x, top + 20, name, "text end")
            yield f'<circle class="bar {name}" cx="{x - 44}" cy="{top + 16}" r="4"/>'
            x -= 70


def _place(index: int, top: int) -> tuple[float, float]:
    width = (WIDTH - 2 * MARGIN + GAP) / COLUMNS
    return MARGIN + index % COLUMNS * width, top + index // COLUMNS * (PANEL_HEIGHT + GAP)


def _panel(
    name: str, times: dict[str, dict[str, dict[str, float]]], left: float, top: float
) -> Iterator[str]:
    """One curve of each contestant: points at even distances, times from 0."""
    width = (WIDTH - 2 * MARGIN + GAP) / COLUMNS - GAP - 36
    points = list(next(iter(times.values())))
    most = max(found["median"] for line in times.values() for found in line.values()) / 1e6
    step = _step(most)
    high = step * math.ceil(most / step)
    x0, y0 = left + 30, top + PANEL_HEIGHT - 20
    tall = PANEL_HEIGHT - 50
    yield _text(left, top + 14, name, "text")
    for count in range(round(high / step) + 1):
        y = y0 - count * step / high * tall
        yield _line(x0, y, x0 + width, y, "axis" if count == 0 else "line")
        yield _text(x0 - 5, y + 4, f"{count * step:g}", "small faint end")
    xs = {
        point: x0 + 8 + index * (width - 16) / max(len(points) - 1, 1)
        for index, point in enumerate(points)
    }
    for point, x in xs.items():
        yield _text(x, y0 + 15, point, "small faint middle")
    for who, line in times.items():
        places = {
            point: (xs[point], y0 - found["median"] / 1e6 / high * tall)
            for point, found in line.items()
        }
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in places.values())
        yield f'<polyline class="curve {who}" points="{corners}"/>'
        for point, (x, y) in places.items():
            value = line[point]["median"] / 1e6
            yield (
                f'<circle class="bar {who}" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>'
                f"{escape(name)}, {point}, {who}: {value:.2f} ms</title></circle>"
            )


def _step(most: float) -> float:
    """Of an axis with three to six lines: 1, 2 or 5 times a power of ten."""
    rough = most / 4
    power = 10.0 ** math.floor(math.log10(rough))
    return float(next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough))


def _text(x: float, y: float, words: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
