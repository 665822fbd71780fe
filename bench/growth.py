# SPDX-License-Identifier: Apache-2.0
"""How the time of a verb grows with what a config asks for, and with the containers there are.

To let something else grow, add a Curve.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import bundles
import contestants
import jobs
import process
import samework

# {contestant: {what has grown to: nanoseconds of each round}}
Times: TypeAlias = "dict[str, dict[int, list[int]]]"


class Curve(NamedTuple):
    """`run` of true, with `points` of something in the config."""

    name: str
    points: tuple[int, ...]
    change: Callable[[bundles.Config, Path, int], bundles.Config]
    fresh: bool = False  # whether no round may meet a filter that an earlier one had


CURVES = (
    Curve("mounts", (1, 10, 30, 100, 300), bundles.with_mounts),
    Curve("environment variables", (1, 10, 100, 1000), bundles.with_environment),
    Curve("seccomp rules", (1, 10, 100, 400), bundles.with_rules),
    Curve("seccomp rules never seen", (1, 10, 100, 400), bundles.with_rules, fresh=True),
)
LIVE_POINTS = (1, 10, 100, 500)
LIVE = {  # the curve of each verb beside live containers
    "list": "list, live containers",
    "state": "state, live containers",
    "create": "create, live containers",
}
NAMES = (*(curve.name for curve in CURVES), *LIVE.values())
KIB_A_CONTAINER = 12 * 1024  # of each kind: runc's init takes 9 MB, the kernel its part


def grow(
    there: Sequence[contestants.Runtime],
    commands: process.Commands,
    curve: Curve,
    points: Sequence[int],
    count: int,
) -> tuple[Times, list[str]]:
    """`count` interleaved rounds, each over all points, and a sentence for each contestant that
    did other work at the last point and is left out. Raises process.CommandError."""
    at_points = {
        runtime.name: {point: _with(runtime, curve, point) for point in points} for runtime in there
    }
    last = [at_points[runtime.name][points[-1]] for runtime in there]
    agreed, skipped = samework.agree(last[0], last[1:], commands, f"{curve.name}: ")
    names = [runtime.name for runtime in agreed]
    found: Times = {name: {point: [] for point in points} for name in names}
    for number in range(-1, count):
        turn = number % len(names)
        for point in points:
            for name in names[turn:] + names[:turn]:
                runtime = at_points[name][point]
                if curve.fresh:
                    runtime = _with(runtime, curve, point, mark=number + 2)
                taken = jobs.run(runtime, commands)["run"]
                if number >= 0:
                    found[name][point].append(taken)
    return found, skipped


def _with(
    runtime: contestants.Runtime, curve: Curve, point: int, mark: int = 0
) -> contestants.Runtime:
    suffix = f"{curve.name.replace(' ', '-')}-{point}"
    if mark:  # made anew: its bundle is another
        return runtime.another(
            f"{suffix}-{mark}", bundles.with_rules(runtime.config, runtime.work, point, mark)
        )
    return runtime.another(suffix, curve.change(runtime.config, runtime.work, point))


class Live:
    """Containers that wait for their start, as many of each contestant's."""

    def __init__(self, there: Sequence[contestants.Runtime], commands: process.Commands) -> None:
        self._there = there
        self._commands = commands
        self._live: dict[str, list[contestants.Runtime]] = {one.name: [] for one in there}

    def measure(self, points: Sequence[int], count: int) -> tuple[dict[str, Times], list[str]]:
        """{curve: times}, and a sentence for each point for which there is no memory.

        Raises process.CommandError.
        """
        found: dict[str, Times] = {
            curve: {runtime.name: {} for runtime in self._there} for curve in LIVE.values()
        }
        skipped = []
        try:
            for point in points:
                if (lack := self._lack(point)) > 0:
                    skipped.append(f"{point} live containers of each need {lack} MiB more memory")
                    continue
                for runtime in self._there:
                    self._fill(runtime, point)
                process.settle(point)
                for number in range(-1, count):
                    self._round(found, point, number)
        finally:
            self._remove()
        return found, skipped

    def _lack(self, point: int) -> int:
        more = sum(point - len(live) for live in self._live.values())
        return (more * KIB_A_CONTAINER - _available()) // 1024

    def _fill(self, runtime: contestants.Runtime, point: int) -> None:
        live = self._live[runtime.name]
        more = [runtime.another(f"live-{number}") for number in range(len(live), point)]
        live += more  # before: what a failed create leaves is removed as well
        self._commands.many([one.create(contestants.WAITING) for one in more], jobs=2)

    def _round(self, found: dict[str, Times], point: int, number: int) -> None:
        turn = number % len(self._there)
        for runtime in (*self._there[turn:], *self._there[:turn]):
            one = self._live[runtime.name][number % point]
            more = runtime.another(f"more-{point}-{number}")
            taken = {
                "list": self._commands.time(runtime.list_all()),
                "state": self._commands.time(one.verb("state")),
                "create": self._commands.time(more.create(contestants.WAITING)),
            }
            process.end([more.pid()])
            self._commands.time(more.verb("delete"))
            for verb, curve in LIVE.items():
                series = found[curve][runtime.name].setdefault(point, [])
                if number >= 0:
                    series.append(taken[verb])

    def _remove(self) -> None:
        for live in self._live.values():
            made = [one for one in live if one.pid_file.exists()]
            process.end([one.pid() for one in made])
            self._commands.many([one.verb("delete") for one in made], jobs=2)


def _available() -> int:
    """KiB: proc_meminfo(5)."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1])
    return 0
