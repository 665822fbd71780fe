# SPDX-License-Identifier: Apache-2.0
"""A report that no run has made: two runtimes, each kind of result, texts that need escaping."""

from __future__ import annotations

from conformance import registry
from conformance.case import Observation
from conformance.engine import Finding, Look
from conformance.report import Contestant, Report

SEEN = 'with </script> & "quotes" | # <b>\x1b[0m\nand a second line'


def look(outcome: str, reason: str = "", *observations: Observation) -> Look:
    return Look("conformance/checks/life.py::check_x", outcome, reason, list(observations),
                ["/opt/one --root /x create a  # 0, 5 ms"], 0.25)  # fmt: skip


GOOD = Observation("the exit code", "0", "0", holds=True)
MISSED = Observation("what it printed", "nothing", SEEN, holds=False)
# requirement: what came of it with the first and the second runtime
RESULTS: dict[str, tuple[list[Look], list[Look]]] = {
    "runtime.state.id": ([look("pass", "", GOOD)], [look("pass", "", GOOD)]),
    "runtime.kill.sends": ([look("pass", "", GOOD)], [look("fail", MISSED.what, GOOD, MISSED)]),
    "config-linux.filesystems": ([look("fail", MISSED.what, MISSED)], [look("skip", "no sysfs")]),
    "config.hostname": ([look("skip", "a # reason")], [look("fail", "ValueError: <no> more")]),
    "runtime.state.status-more": ([], []),
}


def report() -> Report:
    """It has 3 failures, 3 passes, 2 skips and 2 that can't be observed."""
    contestants = [
        Contestant("one", "/opt/one", "one 1.0"),
        Contestant("two", "/opt/t wo", "2 <b>"),
    ]
    findings = []
    for index, contestant in enumerate(contestants):
        for name, looks in RESULTS.items():
            requirement = registry.requirements()[name]
            found = looks[index]
            outcome = found[0].outcome if found else "not observable"
            findings.append(Finding(requirement, contestant.label, outcome, found))
    return Report(contestants, findings, "Linux 6 <x86>", "2026-11-27T06:00:00+00:00", 12.3)
