# SPDX-License-Identifier: Apache-2.0
"""What pyrun is to reach, as ratios to the peers: medians, so that a machine's own speed is no part
of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jobs
import table

# {what: {peer: the most that pyrun may take of what the peer takes}}
TIMES = {
    "run": {"runc": 0.70, "crun": 2.0},
    jobs.ENGINE_RUN: {"runc": 0.70, "crun": 2.0},
    jobs.LIFECYCLE: {"runc": 0.60, "crun": 1.5},
    "exec": {"runc": 0.70, "crun": 2.0},
    **{verb: {"runc": 0.6, "crun": 1.0} for verb in ("start", "state", "kill", "delete")},
}
PEAK = {"runc": 1.2}
INIT = {"runc": 0.1, "crun": 0.5}
LEAST = {"runc": 0.25, "crun": 1.0}
# {peer: the least that pyrun is to make in the time in which the peer makes one}
AT_ONCE = {"runc": 1.5, "crun": 0.7}


def missed(found: dict[str, Any]) -> list[str]:
    """A sentence for each that is not reached, of what run.measure() gives; what was not measured
    is not judged."""
    lines = [
        f"{what}: {ratio:.2f} of {peer}'s, {'at least' if least else 'at most'} {limit} is wanted"
        for what, peer, ratio, limit, least in _ratios(found)
        if (ratio < limit if least else ratio > limit)
    ]
    return sorted(lines)


def count(found: dict[str, Any]) -> int:
    """How many were judged."""
    return len(list(_ratios(found)))


def _ratios(found: dict[str, Any]) -> Iterator[tuple[str, str, float, float, bool]]:
    """(what, peer, ratio, limit, whether that is the least)."""
    for where, part in (("", found), ("cgroup v2: ", found.get("unified", {}))):
        for what, limits in TIMES.items():
            for peer, limit in limits.items():
                if what in part.get("ratios", {}).get(peer, {}):
                    yield f"{where}{what}", peer, part["ratios"][peer][what]["median"], limit, False
    for peer, limit in AT_ONCE.items():
        if peer in found.get("at once", {}).get("ratios", {}):
            ratio = found["at once"]["ratios"][peer]["median"]
            yield "containers at once", peer, ratio, limit, True
    yield from _memory(found)


def _memory(found: dict[str, Any]) -> Iterator[tuple[str, str, float, float, bool]]:
    memory = found.get("memory", {})
    rows = [(f"peak memory of {verb}", [verb], PEAK) for verb in table.MEMORY]
    rows.append(("memory of the waiting init", ["init private", "init shared"], INIT))
    for what, parts, limits in rows:
        for peer, limit in limits.items():
            if peer in memory:
                ours, theirs = (sum(memory[who][p] for p in parts) for who in ("pyrun", peer))
                yield what, peer, ours / max(theirs, 1), limit, False
    least = found.get("least memory", {})
    for peer, limit in LEAST.items():
        if least.get("pyrun") and least.get(peer):
            yield "smallest memory limit", peer, least["pyrun"] / least[peer], limit, False
