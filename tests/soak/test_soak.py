# SPDX-License-Identifier: Apache-2.0
"""The loads of `make soak`, small."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from life import leftovers
from life.runtimes import eventually
from needs import needs
from soak import kernel, loads

pytestmark = [needs("root", "busybox", "cc")]


def test_small_loads() -> None:
    leftovers.become_subreaper(yes=True)
    try:
        with leftovers.own_view():
            found = loads.soak("pyrun", 0.001, 0)
    finally:
        leftovers.become_subreaper(yes=False)
    assert found["left"] == "nothing"
    failed = {what: count for what, count in found.items() if what.endswith("failed")}
    assert len(failed) == 7
    assert set(failed.values()) == {"0"}
    assert found["runtime processes beside 5 idle containers"] == "0"
    assert found["ids that could not be used again"] == "0"
    assert "dying cgroups more than before" in found  # how many: others make some meanwhile


class Refusing:
    """A yard whose first container can't be created: a killed verb has made its id useless."""

    made = 0

    def container(self) -> str:
        self.made += 1
        return f"soak-{self.made}"

    def popen(self, verb: str, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["false" if (verb, words[-1]) == ("create", "soak-1") else "true"])


def test_an_id_that_is_lost_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, verb in (("_create", "create"), ("_start", "start"), ("_force", "delete")):
        monkeypatch.setattr(loads, name, lambda container, verb=verb: (verb, container))
    found: dict[str, str] = {}
    yard: Any = Refusing()
    loads.lives(yard, 0.001, found)
    assert (yard.made, found["ids that could not be used again"]) == (2, "1")


@pytest.fixture
def charged() -> Iterator[Path]:
    """A cgroup that counts memory."""
    place = next((p for p in leftovers.hierarchies() if p.name == "memory"), None)
    if not place:
        place = leftovers.CGROUPS
        (place / "cgroup.subtree_control").write_text("+memory")
    folder = place / f"pyrun-soak-{os.getpid()}"
    folder.mkdir()
    yield folder
    if folder.exists():
        folder.rmdir()


def settled() -> int:
    """How many are dying, once the kernel has freed those of the tests before."""
    counts = [-1, -2]
    deadline = time.monotonic() + 30
    while len(set(counts[-5:])) > 1 and time.monotonic() < deadline:
        time.sleep(0.2)
        counts.append(kernel.dying_cgroups())
    return counts[-1]


def test_a_cgroup_that_lives_on_is_counted(charged: Path) -> None:
    """A page of a tmpfs, charged to a cgroup that is gone, keeps it in the kernel."""
    script = "echo $$ > $1/cgroup.procs; dd if=/dev/zero of=$2 bs=1M count=1"
    page = Path(f"/dev/shm/pyrun-soak-{os.getpid()}")
    try:
        before = settled()
        words = ["sh", "-c", script, "sh", charged, page]
        subprocess.run(words, check=True, capture_output=True)
        charged.rmdir()
        with_it = kernel.dying_cgroups()
        assert with_it > before
    finally:
        page.unlink(missing_ok=True)
    assert eventually(lambda: kernel.dying_cgroups() < with_it, 30)


def test_what_is_left_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def untidy(yard: loads.Yard, _scale: float, _into: dict[str, str]) -> None:
        assert yard.container().create().code == 0

    monkeypatch.setattr(loads, "LOADS", (untidy,))
    leftovers.become_subreaper(yes=True)
    try:
        with leftovers.own_view():
            found = loads.soak("pyrun", 0.001, 0)
    finally:
        leftovers.become_subreaper(yes=False)
    assert "1 state" in found["left"]
    assert "1 processes" in found["left"]
