# SPDX-License-Identifier: Apache-2.0
"""The benchmark as a whole, as short as it can be: it is to find out what it measures, not how
fast that is here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jobs

from needs import needs

RUN = Path(__file__).parent.parent.parent / "bench/run.py"


# Some versions cannot delete a container on a hybrid machine with a controller in v2, later ones
# mount a folder for a controller that is in no hierarchy which can be seen.
CRUN = (
    "crun does not work here: ",
    "crun did not do the same work: mounts: [] against [('/sys/fs/cgroup/hugetlb', ",
)


def bench(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, RUN, *words], capture_output=True, text=True)


@needs("root", "busybox", "runc", "crun")
def test_two_rounds(pyrun: Path, tmp_path: Path) -> None:
    done = bench("--quick", "--runs", "2", "--json", tmp_path / "x.json", "--pyrun", pyrun)
    assert done.stderr == ""
    assert done.returncode == 0
    results = json.loads((tmp_path / "x.json").read_text())
    peers = ["runc", "crun"]
    for sentence in results["skipped"]:
        assert sentence.startswith(CRUN)
        peers.remove("crun")
    assert list(results["contestants"]) == ["pyrun", *peers, "floor"]
    for peer in peers:
        check(results, peer)
    for verb in jobs.VERBS:
        assert f"\n{verb} " in done.stdout
    # (What needs no Python is as quick as the floor, give or take.)
    for verb in ("create", "run", "lifecycle"):
        floor = results["times"]["floor"][verb]["median"]
        assert 0 < floor < results["times"]["pyrun"][verb]["median"]
    # Their own peaks, not that of the Python that measures them.
    assert results["memory"]["floor"]["run"] < results["memory"]["pyrun"]["run"]
    assert results["memory"]["pyrun"]["init private"] > 0


def check(results: dict[str, Any], peer: str) -> None:
    """Every figure of a peer is there."""
    for verb in jobs.VERBS:
        assert len(results["series"][peer][verb]) == 2
        assert results["ratios"][peer][verb]["median"] > 0
    assert 0 < results["memory"][peer]["state"] < 64 * 1024


@needs("root")
def test_a_pyrun_that_does_not_work_is_one_sentence() -> None:
    done = bench("--runs", "1", "--pyrun", "/bin/false")
    assert done.returncode == 1
    assert done.stderr.startswith("bench: /bin/false spec ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_rounds_have_a_number() -> None:
    done = bench("--runs", "0")
    assert done.returncode == 2
    assert "--runs: at least 1" in done.stderr
