# SPDX-License-Identifier: Apache-2.0
"""Measures what a node pays for each pod, with pyrun, runc and crun: processes, memory, time.

    bench/pods.py [--pods 100,250,500] [--jobs N]

A pod is what containerd makes of one for Kubernetes: one shim, a container that holds the
namespaces, and one that works in them. There is no kubelet and no network: they cost the same with
every runtime. Root and containerd are needed; the engine is on a host of its own.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from engines import load  # type: ignore[import-not-found]
from engines.containerd import Ctr  # type: ignore[import-not-found]
from engines.host import Host, eventually  # type: ignore[import-not-found]

RUNTIMES = ("pyrun", "runc", "crun")
PROGRAM = ("--", "sleep", "100000")
COLUMNS = (
    "pods", "processes a pod", "of the runtime", "memory a pod", "of the runtime",
    "state in /run a pod", "start, all", "a pod", "end, all",
)  # fmt: skip


def pod(host: Any, runtime: str) -> list[str]:
    """A script that starts pod {}: both containers in one shim, as containerd groups them."""
    flags = ("--detach", "--null-io", "--annotation=io.containerd.runc.v2.group=pod{}")
    first = Ctr(host, runtime).words((*flags, *PROGRAM), "pause{}")
    more = ("--with-ns=network:/proc/$pid/ns/net", "--with-ns=ipc:/proc/$pid/ns/ipc")
    second = Ctr(host, runtime).words((*flags, "--pid-file=/run/work{}", *more, *PROGRAM), "work{}")
    first.insert(1, "--pid-file=/run/pause{}")
    script = " ".join(["ctr", *first, "&& pid=$(cat /run/pause{}) && ctr", *second])
    return ["sh", "-c", script]


def ended() -> list[str]:
    """A script that ends pod {}."""
    parts = [
        f"ctr tasks delete --force {name}{{}} >/dev/null 2>&1; ctr containers delete {name}{{}}"
        for name in ("work", "pause")
    ]
    return ["sh", "-c", "; ".join(parts)]


def look(host: Any, runtime: str, pods: int, seconds: float) -> list[str]:
    """The row of a table, but for its last cell."""
    shims = load.pids_of(host, "containerd-shim")
    programs = load.pids_of(host, "sleep")
    ours = load.pids_of(host, runtime)  # nothing: a runtime is not there while a container runs
    assert len(programs) == 2 * pods, f"{len(programs)} programs in {pods} pods"
    memory = load.memory_of(host, [*shims, *programs, *ours])
    state = load.size_of(host, "/run/containerd/runc/default")
    return [
        str(pods),
        f"{(len(shims) + len(programs) + len(ours)) / pods:.2f}",
        str(len(ours)),
        f"{memory / pods / 1024:.1f} MiB",
        f"{load.memory_of(host, ours)} KiB",
        f"{state / pods:.0f} KiB",
        f"{seconds:.1f} s",
        f"{seconds / pods * 1000:.0f} ms",
    ]


def measure(runtime: str, counts: list[int], jobs: int) -> list[list[str]]:
    """A row for each count: pods are added to those that are there."""
    host = Host()
    rows = []
    try:
        Ctr.prepare(host)
        there, seconds = 0, 0.0
        for count in counts:
            taken, _ = load.at_once(host, pod(host, runtime), range(there, count), jobs)
            there, seconds = count, seconds + taken
            rows.append(look(host, runtime, count, seconds))
        taken, _ = load.at_once(host, ended(), range(there), jobs)
        assert eventually(lambda: not load.pids_of(host, "sleep")), "pods are left"
        rows = [[*row, f"{taken:.1f} s" if row is rows[-1] else ""] for row in rows]
    finally:
        host.end()
    return rows


def main() -> None:
    """Prints a table of Markdown for each runtime."""
    parser = argparse.ArgumentParser(prog="bench/pods.py", description=__doc__.split("\n")[0])
    parser.add_argument("--pods", default="100,250,500", help="counts (default: 100,250,500)")
    parser.add_argument("--jobs", type=int, default=10, help="at a time (default: 10)")
    parser.add_argument("--runtime", action="append", choices=RUNTIMES, help="only this one")
    chosen = parser.parse_args()
    counts = sorted(int(word) for word in chosen.pods.split(","))
    for runtime in chosen.runtime or RUNTIMES:
        rows = measure(runtime, counts, chosen.jobs)
        print(f"\n{runtime}\n\n| " + " | ".join(COLUMNS) + " |")
        print("|---" * len(COLUMNS) + "|")
        for row in rows:
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
