# SPDX-License-Identifier: Apache-2.0
"""What each container uses at a moment, and how that reads in a table: what `top` shows."""

from __future__ import annotations

import time

from pyrun import init, listing
from pyrun.cgroup import stats
from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.state import Container
    from pyrun.types import Config, Options

NO_LIMIT = 1 << 60  # bytes: v1 says the largest multiple of a page, v2 the largest number
COLUMNS = (
    ("ID", "STATUS", "CPU%", "MEMORY", "LIMIT", "MEM%", "PIDS", "READ", "WRITTEN")
    + ("CPU WAIT%", "MEM WAIT%", "IO WAIT%")
)  # fmt: skip
PLACES = {"cpu": "cpu", "memory": "memory", "io": "blkio"}  # resource -> member of statistics
TEXTS = 2  # of them stand to the left
UNKNOWN = "-"


def sample(opts: Options) -> list[Config]:
    """A row a container, in the order of the ids. Raises Error as listing.each() does."""
    return listing.each(opts, _row)


def _row(container: Container) -> Config:
    status = init.status(container)
    found: Config = {"id": container.id, "status": status}
    data: Config = {}
    moment = time.monotonic_ns()
    if status != init.STOPPED:
        try:
            data = stats.read(container.intent["cgroup"])
        except Error:
            pass  # it has none, or has just ended: the row stays, without numbers
    return {**found, "moment": moment, **numbers(data)}


def numbers(data: Config) -> Config:
    """What a row shows of statistics in runc's shape; None for what is not counted."""
    memory = data.get("memory", {}).get("usage", {})
    limit = memory.get("limit") or NO_LIMIT
    blkio = data.get("blkio", {})
    return {
        "cpu_time": data.get("cpu", {}).get("usage", {}).get("total"),
        "memory": memory.get("usage"),
        "memory_limit": limit if limit < NO_LIMIT else None,
        "pids": data.get("pids", {}).get("current"),
        "read": _bytes(blkio, "Read"),
        "written": _bytes(blkio, "Write"),
        "pressure": {name: _some(data, place) for name, place in PLACES.items()},
    }


def _bytes(blkio: Config, op: str) -> int | None:
    """Of all devices; None before the first transfer, as where nobody counts."""
    entries: list[Config] | None = blkio.get("ioServiceBytesRecursive")
    if entries is None:
        return None
    return sum([int(entry.get("value", 0)) for entry in entries if entry.get("op") == op])


def _some(data: Config, place: str) -> float | None:
    found: float | None = data.get(place, {}).get("psi", {}).get("some", {}).get("avg10")
    return found


def compared(now: list[Config], before: list[Config]) -> list[Config]:
    """The rows of `now`, with the share of a cpu since `before`: 100 is one cpu, all the time."""
    earlier = {row["id"]: row for row in before}
    found = []
    for row in now:
        rest = {name: value for name, value in row.items() if name not in ("moment", "cpu_time")}
        found.append({**rest, "cpu_percent": _share(row, earlier.get(row["id"]))})
    return found


def _share(row: Config, before: Config | None) -> float | None:
    if before is None or row["cpu_time"] is None or before["cpu_time"] is None:
        return None
    span = row["moment"] - before["moment"]
    spent = row["cpu_time"] - before["cpu_time"]
    # Less than before: another container with the same id.
    return round(100 * spent / span, 1) if span > 0 and spent >= 0 else None


def table(rows: list[Config]) -> list[str]:
    """Lines with a heading, the busiest container first."""
    busiest = sorted(rows, key=lambda row: (-(row["cpu_percent"] or 0), row["id"]))
    cells = [COLUMNS, *map(_cells, busiest)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(_aligned(line, widths)).rstrip() for line in cells]


def _aligned(line: tuple[str, ...], widths: list[int]) -> list[str]:
    places = list(zip(line, widths, strict=True))
    left = [f"{cell:<{width}}" for cell, width in places[:TEXTS]]
    return left + [f"{cell:>{width}}" for cell, width in places[TEXTS:]]


def _cells(row: Config) -> tuple[str, ...]:
    used, limit = row["memory"], row["memory_limit"]
    share = 100 * used / limit if used is not None and limit else None
    return (
        row["id"],
        row["status"],
        _percent(row["cpu_percent"]),
        size(used),
        size(limit),
        _percent(share),
        UNKNOWN if row["pids"] is None else str(row["pids"]),
        size(row["read"]),
        size(row["written"]),
        *(_percent(row["pressure"][name]) for name in PLACES),
    )


def _percent(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.1f}"


def size(count: int | None) -> str:
    """Bytes in powers of 1024, in at most 6 characters."""
    if count is None:
        return UNKNOWN
    value, unit = float(count), "B"
    for larger in "KMGTPE":
        if value < 1000:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f}{unit}" if unit == "B" or value >= 100 else f"{value:.1f}{unit}"
