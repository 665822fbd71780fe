# SPDX-License-Identifier: Apache-2.0
"""Everything that is looked at, in the order in which it is told."""

from __future__ import annotations

from pyrun.doctor import cgroups, engines, kernel, users
from pyrun.doctor.finding import BAD, OK, gap, ok

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.doctor.finding import Finding
    from pyrun.doctor.host import Host


def checkpoints(host: Host) -> Finding:
    """CRIU, by its own check."""
    if not host.is_root:
        return ok("checkpoints", "are for root alone")
    lacking = host.criu()
    if lacking:
        advice = "checkpoint and restore are refused: docs/checkpoint.md tells what they take"
        return gap("checkpoints", lacking, advice)
    return ok("checkpoints", "CRIU works")


CHECKS = (
    kernel.version,
    kernel.namespaces,
    kernel.programs_in_memory,
    kernel.proc,
    users.state_folder,
    users.user_namespaces,
    users.subordinate_ids,
    cgroups.layout,
    cgroups.delegation,
    cgroups.systemd,
    kernel.seccomp,
    kernel.labels,
    kernel.landlock,
    kernel.keys,
    checkpoints,
)


def examine(host: Host) -> list[Finding]:
    """Every finding. Makes nothing that stays."""
    return [*(check(host) for check in CHECKS), *engines.engines(host)]


def can_run(findings: list[Finding]) -> bool:
    """Whether this caller can run containers on this host at all."""
    return all(finding.status != BAD for finding in findings)


def document(host: Host, findings: list[Finding], version: str) -> dict[str, Any]:
    """For scripts."""
    return {
        "pyrun": version,
        "kernel": host.release,
        "machine": host.machine,
        "uid": host.uid,
        "canRun": can_run(findings),
        "checks": [finding._asdict() for finding in findings],
    }


def text(host: Host, findings: list[Finding], version: str) -> list[str]:
    """For people: a line a finding, and one below it for each gap."""
    lines = [f"pyrun {version} on Linux {host.release} ({host.machine}), as {host.user()}", ""]
    for finding in findings:
        lines.append(f"{finding.status:<5}{finding.name:<20}{finding.found}")
        if finding.advice:
            lines.append(f"{'':<25}-> {finding.advice}")
    gaps = sum(finding.status != OK for finding in findings)
    lines += ["", _summary(gaps) if can_run(findings) else "No container can run here yet."]
    return lines


def _summary(gaps: int) -> str:
    return f"Containers can run here. Gaps: {gaps or 'none'}."
