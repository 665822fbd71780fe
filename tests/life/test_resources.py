# SPDX-License-Identifier: Apache-2.0
"""Every field of linux.resources as the kernel has it afterwards: read from the host, and from
inside, through the container's own view of its cgroup."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from life import hierarchies, leftovers
from life.bundles import Bundle, mount
from life.runtimes import Container, eventually
from needs import excuse, needs

pytestmark = pytest.mark.warmed
with_peers = pytest.mark.with_peers
differs = pytest.mark.differs

TOP = Path("/sys/fs/cgroup")
UNIFIED = (TOP / "cgroup.controllers").exists()
M = 1 << 20
Values = dict[str, str]
# Of v1, what a machine may have mounted nowhere: then it is, for these tests alone.
SELDOM = ("hugetlb", "net_cls", "net_prio", "rdma")


@pytest.fixture(scope="module", autouse=True)
def every_controller(subreaper: None) -> None:
    """On a machine with v1, a hierarchy for each controller that the kernel knows."""
    if os.geteuid() != 0 or not hierarchies.has_v1():
        return
    missing = [name for name in SELDOM if name in hierarchies.known() and not (TOP / name).exists()]
    if missing:
        hierarchies.show_v1(*missing, unified=(TOP / "unified/cgroup.procs").exists())


def command(*words: str) -> str:
    """What it prints; where it can't be run, or fails, the machine lacks what it is for."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        excuse(f"{' '.join(words)}: {getattr(error, 'stderr', '') or error}".strip())
    return done.stdout.strip()


def disk() -> str:
    """MAJOR:MINOR of a block device: throttles are of a whole one."""
    places = sorted(Path("/sys/block").iterdir(), key=lambda p: p.name.startswith("zram"))
    if not places:
        excuse("no block device")
    return (places[0] / "dev").read_text().strip()


def device(name: str, **limits: int) -> dict[str, int]:
    """An entry of blockIO for MAJOR:MINOR."""
    major, minor = name.split(":")
    return {"major": int(major), "minor": int(minor), **limits}


@pytest.fixture
def bfq_disk(place: Path) -> Iterator[str]:
    """MAJOR:MINOR of a block device of our own, with the scheduler bfq."""
    image = place / "disk"
    image.write_bytes(b"")
    os.truncate(image, 8 * M)
    node = command("losetup", "--find", "--show", str(image))
    try:
        folder = Path("/sys/block") / Path(node).name
        try:
            (folder / "queue/scheduler").write_text("bfq")
        except OSError:
            excuse("no scheduler bfq")
        yield (folder / "dev").read_text().strip()
        (folder / "queue/scheduler").write_text("none")
    finally:
        command("losetup", "--detach", node)


@pytest.fixture
def rdma_device() -> Iterator[str]:
    """A device by software, over an interface of our own."""
    known = (TOP / "cgroup.controllers").read_text() if UNIFIED else hierarchies.known()
    if "rdma" not in known:
        excuse("no controller rdma in its kernel")
    command("modprobe", "rdma_rxe")
    command("ip", "link", "add", "pyrun-rdma", "type", "dummy")
    command("ip", "link", "set", "pyrun-rdma", "up")
    command("rdma", "link", "add", "pyrun0", "type", "rxe", "netdev", "pyrun-rdma")
    yield "pyrun0"
    command("ip", "link", "delete", "pyrun-rdma")


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
        assert value.strip() in [line.strip() for line in text.splitlines()]
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
        "a class of packets",
        {"network": {"classID": 0x100001}},
        {"net_cls.classid": "1048577"},
        {},
    ),
    (
        "priorities of interfaces",
        {"network": {"priorities": [{"name": "lo", "priority": 5}]}},
        {"net_prio.ifpriomap": "\nlo 5"},
        {},
    ),
    (
        "huge pages",
        {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * M}]},
        {"hugetlb.2MB.limit_in_bytes": f"{4 * M}"},
        {"hugetlb.2MB.max": f"{4 * M}"},
    ),
]
REAL_TIME: tuple[Any, Values] = (
    {"cpu": {"realtimeRuntime": 20000, "realtimePeriod": 500000}},
    {"cpu.rt_runtime_us": "20000", "cpu.rt_period_us": "500000"},
)
OURS: list[tuple[str, Any, Values, Values]] = [  # later than those, or with the formulas of today
    (
        "reserved huge pages",
        {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * M}]},
        {"hugetlb.2MB.rsvd.limit_in_bytes": f"{4 * M}"},
        {"hugetlb.2MB.rsvd.max": f"{4 * M}"},
    ),
    (
        "hierarchy",
        {"memory": {"limit": 64 * M, "useHierarchy": True}},
        {"memory.use_hierarchy": "1"},
        {},
    ),
    (
        "an OOM killer",
        {"memory": {"limit": 64 * M, "disableOOMKiller": False}},
        {"memory.oom_control": "\noom_kill_disable 0"},
        {"memory.max": f"{64 * M}"},
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
    name = disk()
    limits = {
        "throttleReadBpsDevice": [device(name, rate=M)],
        "throttleWriteBpsDevice": [device(name, rate=2 * M)],
        "throttleReadIOPSDevice": [device(name, rate=300)],
        "throttleWriteIOPSDevice": [device(name, rate=400)],
    }
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


def weights(name: str) -> Any:
    """What bfq alone has for a device; it weighs the others as `weight` says."""
    return {"blockIO": {"weight": 300, "weightDevice": [device(name, weight=700)]}}


@needs("cgroup_v1_controllers")
@with_peers
@differs(crun="knows the files of CFQ, which is gone")
def test_weight_of_a_device(container: Container, bundle: Bundle, bfq_disk: str) -> None:
    values = {"blkio.bfq.weight": "300", "blkio.bfq.weight_device": f"\n{bfq_disk} 700"}
    read_back(container, bundle, weights(bfq_disk), values, {})


@needs("cgroup_v2")
@with_peers
def test_weight_of_a_device_on_v2(container: Container, bundle: Bundle, bfq_disk: str) -> None:
    values = {"io.bfq.weight": f"\n{bfq_disk} 700"}
    read_back(container, bundle, weights(bfq_disk), {}, values)


@with_peers
def test_real_time(container: Container, bundle: Bundle) -> None:
    """v1's, where the parent cgroup has as much: a new one has none."""
    if UNIFIED or not (TOP / "cpu/cpu.rt_runtime_us").exists():
        excuse("its kernel has no groups of real-time tasks, or cgroup v2, which has none")
    (TOP / "cpu" / leftovers.PARENT).mkdir(exist_ok=True)
    (TOP / "cpu" / leftovers.PARENT / "cpu.rt_runtime_us").write_text("200000")
    read_back(container, bundle, REAL_TIME[0], REAL_TIME[1], {})


@with_peers
@differs(crun="sets none, in silence")
def test_rdma(container: Container, bundle: Bundle, rdma_device: str) -> None:
    limits = {rdma_device: {"hcaHandles": 3, "hcaObjects": 10000}}
    values = {"rdma.max": f"\n{rdma_device} hca_handle=3 hca_object=10000"}
    read_back(container, bundle, {"rdma": limits}, values, values)
