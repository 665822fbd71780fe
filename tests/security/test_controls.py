# SPDX-License-Identifier: Apache-2.0
"""Every test of an advisory can fail: on a runtime that has the hole, or on a pyrun whose defence
was taken out. The installed runtimes of others are what peers.py says, where their version is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from needs import check, excuse, needs

from . import page, peers
from .weakened import DEFENCES
from .weakening import Defence, build

HERE = Path(__file__).parent
ORDINARY = "test_paths.py::test_an_ordinary_container_works"
# One row stands for a test of many: any is enough to show that it can fail.
ROW = {
    "test_cve_2024_21626_working_directory_in_a_leaked_descriptor": "[9]",
    "test_ghsa_5g49_rx9x_qfc6_cgroups_path_stays_in_the_hierarchy": "[../{}]",
    "test_ghsa_5g49_rx9x_qfc6_the_cgroup_of_a_process_is_the_containers": "[..]",
    "test_r20_joined_host_namespace_is_not_changed": "[ipc]",
    "test_devices_of_the_host_stay_their_owners": "[character]",
    "test_cve_2025_52881_cve_2019_16884_mounts_over_proc": "[/proc]",
}
# Half a minute a row, or by the clock; a run of the whole suite on the runtime has them.
LEFT_OUT = (
    "test_host.py::test_a_hook_that_hangs_is_ended_with_its_children",
    "test_host.py::test_r20_mounts_made_in_the_container_do_not_reach_the_host",
)


def attack(runtime: Path | str, *names: str) -> dict[str, int]:
    """Run tests of this folder on a runtime: {"passed": 1, "failed": 2, "xfailed": …}."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line"]
    nodes = [f"{HERE}/{name}" for name in names]
    done = subprocess.run(
        [*command, "--runtime", str(runtime), *nodes],
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=600,
    )
    last = done.stdout.strip().splitlines()[-1]
    found = {word: int(count) for count, word in re.findall(r"(\d+) ([a-z]+)", last)}
    found.pop("s", None)
    assert found, done.stdout + done.stderr
    return {word: count for word, count in found.items() if word not in ("in", "warnings")}


@needs("root", "busybox", "runc", "crun", "criu")
@pytest.mark.parametrize("program", ["runc", "crun"])
def test_holes_of_other_runtimes_are_seen(program: str) -> None:
    peer = next(name for name in peers.RED if name.startswith(program))
    if peers.known(Path(program)) != peer:
        excuse(f"its {program} is not {peer}")
    names = []
    for key in peers.RED[peer]:
        function = key.rpartition("::")[2]
        if not key.startswith(LEFT_OUT):
            names.append(key + ROW.get(function, ""))
    assert attack(program, ORDINARY, *names) == {"passed": 1, "xfailed": len(names)}


@needs("root", "busybox", "cc")
@pytest.mark.parametrize("defence", DEFENCES, ids=lambda defence: defence.name)
def test_a_defence_that_is_missing_is_seen(defence: Defence, tmp_path: Path, pyrun: Path) -> None:
    check(defence.needs)
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    weak = build(tmp_path / "weak", pyrun, defence)
    found = attack(weak, ORDINARY, *defence.tests)
    assert found.pop("passed", 0) == 1, "an ordinary container does not work any more"
    assert set(found) == {"failed"}
    assert found["failed"] >= len(defence.tests)


def test_every_advisory_is_accounted_for() -> None:
    silent = []
    for test, name in page.tests().items():
        ids, _ = page.advisories(name)
        if ids.startswith(("CVE", "GHSA")) and not page.shown(test):
            silent.append(test)
    assert silent == []
