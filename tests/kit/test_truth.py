# SPDX-License-Identifier: Apache-2.0
"""What the kit says of pyrun and of its peers is true: each failure is listed in
docs/conformance.md, and no other."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance import registry

from life import leftovers
from needs import excuse, needs
from unit.runtime_spec import ROOT

pytestmark = needs("root", "cc", "ip", "runc", "crun")

DOCUMENT = ROOT / "docs/conformance.md"
NAMES = ("pyrun", "runc", "crun")
# What the table is for: the peers of Debian 12, on a host where both versions of cgroups are.
VERSIONS = {"runc": "runc version 1.1.5", "crun": "crun version 1.8.1"}


def listed() -> dict[str, dict[str, str]]:
    """The table of the document: what each runtime does instead, by name and id."""
    found: dict[str, dict[str, str]] = {name: {} for name in NAMES}
    for line in DOCUMENT.read_text().splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 6 and cells[0].startswith("`"):
            for name, cell in zip(NAMES, cells[3:], strict=True):
                if cell:
                    found[name][cells[0].strip("`")] = cell
    return found


@pytest.fixture(scope="module")
def report(pyrun: Path, hybrid_for_crun: None) -> Iterator[dict[str, Any]]:
    """Everything, with all three."""
    command = [sys.executable, "-m", "conformance", "--format", "json", "--jobs", "2"]
    for name in (pyrun, "runc", "crun"):
        command += ["--runtime", str(name)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 1, done.stderr
    return json.loads(done.stdout)


def outcomes(report: dict[str, Any], name: str) -> dict[str, tuple[str, str]]:
    """Outcome and reason by id."""
    results = {row["id"]: row["results"][name] for row in report["requirements"]}
    return {key: (value["outcome"], value["reason"]) for key, value in results.items()}


def at_times(name: str) -> set[str]:
    """What a runtime fails on some runs alone: a race of its own."""
    return {key for key, cell in listed()[name].items() if cell.startswith("at times")}


def is_the_host_of_the_table(report: dict[str, Any]) -> bool:
    versions = {entry["label"]: entry["version"] for entry in report["runtimes"]}
    same = all(versions[name].startswith(text) for name, text in VERSIONS.items())
    return same and "cgroup v1 and v2" in report["host"]


def test_the_table_has_the_words_of_the_registry() -> None:
    ids = {key for column in listed().values() for key in column}
    rows = DOCUMENT.read_text()
    for key in ids:
        requirement = registry.requirements()[key]
        assert f"| `{key}` | {requirement.level} | {requirement.says} |" in rows


def test_pyrun(report: dict[str, Any]) -> None:
    """It fails what is listed, no SHOULD, and refuses nothing that could be seen."""
    found = outcomes(report, "pyrun")
    failed = {key for key, (outcome, _) in found.items() if outcome == "fail"}
    known = set(listed()["pyrun"])
    assert failed <= known
    assert not [key for key in known if registry.requirements()[key].strength == "SHOULD"]
    if is_the_host_of_the_table(report):
        assert failed == known
    refused = [key for key, (_, reason) in found.items() if reason.startswith("the runtime ")]
    assert refused == []


@pytest.mark.parametrize("name", ["runc", "crun"])
def test_peers(name: str, report: dict[str, Any]) -> None:
    if not is_the_host_of_the_table(report):
        excuse("the table is of the peers of Debian 12, with cgroup v1 and v2")
    found = outcomes(report, name)
    failed = {key for key, (outcome, _) in found.items() if outcome == "fail"}
    assert failed | at_times(name) == set(listed()[name])


def test_nothing_is_skipped_without_need(report: dict[str, Any]) -> None:
    """A skip because of the host is one for all runtimes."""
    for row in report["requirements"]:
        reasons = {
            name: result["reason"]
            for name, result in row["results"].items()
            if result["outcome"] == "skip"
        }
        of_the_host = [reason for reason in reasons.values() if "the runtime " not in reason]
        assert not of_the_host or len(reasons) == len(NAMES), (row["id"], reasons)


def test_the_readme_has_the_sums(report: dict[str, Any]) -> None:
    if not is_the_host_of_the_table(report):
        excuse("the README's sums are of the peers of Debian 12, with cgroup v1 and v2")
    text = (ROOT / "README.md").read_text()
    for level, by_name in report["sums"]["levels"].items():
        for name in NAMES:
            sums = by_name[name]
            rows = [row for row in report["requirements"] if row["strength"] == level]
            unlucky = sum(row["results"][name]["outcome"] == "fail" for row in rows
                          if row["id"] in at_times(name))  # fmt: skip
            numbers = [sums.get("pass", 0) + unlucky, sums.get("fail", 0) - unlucky]
            numbers.append(sums.get("skip", 0))
            assert f"| {level} | {name} | {numbers[0]} | {numbers[1]} | {numbers[2]} |" in text


@pytest.fixture(scope="module")
def hybrid_for_crun() -> Iterator[None]:
    """crun 1.8 wants no controller in the v2 tree of a hybrid host: hugetlb gets a v1 hierarchy."""
    with leftovers.own_view():
        place = Path("/sys/fs/cgroup/hugetlb")
        hybrid = Path("/sys/fs/cgroup/unified/cgroup.controllers").exists()
        if hybrid and "hugetlb" in Path("/proc/cgroups").read_text() and not place.is_mount():
            place.mkdir(exist_ok=True)
            command = ["mount", "-t", "cgroup", "-o", "hugetlb", "cgroup", str(place)]
            subprocess.run(command, check=True)
        yield
