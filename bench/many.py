# SPDX-License-Identifier: Apache-2.0
"""Measures many containers at once by podman and containerd, with pyrun, runc and crun in turn.

    bench/many.py [--count N] [--jobs N] [--rounds N]

Root, and the engines that scripts/setup --test installs, are needed. Each engine is on a host of
its own (tests/engines/host.py), so nothing of the machine's is touched.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from engines import image, load  # type: ignore[import-not-found]
from engines.containerd import Ctr  # type: ignore[import-not-found]
from engines.host import Host  # type: ignore[import-not-found]
from engines.podman import Podman  # type: ignore[import-not-found]

RUNTIMES = ("pyrun", "runc", "crun")


def by_podman(host: Any, runtime: str) -> list[str]:
    """One container, from the image to its end."""
    line: list[str] = Podman(host, runtime).words("run", "--rm", image.NAME, "true")
    return line


def by_ctr(host: Any, runtime: str) -> list[str]:
    """The same; `ctr` wants a name for it."""
    return ["ctr", *Ctr(host, runtime).words(("--rm", "--", "true"), f"{runtime}{{}}")]


# {what: (engine, line, how names of cgroups begin, folder of states)}; {}: the runtime
ENGINES: dict[str, tuple[Any, Callable[[Any, str], list[str]], str, str]] = {
    "podman run": (Podman, by_podman, "libpod-", "/run/{}"),
    "ctr run": (Ctr, by_ctr, "{}", "/run/containerd/runc/default"),
}


def measure(count: int, jobs: int, rounds: int) -> dict[str, dict[str, float]]:
    """{engine: {runtime: seconds of its best round}}. Raises AssertionError when one fails, or when
    something of a round is left."""
    found: dict[str, dict[str, float]] = {}
    for name, (engine, line, prefix, root) in ENGINES.items():
        host = Host()
        try:
            engine.prepare(host)
            before = host.processes()
            taken: dict[str, list[float]] = {runtime: [] for runtime in RUNTIMES}
            for number in range(rounds):
                turn = number % len(RUNTIMES)
                for runtime in RUNTIMES[turn:] + RUNTIMES[:turn]:
                    seconds, _ = load.at_once(host, line(host, runtime), range(count), jobs)
                    taken[runtime].append(seconds)
                    places = (prefix.format(runtime), [root.format(runtime)])
                    assert (left := load.left(host, before, *places)) == [], left
        finally:
            host.end()
        found[name] = {runtime: min(series) for runtime, series in taken.items()}
    return found


def main() -> None:
    """Prints a table of Markdown."""
    parser = argparse.ArgumentParser(prog="bench/many.py", description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=100, help="containers (default: 100)")
    parser.add_argument("--jobs", type=int, default=10, help="at a time (default: 10)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default: 3)")
    chosen = parser.parse_args()
    found = measure(chosen.count, chosen.jobs, chosen.rounds)
    print(f"{chosen.count} containers, {chosen.jobs} at a time; best of {chosen.rounds} rounds\n")
    print("| | " + " | ".join(RUNTIMES) + " |")
    print("|---" * (len(RUNTIMES) + 1) + "|")
    for name, taken in found.items():
        print(f"| {name} | " + " | ".join(f"{taken[one]:.1f} s" for one in RUNTIMES) + " |")


if __name__ == "__main__":
    main()
