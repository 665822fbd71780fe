# SPDX-License-Identifier: Apache-2.0
"""Results that nothing was measured for."""

from __future__ import annotations

from typing import Any

import growth
import jobs
import results
import table

NAMES = ("pyrun", "runc", "crun", "floor")
PEERS = ("runc", "crun")


def made_up() -> dict[str, Any]:
    """pyrun takes 2 ms for everything, runc 4, crun 1; the floor can't do what engines ask for."""
    taken = {"pyrun": 2_000_000, "runc": 4_000_000, "crun": 1_000_000, "floor": 500_000}
    verbs = {
        name: {
            verb: [] if (name, verb) == ("floor", jobs.ENGINE_RUN) else [taken[name]] * 3
            for verb in jobs.VERBS
        }
        for name in NAMES
    }
    found = {
        "machine": {"kernel": "Linux 1.2 <&>"},
        "contestants": {name: f"{name} version 1" for name in NAMES},
        "skipped": ["a part: why it is not there"],
        **results.times(verbs),
        "unified": {
            key: {name: verbs for name, verbs in found.items() if name != "crun"}
            for key, found in results.times(verbs).items()
            if key != "results"
        },
        "memory": {
            name: dict.fromkeys((*table.MEMORY, *table.INIT), taken[name] / 1e3) for name in NAMES
        },
        "least memory": {"pyrun": 300, "runc": 9000, "crun": None},
        "at once": {
            "count": 100,
            **results.rates({"pyrun": [50.0], "runc": [25.0], "crun": [100.0]}),
        },
        "growth": {},
    }
    for curve in growth.NAMES:
        line = {name: {1: [taken[name]], 10: [taken[name] * 2]} for name in ("pyrun", *PEERS)}
        summary = results.curve(curve, line)
        found["results"] += summary.pop("results")
        found["growth"][curve] = summary
    return found
