# SPDX-License-Identifier: Apache-2.0
"""Statistics by the texts that kernels gave: 6.18 with cgroup v1, 6.12 with v2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyrun.cgroup import stats, stats_text, stats_v1, stats_v2
from pyrun.errors import Error

PRESSURE = """\
some avg10=2.83 avg60=1.20 avg300=0.28 total=927504
full avg10=1.75 avg60=0.76 avg300=0.18 total=617373
"""
V1 = {
    ("cpu", "cpu.stat"): "nr_periods 9\nnr_throttled 2\nthrottled_time 1234567\nnr_bursts 0\n",
    ("cpuacct", "cpuacct.usage"): "7699330\n",
    ("cpuacct", "cpuacct.usage_percpu"): "5407902 2291428 \n",
    ("cpuacct", "cpuacct.usage_all"): "cpu user system\n0 1000000 0\n1 0 4000000\n",
    ("cpuacct", "cpuacct.stat"): "user 3\nsystem 25\n",
    ("cpuset", "cpuset.cpus"): "0-1\n",
    ("cpuset", "cpuset.mems"): "0\n",
    ("cpuset", "cpuset.sched_load_balance"): "1\n",
    ("cpuset", "cpuset.sched_relax_domain_level"): "-1\n",
    ("memory", "memory.limit_in_bytes"): "67108864\n",
    ("memory", "memory.usage_in_bytes"): "1097728\n",
    ("memory", "memory.max_usage_in_bytes"): "2252800\n",
    ("memory", "memory.failcnt"): "0\n",
    ("memory", "memory.kmem.limit_in_bytes"): "9223372036854771712\n",
    ("memory", "memory.kmem.tcp.failcnt"): "7\n",
    ("memory", "memory.stat"): "cache 4096\nrss 49152\nhierarchical_memory_limit 67108864\n",
    ("pids", "pids.current"): "3\n",
    ("pids", "pids.max"): "12\n",
    ("blkio", "blkio.bfq.io_serviced_recursive"): "Total 0\n",
    ("blkio", "blkio.throttle.io_service_bytes_recursive"): (
        "254:0 Read 1295454208\n254:0 Write 0\n254:0 Total 1295454208\nTotal 1295454208\n"
    ),
    ("blkio", "blkio.bfq.time_recursive"): "8:16 77\n",
    ("hugetlb", "hugetlb.2MB.usage_in_bytes"): "4194304\n",
    ("hugetlb", "hugetlb.2MB.max_usage_in_bytes"): "6291456\n",
    ("hugetlb", "hugetlb.2MB.failcnt"): "1\n",
    ("hugetlb", "hugetlb.2MB.rsvd.usage_in_bytes"): "1\n",
}
V2 = {
    ("", "cpu.stat"): (
        "usage_usec 11560198\nuser_usec 3786961\nsystem_usec 7773237\nnice_usec 0\n"
        "nr_periods 4\nnr_throttled 1\nthrottled_usec 250\n"
    ),
    ("", "cpu.pressure"): PRESSURE,
    ("", "memory.stat"): "anon 53248\nfile 458752\nkernel 253952\n",
    ("", "memory.current"): "765952\n",
    ("", "memory.max"): "67108864\n",
    ("", "memory.peak"): "15118336\n",
    ("", "memory.swap.current"): "4096\n",
    ("", "memory.swap.max"): "max\n",
    ("", "io.stat"): (
        "254:0 rbytes=458752 wbytes=0 rios=11 wios=0 dbytes=0 dios=0\n259:3\n"
        "8:1 rbytes=0 wbytes=512 rios=0 wios=1 dbytes=0 dios=0 cost.usage=5\n"
    ),
    ("", "pids.current"): "1\n",
    ("", "pids.max"): "max\n",
    ("", "hugetlb.2MB.current"): "2097152\n",
    ("", "hugetlb.2MB.events"): "max 3\n",
    ("", "hugetlb.2MB.rsvd.current"): "0\n",
}


class Texts:
    """Control files that are there, and no others."""

    def __init__(self, files: dict[tuple[str, str], str]) -> None:
        self.files = files

    def text(self, controller: str, name: str) -> str:
        return self.files.get((controller, name), "")

    def names(self, controller: str) -> list[str]:
        return sorted(name for owner, name in self.files if owner == controller)


def test_v1() -> None:
    found = stats_v1.data(Texts(V1))
    assert found["cpu"] == {
        "usage": {
            "total": 7699330,
            "percpu": [5407902, 2291428],
            "percpu_kernel": [0, 4000000],
            "percpu_user": [1000000, 0],
            "kernel": 250000000,
            "user": 30000000,
        },
        "throttling": {"periods": 9, "throttledPeriods": 2, "throttledTime": 1234567},
    }
    assert found["cpuset"]["cpus"] == [0, 1]
    assert found["cpuset"]["mems"] == [0]
    assert found["cpuset"]["sched_relax_domain_level"] == -1
    assert found["memory"] == {
        "cache": 4096,
        "usage": {"limit": 67108864, "usage": 1097728, "max": 2252800, "failcnt": 0},
        "swap": {"limit": 0, "failcnt": 0},
        "kernel": {"limit": 9223372036854771712, "failcnt": 0},
        "kernelTCP": {"limit": 0, "failcnt": 7},
        "raw": {"cache": 4096, "rss": 49152, "hierarchical_memory_limit": 67108864},
    }
    assert found["pids"] == {"current": 3, "limit": 12}
    assert found["blkio"] == {
        "ioServiceBytesRecursive": [
            {"major": 254, "op": "Read", "value": 1295454208},
            {"major": 254, "op": "Write"},
            {"major": 254, "op": "Total", "value": 1295454208},
        ],
        "ioTimeRecursive": [{"major": 8, "minor": 16, "value": 77}],
    }
    assert found["hugetlb"] == {"2MB": {"usage": 4194304, "max": 6291456, "failcnt": 1}}
    assert found["intel_rdt"] == {}
    assert found["network_interfaces"] is None


def test_pressure_of_a_hybrid_host() -> None:
    found = stats_v1.data(Texts({**V1, ("", "memory.pressure"): PRESSURE}))
    assert found["memory"]["psi"]["full"]["total"] == 617373
    assert "psi" not in found["cpu"]


def test_v2() -> None:
    """Microseconds become nanoseconds."""
    found = stats_v2.data(Texts(V2))
    assert found["cpu"] == {
        "usage": {"total": 11560198000, "kernel": 7773237000, "user": 3786961000},
        "throttling": {"periods": 4, "throttledPeriods": 1, "throttledTime": 250000},
        "psi": {
            "some": {"avg10": 2.83, "avg60": 1.2, "avg300": 0.28, "total": 927504},
            "full": {"avg10": 1.75, "avg60": 0.76, "avg300": 0.18, "total": 617373},
        },
    }
    assert found["memory"] == {
        "cache": 458752,
        "usage": {"limit": 67108864, "usage": 765952, "max": 15118336, "failcnt": 0},
        "swap": {"limit": 2**64 - 1, "usage": 770048, "failcnt": 0},
        "kernel": {"limit": 0, "failcnt": 0},
        "kernelTCP": {"limit": 0, "failcnt": 0},
        "raw": {"anon": 53248, "file": 458752, "kernel": 253952},
    }
    assert found["pids"] == {"current": 1}
    assert found["blkio"] == {
        "ioServiceBytesRecursive": [
            {"major": 254, "op": "Read", "value": 458752},
            {"major": 254, "op": "Write"},
            {"major": 8, "minor": 1, "op": "Read"},
            {"major": 8, "minor": 1, "op": "Write", "value": 512},
        ],
        "ioServicedRecursive": [
            {"major": 254, "op": "Read", "value": 11},
            {"major": 254, "op": "Write"},
            {"major": 8, "minor": 1, "op": "Read"},
            {"major": 8, "minor": 1, "op": "Write", "value": 1},
        ],
    }
    assert found["hugetlb"] == {"2MB": {"usage": 2097152, "failcnt": 3}}
    assert found["cpuset"]["cpu_exclusive"] == 0


@pytest.mark.parametrize(
    ("memory", "swap", "expected"),
    [
        ("max", "max", 2**64 - 1),
        ("max", "4096", 2**64 - 1),
        ("8192", "4096", 12288),
        ("8192", "0", 8192),
    ],
)
def test_limit_of_memory_and_swap(memory: str, swap: str, expected: int) -> None:
    files = {**V2, ("", "memory.max"): memory, ("", "memory.swap.max"): swap}
    assert stats_v2.data(Texts(files))["memory"]["swap"]["limit"] == expected


def test_without_swap_accounting() -> None:
    files = {key: text for key, text in V2.items() if "swap" not in key[1]}
    assert stats_v2.data(Texts(files))["memory"]["swap"] == {"limit": 0, "failcnt": 0}


@pytest.mark.parametrize("module", [stats_v1, stats_v2])
def test_no_controller_at_all(module: Any) -> None:
    found = module.data(Texts({}))
    assert found["cpu"] == {"usage": {"kernel": 0, "user": 0}, "throttling": {}}
    assert (found["pids"], found["blkio"], found["hugetlb"]) == ({}, {}, {})


@pytest.mark.parametrize(
    ("text", "expected"), [("", []), ("\n", []), ("3", [3]), ("0-2,5\n", [0, 1, 2, 5])]
)
def test_lists(text: str, expected: list[int]) -> None:
    assert stats_text.numbers(text) == expected


def test_files_of_a_folder(tmp_path: Path) -> None:
    """A file or a controller that is not there reads as nothing."""
    (tmp_path / "pids.current").write_text("5\n")
    record = {"layout": "v2", "paths": {"": str(tmp_path)}}
    assert stats.read(record)["pids"] == {"current": 5}
    files = stats.ControlFiles({"memory": str(tmp_path)})
    assert files.text("cpu", "cpu.stat") == ""
    assert files.names("cpu") == []
    assert files.names("memory") == ["pids.current"]


def test_no_cgroup(tmp_path: Path) -> None:
    with pytest.raises(Error, match="the container has no cgroup"):
        stats.read({"layout": "v1", "paths": {}})
    with pytest.raises(Error, match="cgroup is gone"):
        stats.read({"layout": "v2", "paths": {"": str(tmp_path / "gone")}})
