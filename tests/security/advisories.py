# SPDX-License-Identifier: Apache-2.0
"""Advisories that have no test of their own: what another's test shows of them, or why there is
none."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .weakening import ROOT

# Where someone keeps a list of all that were published, beside this project.
LIST = Path(os.environ.get("PYRUN_ADVISORIES", ROOT.parent / "shared/SECURITY.md"))

# {one in the name of a test: others of the same mechanism}
KIN = {
    "CVE-2016-9962": ("CVE-2016-8649",),
    "CVE-2019-16884": ("CVE-2015-1334", "CVE-2015-3631"),
    "CVE-2019-18837": ("CVE-2015-1335", "CVE-2015-3629"),
    "CVE-2021-41103": ("CVE-2021-41091", "CVE-2024-25621"),
    "CVE-2022-1227": ("CVE-2019-14271",),
    "CVE-2022-29162": (
        "CVE-2016-8867", "CVE-2018-10856", "CVE-2022-24769", "CVE-2022-27649", "CVE-2022-27651",
        "CVE-2025-27612",
    ),
    "CVE-2022-36109": ("CVE-2022-2989", "CVE-2022-2990", "CVE-2023-25173"),
    "CVE-2023-25809": ("CVE-2022-0492",),
    "CVE-2023-27561": ("CVE-2019-19921", "CVE-2023-28642"),
    "CVE-2024-3154": ("CVE-2026-53488",),
    "CVE-2025-31133": ("CVE-2025-62161",),
    "CVE-2025-52881": ("CVE-2025-62596",),
    "CVE-2026-47766": ("CVE-2026-41579",),
}  # fmt: skip

# {why: those that are not a runtime's}
NOT_OURS = {
    "an engine copies files of a container by paths in it: pyrun copies none": (
        "CVE-2018-15664", "CVE-2019-10152", "CVE-2022-23648", "CVE-2024-5154", "CVE-2026-41567",
        "CVE-2026-41568", "CVE-2026-42306", "CVE-2026-76061",
    ),
    "what is masked, and how /proc is mounted, the engine's config says": (
        "CVE-2015-3630", "CVE-2017-16539",
    ),
    "of NVIDIA's toolkit, whose hook makes mounts of its own": (
        "CVE-2024-0132", "CVE-2026-24260",
    ),
    "CRIU's own": ("CVE-2026-119614",),
    "an engine restores a config that an image brings along: pyrun takes the caller's": (
        "CVE-2026-53489", "CVE-2026-53492", "CVE-2026-95837",
    ),
}  # fmt: skip

_ID = re.compile(
    r"(GHSA-\w{4}-\w{4}-\w{4})|(?:CVE-)?(\d{4})-(\d{4,6})|(?<![\w.-])(\d{4,6})(?![\w.-])"
)


def listed(text: str) -> list[str]:
    """The ids in the first column of a list's tables: the year may stand before the first alone."""
    found = []
    for line in text.splitlines():
        if not line.startswith("|"):
            continue
        year = ""
        for match in _ID.finditer(re.sub(r"\([^)]*\)", "", line.split("|")[1])):
            year = match[2] or year
            found.append(match[1] or f"CVE-{year}-{match[3] or match[4]}")
    return found


def table() -> str:
    """For the page."""
    lines = ["\n| tested as | others of the same mechanism |\n|---|---|\n"]
    lines += [f"| {one} | {', '.join(others)} |\n" for one, others in KIN.items()]
    lines.append("\n| no test | why |\n|---|---|\n")
    lines += [f"| {', '.join(ids)} | {why} |\n" for why, ids in NOT_OURS.items()]
    return "".join(lines)
