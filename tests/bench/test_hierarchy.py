# SPDX-License-Identifier: Apache-2.0
"""The view of the cgroup hierarchies that the benchmark makes itself for crun."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import hierarchy
import pytest

from needs import needs

HYBRID = {"cpu": ["rw", "cpu"], "memory": ["rw", "memory"], "unified": []}


@pytest.mark.parametrize(
    ("in_v2", "elsewhere", "missing"),
    [
        ("", "0", []),
        ("hugetlb misc\n", "0", ["hugetlb", "misc"]),
        ("", "13", ["hugetlb"]),  # in a hierarchy that is mounted for somebody else
    ],
)
def test_what_is_missing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    in_v2: str,
    elsewhere: str,
    missing: list[str],
) -> None:
    rows = ["#subsys_name hierarchy", "cpu 1", "memory 4", f"hugetlb {elsewhere}"]
    (tmp_path / "cgroups").write_text("".join(f"{row} 1 1\n" for row in rows))
    (tmp_path / "controllers").write_text(in_v2)
    monkeypatch.setattr(hierarchy, "_visible", lambda: HYBRID)
    monkeypatch.setattr(hierarchy, "UNIFIED", tmp_path / "controllers")
    monkeypatch.setattr(hierarchy, "KNOWN", tmp_path / "cgroups")
    assert hierarchy.lacking() == missing
    assert [word for word in missing if f"mount -t cgroup -o {word} " not in hierarchy.hint()] == []
    monkeypatch.setattr(hierarchy, "UNIFIED", tmp_path / "none")
    assert hierarchy.lacking() == []
    assert hierarchy.hint() == ""


@needs("root", "cgroup_hybrid")
def test_all_is_seen_and_by_nobody_else(tmp_path: Path) -> None:
    script = (
        "import hierarchy, os, pathlib, sys\n"
        "hierarchy.see_all(pathlib.Path(sys.argv[1]))\n"
        "print(hierarchy.lacking(), sorted(os.listdir('/sys/fs/cgroup')))\n"
    )
    before = sorted(os.listdir("/sys/fs/cgroup"))
    mounts = hierarchy._visible()
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": hierarchy.__file__.rpartition("/")[0]},
    )
    assert done.stderr == ""
    extra = [name for name in hierarchy.lacking() if name not in before]
    assert done.stdout == f"[] {sorted([*before, *extra])}\n"
    assert sorted(os.listdir("/sys/fs/cgroup")) == before
    assert hierarchy._visible() == mounts
    assert not tmp_path.is_mount()
