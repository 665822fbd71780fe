# SPDX-License-Identifier: Apache-2.0
"""Limits on a cgroup that has some already: the order of writes, checks, and the way back."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from pyrun.cgroup import cgroupfs, limits, resources, rollback
from pyrun.errors import Error

LIMIT, MEMSW = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"

REST = "wbps=max riops=max wiops=max"
RDMA = "hca_handle=max hca_object=4"


class Kernel:
    """Of v1's controllers, what relates two files: LIMIT <= MEMSW, burst <= quota."""

    def __init__(self, **values: int) -> None:
        self.values = {LIMIT: 1 << 60, MEMSW: 1 << 60, "cpu.cfs_quota_us": 9, "cpu.cfs_burst_us": 0}
        self.values.update({name.replace("__", "."): value for name, value in values.items()})

    def write(self, path: str, text: str) -> None:
        after = {**self.values, path.rpartition("/")[2]: int(text)}
        if after[LIMIT] > after[MEMSW] or after["cpu.cfs_burst_us"] > after["cpu.cfs_quota_us"]:
            raise OSError(errno.EINVAL, "invalid", path)
        self.values = after


def apply(monkeypatch: pytest.MonkeyPatch, kernel: Kernel, wanted: dict[str, Any]) -> None:
    monkeypatch.setattr(cgroupfs, "write", kernel.write)
    limits.apply(resources.v1(wanted), {"memory": "/m", "cpu": "/c"}, "absent")


@pytest.mark.parametrize("before", [(4, 8), (40, 80), (10, 20), (1 << 60, 1 << 60), (4, 1 << 60)])
def test_memory_grows_and_shrinks(monkeypatch: pytest.MonkeyPatch, before: tuple[int, int]) -> None:
    kernel = Kernel()
    kernel.values[LIMIT], kernel.values[MEMSW] = before
    apply(monkeypatch, kernel, {"memory": {"limit": 10, "swap": 20}})
    assert (kernel.values[LIMIT], kernel.values[MEMSW]) == (10, 20)


@pytest.mark.parametrize("before", [(9, 0), (90, 90), (2, 1), (5, 3)])
def test_burst_grows_and_shrinks(monkeypatch: pytest.MonkeyPatch, before: tuple[int, int]) -> None:
    kernel = Kernel(cpu__cfs_quota_us=before[0], cpu__cfs_burst_us=before[1])
    apply(monkeypatch, kernel, {"cpu": {"quota": 5, "burst": 3}})
    assert (kernel.values["cpu.cfs_quota_us"], kernel.values["cpu.cfs_burst_us"]) == (5, 3)


def test_what_no_order_helps_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel()
    kernel.values[LIMIT], kernel.values[MEMSW] = 4, 8
    with pytest.raises(Error, match=f"write 9 to /m/{LIMIT}: invalid argument") as caught:
        apply(monkeypatch, kernel, {"memory": {"limit": 9}, "cpu": {"quota": 7}})
    assert caught.value.pointer == "/linux/resources/memory/limit"
    assert kernel.values["cpu.cfs_quota_us"] == 7


@pytest.mark.parametrize(
    ("memory", "refused"),
    [
        ({"limit": 5, "checkBeforeUpdate": True}, True),
        ({"limit": 50, "checkBeforeUpdate": True}, False),
        ({"limit": -1, "checkBeforeUpdate": True}, False),
        ({"limit": 5}, False),
    ],
)
def test_check_before_update(tmp_path: Path, memory: dict[str, int], refused: bool) -> None:
    limits.check_usage(memory, str(tmp_path))  # no memory controller there
    (tmp_path / "memory.current").write_text("9\n")
    if refused:
        with pytest.raises(Error, match="limit of 5 bytes is below the 9 that are in use"):
            limits.check_usage(memory, str(tmp_path))
    else:
        limits.check_usage(memory, str(tmp_path))


@pytest.mark.parametrize(
    ("file", "value", "text", "expected"),
    [
        ("memory.max", "5", "max\n", "max"),
        ("cpu.max", "5 7", "max 100000\n", "max 100000"),
        ("memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0\n", "0"),
        ("cpuset.cpus", "0", "\n", "\n"),
        ("cpuset.cpus", "0", "0-3,7\n", "0-3,7"),
        ("io.max", "8:0 rbps=9", f"8:1 rbps=1 {REST}\n", f"8:0 rbps=max {REST}"),
        ("io.max", "8:1 rbps=9", f"8:1 rbps=1 {REST}\n", f"8:1 rbps=1 {REST}"),
        ("io.weight", "7", "default 100\n8:0 50\n", "default 100"),
        ("io.weight", "8:0 7", "default 100\n8:0 50\n", "8:0 50"),
        ("io.weight", "8:1 7", "default 100\n8:0 50\n", "8:1 default"),
        ("blkio.throttle.read_bps_device", "8:0 9", "", "8:0 0"),
        ("net_prio.ifpriomap", "eth0 5", "lo 0\neth0 3\n", "eth0 3"),
        ("rdma.max", "m hca_handle=3", f"m {RDMA}\n", f"m {RDMA}"),
    ],
)  # fmt: skip
def test_the_way_back(file: str, value: str, text: str, expected: str) -> None:
    assert rollback.as_written(file, value, text) == expected


def test_an_update_can_be_taken_back(tmp_path: Path) -> None:
    before = {"pids.max": "max", "memory.max": "7", "memory.swap.max": "max"}
    for name, text in before.items():
        (tmp_path / name).write_text(text)
    directories = dict.fromkeys(("pids", "memory"), str(tmp_path))
    wanted = {"pids": {"limit": 5}, "memory": {"limit": 9, "swap": 10}}
    found = resources.v2({**wanted, "unified": {"io.max": "8:0 rbps=1"}})
    present = rollback.present(found, directories)
    with pytest.raises(Error, match="the io controller is not available"):
        limits.apply(found, directories, "absent")
    assert (tmp_path / "pids.max").read_text() == "5ax"  # a plain file is not cut
    limits.apply(present, directories, "absent")
    assert {name: (tmp_path / name).read_text() for name in before} == before
