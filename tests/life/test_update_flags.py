# SPDX-License-Identifier: Apache-2.0
"""Each flag of update by itself, as the kernel has it afterwards; and that what it does not name is
as it was."""

from __future__ import annotations

import pytest

from life.bundles import Bundle
from life.runtimes import Container
from life.test_resources import UNIFIED, compare, outside
from needs import excuse, needs

pytestmark = needs("root")
M = 1 << 20

# flag, value, (file of v1, what it says), (file of v2, what it says); a file of "" is no such thing
FLAGS = [
    ("--cpu-period", "50000", ("cpu.cfs_period_us", "50000"), ("cpu.max", "30000 50000")),
    ("--cpu-quota", "20000", ("cpu.cfs_quota_us", "20000"), ("cpu.max", "20000 100000")),
    ("--cpu-quota", "-1", ("cpu.cfs_quota_us", "-1"), ("cpu.max", "max 100000")),
    ("--cpu-share", "512", ("cpu.shares", "512"), ("cpu.weight", "59")),
    ("--cpu-burst", "5000", ("cpu.cfs_burst_us", "5000"), ("cpu.max.burst", "5000")),
    ("--cpu-idle", "1", ("cpu.idle", "1"), ("cpu.idle", "1")),
    ("--cpuset-cpus", "0", ("cpuset.cpus", "0"), ("cpuset.cpus", "0")),
    ("--cpuset-mems", "0", ("cpuset.mems", "0"), ("cpuset.mems", "0")),
    ("--memory", "48M", ("memory.limit_in_bytes", f"{48 * M}"), ("memory.max", f"{48 * M}")),
    (
        "--memory-reservation",
        "16M",
        ("memory.soft_limit_in_bytes", f"{16 * M}"),
        ("memory.low", f"{16 * M}"),
    ),
    (
        "--memory-swap",
        "160M",
        ("memory.memsw.limit_in_bytes", f"{160 * M}"),
        ("memory.swap.max", f"{96 * M}"),
    ),
    ("--pids-limit", "40", ("pids.max", "40"), ("pids.max", "40")),
    ("--pids-limit", "0", ("pids.max", "1"), ("pids.max", "1")),
    ("--pids-limit", "-1", ("pids.max", "max"), ("pids.max", "max")),
]
WATCHED = {  # what is set at first
    "v1": ("cpu.cfs_quota_us", "cpu.cfs_period_us", "memory.limit_in_bytes")
    + ("memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes", "pids.max"),
    "v2": ("cpu.max", "cpu.weight", "memory.max", "memory.swap.max", "memory.low", "pids.max"),
}


@pytest.fixture
def limited(container: Container, bundle: Bundle) -> Container:
    """A container with some limits, started."""
    bundle.linux["resources"].update(
        memory={"limit": 64 * M, "swap": 128 * M, "reservation": 32 * M},
        cpu={"shares": 1024, "quota": 30000, "period": 100000},
        pids={"limit": 30},
    )
    outside(container, "memory.max" if UNIFIED else "memory.limit_in_bytes")
    return container.started("sleep 100")


@pytest.mark.pyrun_only("peers of this age lack some, or complete a value with their own default")
@pytest.mark.parametrize(("flag", "value", "v1", "v2"), FLAGS)
def test_flag(
    limited: Container, flag: str, value: str, v1: tuple[str, str], v2: tuple[str, str]
) -> None:
    changed, expected = v2 if UNIFIED else v1
    watched = set(WATCHED["v2" if UNIFIED else "v1"])
    if changed == "cpu.idle":
        watched.discard("cpu.weight")  # the kernel shows the least there is
    before = {file: outside(limited, file).read_text() for file in watched}
    result = limited.runtime("update", flag, value, limited.id)
    assert (result.code, result.err) == (0, "")
    compare(outside(limited, changed).read_text(), expected)
    assert {f: outside(limited, f).read_text() for f in watched if f != changed} == {
        file: text for file, text in before.items() if file != changed
    }


@pytest.mark.with_peers
@pytest.mark.differs(crun="knows the files of CFQ, which is gone")
@needs("cgroup_v1_controllers")
def test_block_weight(limited: Container) -> None:
    if not outside(limited, "blkio.bfq.weight").exists():
        excuse("no scheduler of its kernel has weights")
    result = limited.runtime("update", "--blkio-weight", "300", limited.id)
    assert result.code == 0, result
    compare(outside(limited, "blkio.bfq.weight").read_text(), "300")


@pytest.mark.with_peers
@needs("cgroup_v2")
def test_block_weight_on_v2(limited: Container) -> None:
    result = limited.runtime("update", "--blkio-weight", "300", limited.id)
    assert result.code == 0, result
    if outside(limited, "io.bfq.weight").exists():
        compare(outside(limited, "io.bfq.weight").read_text(), "\ndefault 300")
    else:
        compare(outside(limited, "io.weight").read_text(), "\ndefault 2930")


@pytest.mark.with_peers
@needs("cgroup_v1_controllers")
def test_real_time(container: Container) -> None:
    runtime = outside(container, "cpu.rt_runtime_us")
    if not (runtime.parents[2] / runtime.name).exists():
        excuse("its kernel has no groups of real-time tasks")
    runtime.parents[1].mkdir(exist_ok=True)
    (runtime.parents[1] / runtime.name).write_text("200000")
    container.started("sleep 100")
    words = ["--cpu-rt-period", "500000", "--cpu-rt-runtime", "20000"]
    result = container.runtime("update", *words, container.id)
    assert result.code == 0, result
    compare(runtime.read_text(), "20000")
    compare(outside(container, "cpu.rt_period_us").read_text(), "500000")
