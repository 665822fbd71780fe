# SPDX-License-Identifier: Apache-2.0
"""A release takes the packages that were looked at, and no other bytes."""

from __future__ import annotations

import re

import pytest

from supply import locks

PROJECT = locks.project()
WANTED = {
    "run": PROJECT["project"]["dependencies"],
    "build": PROJECT["build-system"]["requires"],
}


@pytest.mark.parametrize("name", WANTED)
def test_lock_is_whole_and_in_step(name: str) -> None:
    lock = locks.read((locks.ROOT / f"locks/{name}.txt").read_text())
    assert locks.lacks(lock, WANTED[name]) == []
    assert locks.flaws(lock) == []


def test_what_is_lacking_is_seen() -> None:
    text = (locks.ROOT / "locks/run.txt").read_text()
    lock = locks.read(text)
    assert locks.lacks({**lock, "click": ("8.0.1", 2)}, WANTED["run"]) != []
    assert locks.lacks({**lock, "click": ("8.1.8", 0)}, WANTED["run"]) == ["click: no hash"]
    assert locks.lacks({k: v for k, v in lock.items() if k != "pycparser"}, WANTED["run"]) == [
        "pycparser: not in it"  # which cffi brings
    ]
    with pytest.raises(ValueError, match="not a pin"):
        locks.read(text + "\nsix>=1\n")
    with pytest.raises(ValueError, match="not a pin"):
        locks.read(text.replace("sha256:", "md5:", 1))


def test_flaws_are_seen() -> None:
    assert locks.flaws({"protobuf": ("5.29.1", 1)}) == ["protobuf 5.29.1: CVE-2025-4565"]


def test_no_version_that_is_allowed_is_known_to_be_flawed() -> None:
    """The lowest that pyproject.toml takes: somebody may install by it, without the locks."""
    lowest = {}
    for text in WANTED["run"]:
        name, version = re.fullmatch(r"([\w-]+)>=([\d.]+)", text).groups()  # type: ignore[union-attr]
        lowest[name] = (version, 1)
    assert locks.flaws(lowest) == []


def test_install_takes_what_is_locked_alone() -> None:
    lines = (locks.ROOT / "scripts/install").read_text().splitlines()
    installs = [line for line in lines if " install " in line and '"${pip[@]}"' in line]
    assert len(installs) == 2
    assert "--require-hashes --no-deps -r locks/run.txt" in installs[0]
    assert "--no-index --no-deps" in installs[1]
