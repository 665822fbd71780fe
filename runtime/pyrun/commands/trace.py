# SPDX-License-Identifier: Apache-2.0
"""trace: the slowest steps in a file that --trace has written."""

from __future__ import annotations

import sys

from pyrun import config, jsonscan
from pyrun.errors import Error, from_os
from pyrun.log import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.types import Options

    Event = dict[str, Any]

SLOWEST = 10
WIDTH = 80  # characters of an operation
WAIT = "wait"  # the category of a step in which another one works


def run(opts: Options) -> int:
    """Prints them, by the time that they have taken themselves. Raises Error."""
    path = opts["file"]
    try:
        data = config.read_open(0) if path == "-" else config.read_limited(path)
    except OSError as error:
        raise from_os(error, f"read {path}") from None
    events = slices(data, path)
    sys.stdout.write(report(events))
    return 0


def slices(data: bytes, path: str) -> list[Event]:
    """The steps in a trace: those of its events that have a duration. Raises Error."""
    document: Any = jsonscan.loads(data, path)
    try:
        found = [event for event in document["traceEvents"] if event["ph"] == "X"]
        for event in found:
            float(event["ts"]), float(event["dur"]), str(event["name"]), event["pid"], event["tid"]
    except (ValueError, TypeError, LookupError):
        raise Error(f"{path}: not a trace that --trace has written") from None
    if not found:
        raise Error(f"{path}: there is no step in it")
    return found


def own_times(events: list[Event]) -> list[tuple[float, Event]]:
    """(microseconds that it took without the steps inside of it, step) of each."""
    found: list[tuple[float, Event]] = []
    tracks: dict[Any, list[Event]] = {}
    for event in events:
        tracks.setdefault((event["pid"], event["tid"]), []).append(event)
    for track in tracks.values():
        track.sort(key=lambda event: (event["ts"], -event["dur"]))
        own = [event["dur"] for event in track]
        around: list[tuple[int, int]] = []  # the steps that go on: their ends and indices
        for index, event in enumerate(track):
            # Whole nanoseconds: one that begins when another ends is not inside of it.
            start, length = round(event["ts"] * 1000), round(event["dur"] * 1000)
            while around and start >= around[-1][0]:
                around.pop()
            if around:
                own[around[-1][1]] -= event["dur"]
            around.append((start + length, index))
        found += zip(own, track, strict=True)
    return found


def report(events: list[Event]) -> str:
    """For a person."""
    begin = min(event["ts"] for event in events)
    total = max(event["ts"] + event["dur"] for event in events) - begin
    names = {event["pid"]: event["name"] for event in events if event.get("cat") == "verb"}
    steps = [entry for entry in own_times(events) if entry[1].get("cat") not in (WAIT, "verb")]
    steps.sort(key=lambda entry: -entry[0])
    lines = [f"{total / 1000:.2f} ms in all; the slowest steps, without those inside of them:", ""]
    for own, event in steps[:SLOWEST]:
        where = "pyrun" if event["pid"] in names else "executor"
        more = event.get("args") or {}
        what = more.get("operation") or event["name"]
        field = f"  ({more['field']})" if more.get("field") else ""
        share = 100 * own / total if total else 0
        what = what if len(what) <= WIDTH else what[: WIDTH - 1] + "…"
        lines.append(f"{own / 1000:9.3f} ms {share:5.1f} %  {where:<9} {what}{field}")
    return "\n".join(printable(line) for line in lines) + "\n"
