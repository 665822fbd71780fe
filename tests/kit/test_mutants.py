# SPDX-License-Identifier: Apache-2.0
"""A check that can't fail is a defect: for each requirement there is a runtime that breaks it, and
its check finds it. mutants.py has the faults, faulty.py carries them out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conformance import registry

from kit.mutants import EXCUSED, MUTANTS, UNIFIED
from needs import excuse, needs
from unit.runtime_spec import ROOT

FAULTY = Path(__file__).parent / "faulty.py"
RUN = """
import json, sys
from conformance import engine
targets = [engine.Target(**entry) for entry in json.load(sys.stdin)]
findings = engine.run(targets, jobs=2, limit=60)
print(json.dumps([[found.requirement.id, found.outcome, found.reason] for found in findings]))
"""


def excused(name: str) -> bool:
    return any(name == start or (start[-1] in ".-" and name.startswith(start)) or
               name.startswith(f"{start}.") for start in EXCUSED)  # fmt: skip


def test_every_requirement_has_a_fault_or_an_excuse() -> None:
    observable = {row.id for row in registry.requirements().values() if not row.unobservable}
    faults = MUTANTS.keys() | UNIFIED.keys()
    assert faults - observable == set()
    assert {name for name in observable - faults if not excused(name)} == set()
    assert {start for start in EXCUSED if not [n for n in observable - faults
            if n.startswith(start)]} == set(), "an excuse for nothing"  # fmt: skip
    assert len(MUTANTS) > 400


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """faulty.py as a program of the Python that runs this, which takes no time to start."""
    path = tmp_path_factory.mktemp("faulty") / "faulty"
    program = f"import sys\nsys.path.insert(0, {str(FAULTY.parent)!r})\nimport faulty\n"
    path.write_text(f"#!{sys.executable} -IS\n{program}sys.exit(faulty.main())\n")
    path.chmod(0o755)
    return path


def carried_out(
    faults: dict[str, str], faulty: Path, pyrun: Path, *prefix: str
) -> dict[str, tuple[str, str]]:
    """What came of each check with its faulty runtime: outcome and reason."""
    targets = [
        {"label": name, "path": str(faulty), "ids": [name],
         "variables": {"FAULT": fault, "REAL": str(pyrun)}}
        for name, fault in faults.items()
    ]  # fmt: skip
    done = subprocess.run(
        [*prefix, sys.executable, "-c", RUN],
        input=json.dumps(targets),
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr
    return {name: (outcome, reason) for name, outcome, reason in json.loads(done.stdout)}


@pytest.fixture(scope="module")
def found(pyrun: Path, faulty: Path) -> dict[str, tuple[str, str]]:
    """Of every fault that this host can show."""
    return carried_out(MUTANTS, faulty, pyrun)


def judge(name: str, fault: str, outcome: str, reason: str) -> None:
    """A check that the host can't make is excused; every other one has to fail."""
    if outcome == "skip" and not reason.startswith("the runtime "):
        excuse(f"{name}: {reason}")
    assert outcome == "fail", f"{fault} was not found: {outcome} {reason}"


@needs("root", "cc", "ip")
@pytest.mark.parametrize("name", MUTANTS)
def test_the_fault_is_found(name: str, found: dict[str, tuple[str, str]]) -> None:
    judge(name, MUTANTS[name], *found[name])


# The v2 tree alone, at its place: enough for whatever takes no controller.
ALONE = 'umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec "$0" "$@"'
IN_V2 = ("unshare", "--mount", "sh", "-c", ALONE)


@pytest.fixture(scope="module")
def found_in_v2(pyrun: Path, faulty: Path) -> dict[str, tuple[str, str]]:
    """Of every fault that takes a host with cgroup v2 alone."""
    return carried_out(UNIFIED, faulty, pyrun, *IN_V2)


@needs("root", "cc")
@pytest.mark.parametrize("name", UNIFIED)
def test_the_fault_is_found_in_v2(name: str, found_in_v2: dict[str, tuple[str, str]]) -> None:
    judge(name, UNIFIED[name], *found_in_v2[name])


@needs("root", "cc")
def test_pyrun_in_v2(pyrun: Path) -> None:
    """Where cgroup v2 is alone: what is skipped elsewhere passes."""
    words = [*IN_V2, sys.executable, "-m", "conformance", "--runtime", str(pyrun), "--format",
             "json", "--select", *UNIFIED]  # fmt: skip
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["requirements"]
    assert {row["id"]: row["results"]["pyrun"]["outcome"] for row in rows} == dict.fromkeys(
        UNIFIED, "pass"
    )


@needs("root", "cc")
def test_the_runtime_below_is_right(pyrun: Path, faulty: Path) -> None:
    """A fault that is never carried out changes nothing: the checks see the faults alone."""
    words = [sys.executable, "-m", "conformance", "--runtime", str(faulty), "--select",
             "runtime.state", "config.hostname", "config-linux.process-state"]  # fmt: skip
    environment = {**os.environ, "REAL": str(pyrun), "FAULT": "drop:/nothing/there"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "pass" in done.stdout
