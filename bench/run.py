# SPDX-License-Identifier: Apache-2.0
"""Measures pyrun side by side with the distribution's runc and crun and the kernel's own floor.

    bench/run.py [--quick] [--runs N] [--only PART]... [--json FILE] [--docs] [--check]
                 [--pyrun PATH]

Rounds are interleaved, and each round begins with another contestant: what the machine does
meanwhile meets all alike. Nothing is compared that did not make the same container.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bundles
import contestants
import crowd
import growth
import hierarchy
import jobs
import least
import machine
import page
import process
import results
import samework
import spread
import table
import targets

HERE = Path(__file__).parent
BUILD = HERE.parent / "build/bench"
PEERS = ("runc", "crun")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
RUNS, QUICK_RUNS = 100, 12
WARM_UP = 2  # rounds that are not counted: page cache, compiled caches
MEMORY_RUNS = 3  # memory hardly varies
GROWTH_ROUNDS, LIVE_ROUNDS, CROWD_ROUNDS, UNIFIED_ROUNDS = 15, 9, 5, 40
QUICK_CROWD, QUICK_POINTS = 5, 2  # how many of a curve's points --quick takes: the first
# In the order in which they are measured: what leaves the kernel much to take apart comes last.
PARTS = ("verbs", "unified", "growth", "memory", "least", "crowd", "live")


def options(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Measure pyrun side by side with runc, crun and the kernel's floor.",
    )
    parser.add_argument("--runs", type=int, metavar="N", help=f"rounds (default: {RUNS})")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_RUNS} rounds, short curves")
    parser.add_argument("--only", action="append", choices=PARTS, help="only this part; again: too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there too")
    parser.add_argument("--docs", action="store_true", help="write what is in docs/ anew")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    parser.add_argument("--pyrun", default=str(Path(sys.prefix) / "bin/pyrun"), metavar="PATH")
    found = parser.parse_args(words)
    if found.runs is None:
        found.runs = QUICK_RUNS if found.quick else RUNS
    if found.runs < 1:
        parser.error("--runs: at least 1")
    if found.docs and (found.only or found.quick):
        parser.error("--docs: takes everything, without --only and --quick")
    found.only = found.only or list(PARTS)
    return found


def assemble(
    pyrun: str, work: Path, commands: process.Commands
) -> tuple[list[contestants.Runtime], list[str]]:
    """The runtimes that take part, ours first, and a sentence for each that does not.

    Raises process.CommandError.
    """
    busybox = shutil.which("busybox", path=PATH)
    if busybox is None:
        raise process.CommandError("no busybox: install busybox-static")
    contestants.make_rootfs(work, busybox)
    bundles.make_volumes(work)
    config = contestants.default_config(pyrun, work, commands)
    ours = contestants.Runtime("pyrun", pyrun, work, config)
    found = {name: shutil.which(name, path=PATH) for name in PEERS}
    skipped = [f"{name} is not installed" for name, path in found.items() if path is None]
    peers = [contestants.Runtime(name, path, work, config) for name, path in found.items() if path]
    there, others = samework.agree(ours, peers, commands)
    if hint := hierarchy.hint():
        others = [f"{line}; try: {hint}" if "hybrid" in line else line for line in others]
    return there, skipped + others


def prepare_engine_runs(there: list[contestants.Runtime], commands: process.Commands) -> list[str]:
    """Gives each runtime the container that an engine would ask for; a sentence for each whose is
    another than ours. Raises process.CommandError."""
    made = {
        one.name: one.another("engine", bundles.as_engines_do(one.config, one.work))
        for one in there
    }
    ours, *peers = made.values()
    where = f"{jobs.ENGINE_RUN}: "
    agreed, skipped = samework.agree(ours, peers, commands, where, contestants.CONFINED)
    for runtime in there:
        if made[runtime.name] in agreed:
            runtime.as_engines_do = made[runtime.name]
    return skipped


def rounds(
    there: list[contestants.Runtime],
    commands: process.Commands,
    count: int,
    wanted: Sequence[jobs.Job] = jobs.JOBS,
) -> dict[str, dict[str, list[int]]]:
    """{contestant: {verb: nanoseconds of each round}}."""
    found: dict[str, dict[str, list[int]]] = {
        runtime.name: {verb: [] for verb in jobs.VERBS} for runtime in there
    }
    for number in range(-min(count, WARM_UP), count):
        turn = number % len(there)
        for job in wanted:
            for runtime in there[turn:] + there[:turn]:
                for verb, taken in job(runtime, commands).items():
                    if number >= 0:
                        found[runtime.name][verb].append(taken)
    return found


def memory(
    there: list[contestants.Runtime], commands: process.Commands, count: int
) -> dict[str, dict[str, float]]:
    """{contestant: {part: median KiB}}."""
    # Of a program that was just installed the kernel maps more around what is asked for.
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("1")
    found = {}
    for runtime in there:
        series = [jobs.peaks(runtime, commands) for _ in range(count)]
        found[runtime.name] = {
            part: spread.median([parts[part] for parts in series]) for part in series[0]
        }
    return found


class Measurement:
    """The parts, each of which adds to what `found` has. Raises process.CommandError."""

    def __init__(self, opts: argparse.Namespace, work: Path, commands: process.Commands) -> None:
        self.opts = opts
        self.work = work
        self.commands = commands
        self.runtimes, self.skipped = assemble(opts.pyrun, work, commands)
        self.floor = contestants.Floor(process.build(HERE / "floor.c", BUILD), work)
        self.found: dict[str, Any] = {"results": []}

    def measure_verbs(self) -> None:
        """Each verb, and whole lives."""
        self.skipped += prepare_engine_runs(self.runtimes, self.commands)
        series = rounds([*self.runtimes, self.floor], self.commands, self.opts.runs)
        self._add(results.times(series))

    def measure_unified(self) -> None:
        """Each verb once more where cgroup v2 alone is in view, as on most machines."""
        if not hierarchy.has_both():
            return
        place = self.work / "unified"
        place.mkdir()
        with hierarchy.unified(place):
            ours, *peers = self.runtimes
            there, others = samework.agree(ours, peers, self.commands, "cgroup v2: ")
            self.skipped += others
            # Only of the default bundle it is known that all make the same of it there.
            wanted = [job for job in jobs.JOBS if job is not jobs.engine_run]
            count = min(self.opts.runs, UNIFIED_ROUNDS)
            series = rounds([*there, self.floor], self.commands, count, wanted)
        summary = results.times(series)
        for entry in summary["results"]:
            entry["command"] += " (v2)"
        self.found["results"] += summary.pop("results")
        self.found["unified"] = summary

    def measure_growth(self) -> None:
        """The curves of what a config may have more of."""
        for curve in growth.CURVES:
            points = curve.points[: QUICK_POINTS if self.opts.quick else None]
            count = min(self.opts.runs, GROWTH_ROUNDS)
            series, others = growth.grow(self.runtimes, self.commands, curve, points, count)
            self.skipped += others
            self._add_curve(curve.name, series)

    def measure_memory(self) -> None:
        """Peaks, and the init that waits."""
        count = min(self.opts.runs, MEMORY_RUNS)
        self._add({"memory": memory([*self.runtimes, self.floor], self.commands, count)})

    def measure_least(self) -> None:
        """The smallest limit."""
        if why := least.obstacle():
            self.skipped.append(f"smallest memory limit: {why}")
        else:
            self._add({"least memory": least.measure(self.runtimes, self.commands)})

    def measure_crowd(self) -> None:
        """Many creates at once."""
        count = QUICK_CROWD if self.opts.quick else crowd.COUNT
        number = min(self.opts.runs, CROWD_ROUNDS)
        series = crowd.measure(self.runtimes, self.commands, count, number)
        self._add({"at once": {"count": count, **results.rates(series)}})

    def measure_live(self) -> None:
        """The curves of the containers that are there."""
        points = growth.LIVE_POINTS[: QUICK_POINTS if self.opts.quick else None]
        count = min(self.opts.runs, LIVE_ROUNDS)
        live = growth.Live(self.runtimes, self.commands)
        curves, others = live.measure(points, count)
        self.skipped += others
        for name, series in curves.items():
            self._add_curve(name, series)

    def clean(self) -> None:
        """What is left of it."""
        for runtime in (*self.runtimes, self.floor):
            runtime.clean(self.commands)

    def _add(self, more: results.Results) -> None:
        self.found["results"] += more.pop("results", [])
        self.found |= more

    def _add_curve(self, name: str, series: growth.Times) -> None:
        summary = results.curve(name, series)
        self.found["results"] += summary.pop("results")
        self.found.setdefault("growth", {})[name] = summary


def measure(opts: argparse.Namespace, work: Path) -> results.Results:
    """Everything, as JSON-able data: times in nanoseconds (in `results`: in seconds), memory in
    KiB. Raises process.CommandError."""
    commands = process.Commands(process.build(HERE / "peak.c", BUILD))
    facts = machine.facts()
    begin = time.monotonic()
    measurement = Measurement(opts, work, commands)
    gc.disable()
    taken = []
    try:
        for part in PARTS:
            if part in opts.only:
                since = time.monotonic()
                getattr(measurement, f"measure_{part}")()
                taken.append(f"{part} {time.monotonic() - since:.0f} s")
    finally:
        measurement.clean()
    took = f"{time.monotonic() - begin:.0f} s, {opts.runs} rounds ({', '.join(taken)})"
    everybody = (*measurement.runtimes, measurement.floor)
    return {
        "machine": {**facts, "took": took},
        "contestants": {runtime.name: runtime.version(commands) for runtime in everybody},
        "skipped": measurement.skipped,
        **measurement.found,
    }


def main() -> int:
    """Prints the report; 1 with a sentence when there is nothing to compare, or with --check when a
    target is missed."""
    opts = options()
    if os.geteuid() != 0:
        print("bench: needs root: the containers of the default bundle do", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # cleans up as well
    with tempfile.TemporaryDirectory(prefix="pyrun-bench-") as work:
        try:
            hierarchy.see_all(Path(work))
            # /run is a tmpfs wherever an engine runs; here it may be a disk, for which pyrun would
            # wait (fdatasync) and the others would not.
            process.call("mount", "-t", "tmpfs", "pyrun-bench", work)
            try:
                found = measure(opts, Path(work))
            finally:
                process.call("umount", "-l", work)
        except (process.CommandError, OSError) as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
    print(table.render(found))
    missed = targets.missed(found)
    print(f"\ntargets: {targets.count(found)} measured, {len(missed)} missed", *missed, sep="\n")
    if opts.json:
        opts.json.parent.mkdir(parents=True, exist_ok=True)
        opts.json.write_text(results.dump(found))
    if opts.docs:
        page.write(found, HERE.parent / "docs")
    return 1 if opts.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
