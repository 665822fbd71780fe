# SPDX-License-Identifier: Apache-2.0
"""Measures pyrun side by side with the distribution's runc and crun and the kernel's own floor.

    bench/run.py [--quick] [--runs N] [--json FILE] [--pyrun PATH]

Rounds are interleaved, and each round begins with another contestant: what the machine does
meanwhile meets all alike. Nothing is compared that did not make the same container.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import contestants
import jobs
import machine
import process
import samework
import spread
import table

HERE = Path(__file__).parent
BUILD = HERE.parent / "build/bench"
PEERS = ("runc", "crun")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
RUNS, QUICK_RUNS = 100, 12
WARM_UP = 2  # rounds that are not counted: page cache, compiled caches
MEMORY_RUNS = 3  # memory hardly varies


def options(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Measure pyrun side by side with runc, crun and the kernel's floor.",
    )
    parser.add_argument("--runs", type=int, metavar="N", help=f"rounds (default: {RUNS})")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_RUNS} rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there too")
    parser.add_argument("--pyrun", default=str(Path(sys.prefix) / "bin/pyrun"), metavar="PATH")
    found = parser.parse_args(words)
    if found.runs is None:
        found.runs = QUICK_RUNS if found.quick else RUNS
    if found.runs < 1:
        parser.error("--runs: at least 1")
    return found


def assemble(
    pyrun: str, work: Path, commands: process.Commands
) -> tuple[list[contestants.Runtime], list[str]]:
    """Who takes part, and a sentence for each who does not. Raises process.CommandError."""
    busybox = shutil.which("busybox", path=PATH)
    if busybox is None:
        raise process.CommandError("no busybox: install busybox-static")
    contestants.make_rootfs(work, busybox)
    config = contestants.default_config(pyrun, work, commands)
    ours = contestants.Runtime("pyrun", pyrun, work, config)
    reference = samework.observe(ours, commands)
    there: list[contestants.Runtime] = [ours]
    skipped = []
    for name in PEERS:
        path = shutil.which(name, path=PATH)
        if path is None:
            skipped.append(f"{name} is not installed")
            continue
        peer = contestants.Runtime(name, path, work, config)
        try:
            different = samework.differences(reference, samework.observe(peer, commands))
        except process.CommandError as error:
            peer.clean(commands)
            skipped.append(f"{name} does not work here: {error}")
            continue
        if different:
            skipped.append(f"{name} did not do the same work: {'; '.join(different)}")
            continue
        there.append(peer)
    there.append(contestants.Floor(process.build(HERE / "floor.c", BUILD), work))
    return there, skipped


def rounds(
    there: list[contestants.Runtime], commands: process.Commands, count: int
) -> dict[str, dict[str, list[int]]]:
    """{contestant: {verb: nanoseconds of each round}}."""
    found: dict[str, dict[str, list[int]]] = {
        runtime.name: {verb: [] for verb in jobs.VERBS} for runtime in there
    }
    for number in range(-WARM_UP, count):
        turn = number % len(there)
        for job in jobs.JOBS:
            for runtime in there[turn:] + there[:turn]:
                for verb, taken in job(runtime, commands).items():
                    if number >= 0:
                        found[runtime.name][verb].append(taken)
    return found


def memory(
    there: list[contestants.Runtime], commands: process.Commands
) -> dict[str, dict[str, float]]:
    """{contestant: {part: median KiB}}."""
    found = {}
    for runtime in there:
        series = [jobs.peaks(runtime, commands) for _ in range(MEMORY_RUNS)]
        found[runtime.name] = {
            part: spread.median([parts[part] for parts in series]) for part in series[0]
        }
    return found


def measure(pyrun: str, count: int, work: Path) -> dict[str, Any]:
    """Everything, as JSON-able data: times in nanoseconds, memory in KiB.

    Raises process.CommandError.
    """
    commands = process.Commands(process.build(HERE / "peak.c", BUILD))
    facts = machine.facts()
    begin = time.monotonic()
    there, skipped = assemble(pyrun, work, commands)
    gc.disable()
    try:
        series = rounds(there, commands, count)
        sizes = memory(there, commands)
    finally:
        for runtime in there:
            runtime.clean(commands)
    ours = series["pyrun"]
    return {
        "machine": {**facts, "took": f"{time.monotonic() - begin:.0f} s, {count} rounds"},
        "contestants": {runtime.name: runtime.version(commands) for runtime in there},
        "skipped": skipped,
        "times": {
            name: {verb: spread.summary(values) for verb, values in verbs.items()}
            for name, verbs in series.items()
        },
        "ratios": {
            name: {verb: spread.ratio(ours[verb], verbs[verb]) for verb in jobs.VERBS}
            for name, verbs in series.items()
            if name not in ("pyrun", table.FLOOR)
        },
        "memory": sizes,
        "series": series,
    }


def main() -> int:
    """Prints the report; 1 with a sentence when there is nothing to compare."""
    opts = options()
    if os.geteuid() != 0:
        print("bench: needs root: the containers of the default bundle do", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="pyrun-bench-") as work:
        try:
            # /run is a tmpfs wherever an engine runs; here it may be a disk, for which pyrun would
            # wait (fdatasync) and the others would not.
            process.call("mount", "-t", "tmpfs", "pyrun-bench", work)
            try:
                results = measure(opts.pyrun, opts.runs, Path(work))
            finally:
                process.call("umount", "-l", work)
        except process.CommandError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
    print(table.render(results))
    if opts.json:
        opts.json.parent.mkdir(parents=True, exist_ok=True)
        opts.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
