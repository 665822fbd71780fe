# SPDX-License-Identifier: Apache-2.0
"""The benchmark as a whole, as short as it can be: it is to find out what it measures, not how
fast that is here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import growth
import hierarchy
import jobs

from needs import needs

RUN = Path(__file__).parent.parent.parent / "bench/run.py"


# Where the benchmark can't give it a hierarchy: some versions cannot delete a container on a hybrid
# machine with a controller in v2, later ones mount a folder for one that can't be seen.
CRUN = (
    "crun does not work here: ",
    "crun did not do the same work: mounts: [] against [('/sys/fs/cgroup/hugetlb', ",
)


def bench(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, RUN, *words], capture_output=True, text=True)


@needs("root", "busybox", "runc", "crun")
def test_one_round(pyrun: Path, tmp_path: Path) -> None:
    done = bench("--quick", "--runs", "1", "--json", tmp_path / "x.json", "--pyrun", pyrun)
    assert done.stderr == ""
    assert done.returncode == 0
    results = json.loads((tmp_path / "x.json").read_text())
    peers = ["runc", "crun"]
    for sentence in results["skipped"]:
        if sentence.startswith(CRUN):
            peers.remove("crun")
        else:
            assert sentence.startswith(("smallest memory limit: needs ", "cgroup v2: crun "))
    assert list(results["contestants"]) == ["pyrun", *peers, "floor"]
    for peer in peers:
        check(results, peer)
    for verb in jobs.VERBS:
        assert f"\n{verb} " in done.stdout
    # How they compare is for many rounds to tell: one may wait for the kernel.
    for verb in ("create", "run", jobs.LIFECYCLE):
        assert results["times"]["floor"][verb]["min"] > 0
    if hierarchy.has_both():
        for verb in ("create", "run", jobs.LIFECYCLE):
            assert results["unified"]["ratios"]["runc"][verb]["median"] > 0
    check_growth(results, peers)
    assert results["at once"]["count"] == 5
    assert all(results["at once"]["rates"][name]["min"] > 0 for name in ("pyrun", *peers))
    # Their own peaks, not that of the Python that measures them.
    assert 0 < results["memory"]["floor"]["run"] < 4 * 1024
    assert results["memory"]["pyrun"]["init private"] > 0


def check(results: dict[str, Any], peer: str) -> None:
    """Every figure of a peer is there."""
    for verb in jobs.VERBS:
        assert results["times"][peer][verb]["runs"] == 1
        assert results["ratios"][peer][verb]["median"] > 0
    assert 0 < results["memory"][peer]["state"] < 64 * 1024


def check_growth(results: dict[str, Any], peers: list[str]) -> None:
    """Every curve is there, of everybody; 2 points of it are enough for --quick."""
    assert list(results["growth"]) == list(growth.NAMES)
    for curve in results["growth"].values():
        assert list(curve["times"]) == ["pyrun", *peers]
        for points in curve["times"].values():
            assert list(points) == ["1", "10"]
            assert all(found["runs"] == 1 for found in points.values())


@needs("root", "busybox")
def test_one_part_alone(pyrun: Path) -> None:
    done = bench("--only", "memory", "--pyrun", pyrun)
    assert done.returncode == 0
    assert "init private" in done.stdout
    assert "time in ms" not in done.stdout
    assert "targets: " in done.stdout


@needs("root")
def test_a_pyrun_that_does_not_work_is_one_sentence() -> None:
    done = bench("--runs", "1", "--pyrun", "/bin/false")
    assert done.returncode == 1
    assert done.stderr.startswith("bench: /bin/false spec ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_docs_take_everything() -> None:
    done = bench("--docs", "--only", "memory")
    assert done.returncode == 2
    assert "--docs: takes everything" in done.stderr


def test_rounds_have_a_number() -> None:
    done = bench("--runs", "0")
    assert done.returncode == 2
    assert "--runs: at least 1" in done.stderr
