# SPDX-License-Identifier: Apache-2.0
"""The conversion tables: a fragment of linux.resources, and the values that go into the files."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pyrun.cgroup import block_io, resources
from pyrun.errors import Error

EMPTY: list[dict[str, Any]] = [
    {},
    {"blockIO": {}, "network": {}, "hugepageLimits": [], "rdma": {}, "unified": {}},
    {"memory": None, "cpu": None, "pids": None, "blockIO": None, "network": None},
    {"blockIO": {"weight": 0, "leafWeight": 0}, "network": {"classID": 0, "priorities": []}},
    {"cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": "", "realtimePeriod": 0}},
    {"memory": {"limit": 0, "swap": 0, "reservation": 0, "kernel": 5, "kernelTCP": 5}},
    {"memory": {"checkBeforeUpdate": True, "useHierarchy": True}},
    {"memory": {"swappiness": -1}},
    {"memory": {"swappiness": 2**64 - 1}},
    {"pids": {}, "somethingNew": {"x": 1}},
]


def values(found: list[resources.Write]) -> list[tuple[str, str]]:
    return [choices[0] for _, _, choices, _ in found]


@pytest.mark.parametrize("fragment", EMPTY)
@pytest.mark.parametrize("unified", [False, True])
def test_unset_sets_nothing(fragment: dict[str, Any], unified: bool) -> None:
    assert resources.writes(fragment, unified) == []


M = 1 << 20
DISK = {"major": 8, "minor": 16, "rate": 9}
THROTTLES = (
    "throttleReadBpsDevice",
    "throttleWriteBpsDevice",
    "throttleReadIOPSDevice",
    "throttleWriteIOPSDevice",
)
V2: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"cpu": {"shares": 1024}}, [("cpu.weight", "100")]),
    ({"cpu": {"quota": 50000, "period": 20000}}, [("cpu.max", "50000 20000")]),
    ({"cpu": {"quota": 50000}}, [("cpu.max", "50000 100000")]),
    ({"cpu": {"quota": -1}}, [("cpu.max", "max 100000")]),
    ({"cpu": {"period": 20000}}, [("cpu.max", "max 20000")]),
    (
        {"cpu": {"burst": 100, "quota": 500, "shares": 2, "idle": 1}},
        [("cpu.weight", "1"), ("cpu.max", "500 100000"), ("cpu.max.burst", "100")]
        + [("cpu.idle", "1")],
    ),
    ({"cpu": {"burst": 0, "idle": 0}}, [("cpu.max.burst", "0"), ("cpu.idle", "0")]),
    ({"cpu": {"quota": -1, "burst": 5}}, [("cpu.max", "max 100000"), ("cpu.max.burst", "5")]),
    ({"cpu": {"cpus": "0-1", "mems": "0"}}, [("cpuset.cpus", "0-1"), ("cpuset.mems", "0")]),
    ({"memory": {"limit": M}}, [("memory.max", "1048576")]),
    ({"memory": {"limit": -1}}, [("memory.swap.max", "max"), ("memory.max", "max")]),
    ({"memory": {"limit": M, "swap": 3 * M}}, [("memory.swap.max", f"{2 * M}")]),
    ({"memory": {"limit": M, "swap": M}}, [("memory.swap.max", "0")]),
    ({"memory": {"limit": M, "swap": -1}}, [("memory.swap.max", "max")]),
    ({"memory": {"swap": -1}}, [("memory.swap.max", "max")]),
    ({"memory": {"limit": -1, "swap": M}}, [("memory.swap.max", f"{M}"), ("memory.max", "max")]),
    ({"memory": {"reservation": M}}, [("memory.low", f"{M}")]),
    ({"memory": {"reservation": -1}}, [("memory.low", "max")]),
    ({"pids": {"limit": 20}}, [("pids.max", "20")]),
    ({"pids": {"limit": 0}}, [("pids.max", "1")]),
    ({"pids": {"limit": -1}}, [("pids.max", "max")]),
    ({"blockIO": {"weight": 10}}, [("io.bfq.weight", "10")]),
    (
        {"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 9}]}},
        [("io.max", "8:0 rbps=9")],
    ),
    (
        {"blockIO": {"throttleWriteIOPSDevice": [{"major": 8, "minor": 1, "rate": 7}]}},
        [("io.max", "8:1 wiops=7")],
    ),
    (
        {"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 0}]}},
        [("io.max", "8:0 rbps=max")],
    ),
    (
        {"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 0}]}},
        [("io.bfq.weight", "8:0 default")],
    ),
    (
        {"blockIO": {kind: [DISK] for kind in THROTTLES}},
        [("io.max", f"8:16 {key}=9") for key in ("rbps", "wbps", "riops", "wiops")],
    ),
    (
        {"blockIO": {"weightDevice": [{"major": 8, "minor": 16, "weight": 500}]}},
        [("io.bfq.weight", "8:16 500")],
    ),
    (
        {"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]},
        [("hugetlb.2MB.max", "0"), ("hugetlb.2MB.rsvd.max", "0")],
    ),
    (
        {"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 4}}},
        [("rdma.max", "mlx5_1 hca_handle=3 hca_object=4")],
    ),
    (
        {"unified": {"cgroup.max.depth": "3", "memory.low": "", "new.file": " as it is "}},
        [("cgroup.max.depth", "3"), ("new.file", " as it is ")],
    ),
    (
        {"unified": {"io.max": "8:0 rbps=1\n8:1 rbps=2", "memory.high": "5"}, "pids": {"limit": 2}},
        [("pids.max", "2"), ("io.max", "8:0 rbps=1"), ("io.max", "8:1 rbps=2")]
        + [("memory.high", "5")],
    ),
]


@pytest.mark.parametrize(("fragment", "expected"), V2)
def test_v2(fragment: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    found = values(resources.v2(fragment))
    assert found[: len(expected)] == expected


V1: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"cpu": {"burst": 0, "idle": 0}}, [("cpu.cfs_burst_us", "0"), ("cpu.idle", "0")]),
    ({"cpu": {"cpus": "0,2-3", "mems": "0"}}, [("cpuset.cpus", "0,2-3"), ("cpuset.mems", "0")]),
    (
        {"memory": {"limit": M, "swap": -1}},
        [("memory.limit_in_bytes", f"{M}"), ("memory.memsw.limit_in_bytes", "-1")],
    ),
    ({"memory": {"reservation": -1}}, [("memory.soft_limit_in_bytes", "-1")]),
    ({"pids": {"limit": 0}}, [("pids.max", "1")]),
    ({"pids": {"limit": 20}}, [("pids.max", "20")]),
    (
        {"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 0}]}},
        [("blkio.throttle.read_bps_device", "8:0 0")],
    ),
    (
        {"cpu": {"shares": 512, "quota": -1, "period": 20000, "burst": 5, "idle": 1}},
        [("cpu.shares", "512"), ("cpu.cfs_period_us", "20000"), ("cpu.cfs_quota_us", "-1")]
        + [("cpu.cfs_burst_us", "5"), ("cpu.idle", "1")],
    ),
    (
        {"cpu": {"realtimeRuntime": 9, "realtimePeriod": 10}},
        [("cpu.rt_period_us", "10"), ("cpu.rt_runtime_us", "9")],
    ),
    (
        {"memory": {"limit": M, "swap": 2 * M, "reservation": 5}},
        [("memory.limit_in_bytes", f"{M}"), ("memory.memsw.limit_in_bytes", f"{2 * M}")]
        + [("memory.soft_limit_in_bytes", "5")],
    ),
    (
        {"memory": {"limit": -1}},
        [("memory.limit_in_bytes", "-1"), ("memory.memsw.limit_in_bytes", "-1")],
    ),
    (
        {"memory": {"disableOOMKiller": True, "swappiness": 0}},
        [("memory.oom_control", "1"), ("memory.swappiness", "0")],
    ),
    ({"memory": {"disableOOMKiller": False}}, [("memory.oom_control", "0")]),
    ({"pids": {"limit": -1}}, [("pids.max", "max")]),
    ({"blockIO": {"weight": 300}}, [("blkio.weight", "300")]),
    (
        {"blockIO": {kind: [DISK] for kind in THROTTLES}},
        [
            ("blkio.throttle.read_bps_device", "8:16 9"),
            ("blkio.throttle.write_bps_device", "8:16 9"),
            ("blkio.throttle.read_iops_device", "8:16 9"),
            ("blkio.throttle.write_iops_device", "8:16 9"),
        ],
    ),
    (
        {"blockIO": {"weightDevice": [{"major": 8, "minor": 16, "weight": 500}]}},
        [("blkio.weight_device", "8:16 500")],
    ),
    ({"rdma": {"mlx5_1": {"hcaHandles": 3}}}, [("rdma.max", "mlx5_1 hca_handle=3")]),
    (
        {"network": {"classID": 7, "priorities": [{"name": "eth0", "priority": 5}]}},
        [("net_cls.classid", "7"), ("net_prio.ifpriomap", "eth0 5")],
    ),
    (
        {"hugepageLimits": [{"pageSize": "2MB", "limit": 4}]},
        [("hugetlb.2MB.limit_in_bytes", "4"), ("hugetlb.2MB.rsvd.limit_in_bytes", "4")],
    ),
]


@pytest.mark.parametrize(("fragment", "expected"), V1)
def test_v1(fragment: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert values(resources.v1(fragment)) == expected


BASE = "/linux/resources"
BOTH, ONLY_V1, ONLY_V2 = (False, True), (False,), (True,)
REFUSED: list[tuple[dict[str, Any], str, tuple[bool, ...]]] = [
    ({"memory": {"swap": 5}}, "/memory/swap", BOTH),
    ({"memory": {"limit": 6, "swap": 5}}, "/memory/swap", BOTH),
    ({"memory": {"limit": -2}}, "/memory/limit", BOTH),
    ({"memory": {"useHierarchy": False}}, "/memory/useHierarchy", BOTH),
    ({"memory": {"swappiness": 101}}, "/memory/swappiness", BOTH),
    ({"memory": {"swappiness": 0}}, "/memory/swappiness", ONLY_V2),
    ({"memory": {"disableOOMKiller": True}}, "/memory/disableOOMKiller", ONLY_V2),
    ({"cpu": {"realtimeRuntime": 1}}, "/cpu/realtimeRuntime", ONLY_V2),
    ({"cpu": {"realtimePeriod": 1}}, "/cpu/realtimePeriod", ONLY_V2),
    ({"cpu": {"quota": 5, "burst": 6}}, "/cpu/burst", BOTH),
    ({"cpu": {"shares": 1}}, "/cpu/shares", ONLY_V1),
    ({"cpu": {"shares": 262145}}, "/cpu/shares", ONLY_V1),
    ({"blockIO": {"leafWeight": 10}}, "/blockIO/leafWeight", BOTH),
    (
        {"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "leafWeight": 5}]}},
        "/blockIO/weightDevice/0/leafWeight",
        BOTH,
    ),
    ({"blockIO": {"weightDevice": [{"major": 8, "minor": 0}]}}, "/blockIO/weightDevice/0", BOTH),
    ({"network": {"classID": 7}}, "/network/classID", ONLY_V2),
    (
        {"network": {"priorities": [{"name": "eth0", "priority": 1}]}},
        "/network/priorities",
        ONLY_V2,
    ),
    ({"memory": {"reservation": -2}}, "/memory/reservation", BOTH),
    ({"memory": {"swap": -2}}, "/memory/swap", BOTH),
    ({"unified": {"cgroup.procs": "1"}}, "/unified/cgroup.procs", ONLY_V2),
    ({"unified": {"cgroup.threads": "1"}}, "/unified/cgroup.threads", ONLY_V2),
    ({"unified": {"cgroup.freeze": "1"}}, "/unified/cgroup.freeze", ONLY_V2),
    ({"unified": {"cgroup.kill": "1"}}, "/unified/cgroup.kill", ONLY_V2),
    ({"unified": {"memory": "1"}}, "/unified/memory", ONLY_V2),
    ({"unified": {"memory.high": "1"}}, "/unified", ONLY_V1),
    ({"unified": {"../x/memory.max": "1"}}, "/unified/..~1x~1memory.max", ONLY_V2),
    ({"unified": {"..": "1"}}, "/unified/..", ONLY_V2),
    ({"hugepageLimits": [{"pageSize": "../2MB", "limit": 1}]}, "/hugepageLimits/0/pageSize", BOTH),
]


@pytest.mark.parametrize(("fragment", "pointer", "layouts"), REFUSED)
def test_what_cannot_be_honoured_is_refused(
    fragment: dict[str, Any], pointer: str, layouts: tuple[bool, ...]
) -> None:
    for unified in layouts:
        with pytest.raises(Error) as caught:
            resources.writes(fragment, unified)
        assert caught.value.pointer == BASE + pointer


@pytest.mark.parametrize(
    ("shares", "weight"),
    [(0, 0), (1, 1), (2, 1), (3, 2), (1024, 100), (262144, 10000), (1 << 40, 10000)],
)
def test_cpu_weight(shares: int, weight: int) -> None:
    assert resources.cpu_weight(shares) == weight


def test_cpu_weight_is_the_formula_for_every_value() -> None:
    for shares in [*range(3, 5000), *range(5000, 262144, 997)]:
        log = math.log2(shares)
        formula = math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34))
        assert resources.cpu_weight(shares) == formula


@pytest.mark.parametrize(
    ("weight", "expected"), [(0, 0), (1, 1), (10, 1), (500, 4950), (1000, 10000)]
)
def test_io_weight(weight: int, expected: int) -> None:
    assert block_io.io_weight(weight) == expected


def test_swap_that_the_kernel_does_not_count_is_optional_only_when_it_is_no_limit() -> None:
    def optional(memory: dict[str, Any]) -> bool:
        return resources.v2({"memory": memory})[0][3]

    assert optional({"limit": M, "swap": M})
    assert optional({"limit": M, "swap": -1})
    assert not optional({"limit": M, "swap": 2 * M})


@pytest.mark.parametrize("unified", [False, True])
def test_what_is_0_by_default_may_lack_its_file(unified: bool) -> None:
    for value, optional in ((0, True), (1, False)):
        found = resources.writes({"cpu": {"quota": 9, "burst": value, "idle": value}}, unified)
        assert [write[3] for write in found] == [False, optional, optional]


def test_every_write_names_the_field_that_asked() -> None:
    for table, convert in ((V1, resources.v1), (V2, resources.v2)):
        for fragment, _ in table:
            for pointer, controller, choices, _ in convert(fragment):
                field = pointer.removeprefix(f"{BASE}/").split("/")[0]
                assert field in fragment
                prefix = choices[0][0].partition(".")[0]
                assert controller == ("" if prefix == "cgroup" else prefix)
