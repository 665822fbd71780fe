# SPDX-License-Identifier: Apache-2.0
"""Removing cgroups that are in use for a while, or have others below them."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from pyrun.cgroup import driver, procs
from pyrun.errors import Error

RMDIR = os.rmdir


class Busy:
    """os.rmdir, for which a directory is in use a few times, and gone then; and time.sleep."""

    def __init__(self, times: int, number: int = errno.EBUSY) -> None:
        self.times, self.number = times, number
        self.removed: list[str] = []
        self.pauses: list[float] = []
        self.killed = 0

    def rmdir(self, path: str) -> None:
        if self.times > 0:
            self.times -= 1
            raise OSError(self.number, os.strerror(self.number), path)
        self.removed.append(path)

    def kill(self, _record: dict[str, Any], number: int) -> None:
        assert number == signal.SIGKILL
        self.killed += 1


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Busy:
    found = Busy(0)
    monkeypatch.setattr(os, "rmdir", found.rmdir)
    monkeypatch.setattr(procs, "kill", found.kill)
    monkeypatch.setattr(driver.time, "sleep", found.pauses.append)
    return found


@pytest.mark.parametrize("number", [errno.EBUSY, errno.ENOTEMPTY])
def test_destroy_tries_again_with_longer_pauses(
    v2: dict[str, Any], busy: Busy, number: int
) -> None:
    busy.times, busy.number = 11, number
    driver.destroy(v2)
    assert busy.removed == [v2["paths"][""]]
    assert busy.killed == len(busy.pauses) == 11
    assert busy.pauses[:4] == [0.001, 0.002, 0.004, 0.008]
    assert busy.pauses[-1] == 0.2


def test_destroy_of_what_is_gone(v1: dict[str, Any], busy: Busy) -> None:
    v1["paths"] = {name: f"{path}-gone" for name, path in v1["paths"].items()}
    busy.times, busy.number = len(v1["paths"]), errno.ENOENT
    driver.destroy(v1)
    assert (busy.killed, busy.pauses) == (0, [])


def test_destroy_says_what_else_is_wrong(v2: dict[str, Any], busy: Busy) -> None:
    busy.times, busy.number = 1, errno.EACCES
    with pytest.raises(Error, match=r"remove the cgroup .*/a/box: permission denied"):
        driver.destroy(v2)


def test_destroy_removes_what_is_below_first(
    v1: dict[str, Any], busy: Busy, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = v1["paths"]["pids"]
    Path(top, "one/two").mkdir(parents=True)

    def rmdir(path: str) -> None:
        if [entry for entry in os.scandir(path) if entry.is_dir()]:
            raise OSError(errno.EBUSY, "busy", path)
        for entry in os.scandir(path):
            os.unlink(entry)
        RMDIR(path)

    monkeypatch.setattr(os, "rmdir", rmdir)
    driver.destroy(v1)
    assert not [path for path in procs.directories(v1) if os.path.exists(path)]
    assert busy.killed == 1
