# SPDX-License-Identifier: Apache-2.0
"""Every field of linux.resources as the kernel has it afterwards: read from the host, and from
inside, through the container's own view of its cgroup."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from life import leftovers
from life.bundles import Bundle, mount
from life.runtimes import Container, eventually
from needs import excuse, needs

with_peers = pytest.mark.with_peers
differs = pytest.mark.differs

TOP = Path("/sys/fs/cgroup")
UNIFIED = (TOP / "cgroup.controllers").exists()
M = 1 << 20
Values = dict[str, str]


def disk() -> str:
    """MAJOR:MINOR of a block device: throttles are of a whole one."""
    places = sorted(Path("/sys/block").iterdir(), key=lambda p: p.name.startswith("zram"))
    if not places:
        excuse("no block device")
    return (places[0] / "dev").read_text().strip()


def device(**limits: int) -> dict[str, int]:
    """An entry of blockIO for it."""
    major, minor = disk().split(":")
    return {"major": int(major), "minor": int(minor), **limits}


def outside(container: Container, file: str) -> Path:
    """A control file of the container's, on the host; its name begins with the controller."""
    controller = file.partition(".")[0]
    place = TOP if UNIFIED else TOP / controller
    if not UNIFIED and not place.exists():
        excuse(f"no v1 hierarchy of {controller}")
    if UNIFIED and controller not in [*(TOP / "cgroup.controllers").read_text().split(), "cgroup"]:
        excuse(f"no {controller} in cgroup v2")
    return place / leftovers.PARENT / container.id / file


def inside(file: str) -> str:
    """The same, in the container."""
    return (
        f"/sys/fs/cgroup/{file}" if UNIFIED else f"/sys/fs/cgroup/{file.partition('.')[0]}/{file}"
    )


def read_back(container: Container, bundle: Bundle, limits: Any, v1: Values, v2: Values) -> None:
    """Sets the limits, and compares what the files of this host's layout say. A value with a line
    feed before it is one line of several."""
    expected = v2 if UNIFIED else v1
    if not expected:
        excuse("has nothing of the kind in its version of cgroups")
    for file in expected:
        outside(container, file)
    bundle.linux["resources"].update(limits)
    bundle.config["mounts"].append(mount("/sys/fs/cgroup", "cgroup", "ro"))
    container.started(*(f"cat {inside(file)}" for file in expected), "sleep 100")
    for file, value in expected.items():
        compare(outside(container, file).read_text(), value)
    assert eventually(lambda: len(container.answers()) == len(expected))
    for answer, value in zip(container.answers(), expected.values(), strict=True):
        compare(answer, value)


def compare(text: str, value: str) -> None:
    if value.startswith("\n"):
        assert value.strip() in text.splitlines()
    else:
        assert text.strip() == value


COMMON: list[tuple[str, Any, Values, Values]] = [  # in runc 1.1 and crun 1.8 too
    (
        "memory",
        {"memory": {"limit": 64 * M, "reservation": 32 * M, "swap": 96 * M}},
        {
            "memory.limit_in_bytes": f"{64 * M}",
            "memory.soft_limit_in_bytes": f"{32 * M}",
            "memory.memsw.limit_in_bytes": f"{96 * M}",
        },
        {"memory.max": f"{64 * M}", "memory.low": f"{32 * M}", "memory.swap.max": f"{32 * M}"},
    ),
    (
        "no swap",
        {"memory": {"limit": 64 * M, "swap": 64 * M}},
        {"memory.memsw.limit_in_bytes": f"{64 * M}"},
        {"memory.max": f"{64 * M}", "memory.swap.max": "0"},
    ),
    (
        "any swap",
        {"memory": {"limit": 64 * M, "swap": -1}},
        {"memory.memsw.limit_in_bytes": "9223372036854771712"},
        {"memory.max": f"{64 * M}", "memory.swap.max": "max"},
    ),
    (
        "swappiness",
        {"memory": {"swappiness": 7}},
        {"memory.swappiness": "7"},
        {},
    ),
    (
        "no OOM killer",
        {"memory": {"limit": 64 * M, "disableOOMKiller": True}},
        {"memory.oom_control": "\noom_kill_disable 1"},
        {},
    ),
    (
        "quota",
        {"cpu": {"shares": 1024, "quota": 50000, "period": 100000}},
        {"cpu.shares": "1024", "cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "100000"},
        {"cpu.max": "50000 100000"},
    ),
    (
        "cpuset",
        {"cpu": {"cpus": "0", "mems": "0"}},
        {"cpuset.cpus": "0", "cpuset.mems": "0"},
        {"cpuset.cpus": "0", "cpuset.mems": "0"},
    ),
    ("pids", {"pids": {"limit": 20}}, {"pids.max": "20"}, {"pids.max": "20"}),
    (
        "huge pages",
        {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * M}]},
        {"hugetlb.2MB.limit_in_bytes": f"{4 * M}"},
        {"hugetlb.2MB.max": f"{4 * M}"},
    ),
]
OURS: list[tuple[str, Any, Values, Values]] = [  # later than those, or with the formulas of today
    (
        "reserved huge pages",
        {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * M}]},
        {"hugetlb.2MB.rsvd.limit_in_bytes": f"{4 * M}"},
        {"hugetlb.2MB.rsvd.max": f"{4 * M}"},
    ),
    ("any pids", {"pids": {"limit": -1}}, {"pids.max": "max"}, {"pids.max": "max"}),
    (
        "no quota",
        {"cpu": {"quota": -1, "period": 50000}},
        {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "50000"},
        {"cpu.max": "max 50000"},
    ),
    (
        "unlimited memory",
        {"memory": {"limit": -1}},
        {
            "memory.limit_in_bytes": "9223372036854771712",
            "memory.memsw.limit_in_bytes": "9223372036854771712",
        },
        {"memory.max": "max", "memory.swap.max": "max"},
    ),
    ("shares", {"cpu": {"shares": 512}}, {"cpu.shares": "512"}, {"cpu.weight": "59"}),
    ("least", {"cpu": {"shares": 2}}, {"cpu.shares": "2"}, {"cpu.weight": "1"}),
    ("most", {"cpu": {"shares": 262144}}, {"cpu.shares": "262144"}, {"cpu.weight": "10000"}),
    (
        "burst",
        {"cpu": {"quota": 50000, "period": 100000, "burst": 30000}},
        {"cpu.cfs_burst_us": "30000"},
        {"cpu.max.burst": "30000"},
    ),
    ("idle", {"cpu": {"shares": 512, "idle": 1}}, {"cpu.idle": "1"}, {"cpu.idle": "1"}),
    ("no pids", {"pids": {"limit": 0}}, {"pids.max": "1"}, {"pids.max": "1"}),
    (
        "a file of v2",
        {"unified": {"memory.high": f"{8 * M}", "cgroup.max.depth": "3", "pids.max": "9"}},
        {},
        {"memory.high": f"{8 * M}", "cgroup.max.depth": "3", "pids.max": "9"},
    ),
    (
        "the last word",
        {"pids": {"limit": 20}, "unified": {"pids.max": "9"}},
        {},
        {"pids.max": "9"},
    ),
]


@with_peers
@pytest.mark.parametrize(("limits", "v1", "v2"), [pytest.param(*r, id=i) for i, *r in COMMON])
def test_limits(container: Container, bundle: Bundle, limits: Any, v1: Values, v2: Values) -> None:
    read_back(container, bundle, limits, v1, v2)


@pytest.mark.pyrun_only("later formulas and fields")
@pytest.mark.parametrize(("limits", "v1", "v2"), [pytest.param(*r, id=i) for i, *r in OURS])
def test_later_limits(
    container: Container, bundle: Bundle, limits: Any, v1: Values, v2: Values
) -> None:
    read_back(container, bundle, limits, v1, v2)


@with_peers
def test_throttles(container: Container, bundle: Bundle) -> None:
    limits = {
        "throttleReadBpsDevice": [device(rate=M)],
        "throttleWriteBpsDevice": [device(rate=2 * M)],
        "throttleReadIOPSDevice": [device(rate=300)],
        "throttleWriteIOPSDevice": [device(rate=400)],
    }
    name = disk()
    v1 = {
        "blkio.throttle.read_bps_device": f"{name} {M}",
        "blkio.throttle.write_bps_device": f"{name} {2 * M}",
        "blkio.throttle.read_iops_device": f"{name} 300",
        "blkio.throttle.write_iops_device": f"{name} 400",
    }
    v2 = {"io.max": f"{name} rbps={M} wbps={2 * M} riops=300 wiops=400"}
    read_back(container, bundle, {"blockIO": limits}, v1, v2)


def test_block_weight(container: Container, bundle: Bundle) -> None:
    """By bfq, where the kernel has that scheduler."""
    (parent := outside(container, "io.bfq.weight" if UNIFIED else "blkio.bfq.weight").parent).mkdir(
        parents=True
    )
    names = os.listdir(parent)
    parent.rmdir()
    if "io.bfq.weight" in names or "blkio.bfq.weight" in names:
        v2 = {"io.bfq.weight": "\ndefault 300"}
    elif "io.weight" in names:
        v2 = {"io.weight": "\ndefault 2930"}
    else:
        excuse("no scheduler of its kernel has weights")
    read_back(container, bundle, {"blockIO": {"weight": 300}}, {"blkio.bfq.weight": "300"}, v2)


@pytest.mark.pyrun_only("the texts")
@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"memory": {"limit": M, "swap": 5}}, "memory+swap limit should be >= memory limit"),
        ({"memory": {"swap": 5}}, "unable to set swap limit without memory limit"),
        ({"cpu": {"quota": 5000, "burst": 6000}}, "burst is more than quota: 6000 > 5000"),
        ({"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]}, "huge pages of this size"),
        ({"unified": {"../memory.max": "5"}}, "must be the name of a cgroup file"),
        (
            {"blockIO": {"throttleReadBpsDevice": [{"major": 999, "minor": 9, "rate": 5}]}},
            "no such",
        ),
    ],
)
def test_refused(container: Container, bundle: Bundle, limits: Any, text: str) -> None:
    """With the field's name, and nothing left."""
    bundle.linux["resources"].update(limits)
    result = container.create("print x")
    assert result.code == 1
    assert text in result.err
    assert f"/linux/resources/{next(iter(limits))}" in result.err


@pytest.mark.pyrun_only("the texts")
@needs("cgroup_v2")
@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"unified": {"nosuch.max": "5"}}, "the nosuch controller is not available"),
        ({"unified": {"memory.nosuch": "5"}}, "memory.nosuch: no such file"),
        ({"memory": {"swappiness": 5}}, "this is a feature of cgroup v1"),
        ({"network": {"classID": 5}}, "this is a feature of cgroup v1"),
        ({"cpu": {"realtimeRuntime": 5}}, "this is a feature of cgroup v1"),
    ],
)
def test_refused_on_v2(container: Container, bundle: Bundle, limits: Any, text: str) -> None:
    test_refused(container, bundle, limits, text)
