# SPDX-License-Identifier: Apache-2.0
"""Limits with the systemd cgroup driver: what systemd knows of them, and what the files hold."""

from __future__ import annotations

import json

import pytest

from life.bundles import Bundle
from life.runtimes import Container
from life.systemd_units import BY_SYSTEMD, TOP, folder, shown, systemctl
from needs import needs

pytestmark = [needs("systemd"), pytest.mark.usefixtures("in_our_slice")]
unified = needs("cgroup_v2")
legacy = needs("cgroup_v1_controllers")
with_peers = pytest.mark.with_peers
pyrun_only = pytest.mark.pyrun_only


LIMITS = {
    "memory": {"limit": 64 << 20, "reservation": 32 << 20, "swap": 96 << 20},
    "cpu": {"shares": 512, "quota": 15500, "period": 100000, "cpus": "0", "mems": "0"},
    "pids": {"limit": 30},
}


@unified
@pytest.mark.differs(crun="leaves cpu.max rounded, and memory in MemorySwapMax")
@with_peers
def test_limits(container: Container, bundle: Bundle) -> None:
    """systemd knows them, rounded as it has them; the files have them exactly."""
    bundle.linux["resources"].update(LIMITS)
    container.created("sleep 100", options=BY_SYSTEMD)
    expected = {
        "MemoryMax": str(64 << 20),
        "MemoryLow": str(32 << 20),
        "MemorySwapMax": str(32 << 20),
        "CPUWeight": "59" if container.runtime.name == "pyrun" else "20",
        "CPUQuotaPerSecUSec": "160ms",
        "CPUQuotaPeriodUSec": "100ms",
        "AllowedCPUs": "0",
        "AllowedMemoryNodes": "0",
        "TasksMax": "30",
    }
    assert shown(container, *expected) == expected
    assert (folder(container) / "memory.max").read_text() == f"{64 << 20}\n"
    assert (folder(container) / "cpu.max").read_text() == "15500 100000\n"


@legacy
@pytest.mark.differs(crun="has the container, and limits, in a cgroup below the scope's")
@with_peers
def test_limits_v1(container: Container, bundle: Bundle) -> None:
    """systemd knows those of controllers that it has; the others are in hierarchies of their own,
    at the same place."""
    bundle.linux["resources"].update(LIMITS)
    classes = (TOP / "net_cls").is_mount()  # a host may do without
    if classes:
        bundle.linux["resources"]["network"] = {"classID": 0x100001}
    container.created("sleep 100", options=BY_SYSTEMD)
    expected = {
        "MemoryLimit": str(64 << 20),
        "CPUShares": "512",
        "CPUQuotaPerSecUSec": "160ms",
        "CPUQuotaPeriodUSec": "100ms",
        "TasksMax": "30",
    }
    assert shown(container, *expected) == expected
    for controller, file, text in (
        ("memory", "memory.limit_in_bytes", str(64 << 20)),
        ("memory", "memory.memsw.limit_in_bytes", str(96 << 20)),
        ("memory", "memory.soft_limit_in_bytes", str(32 << 20)),
        ("cpu", "cpu.shares", "512"),
        ("cpu", "cpu.cfs_quota_us", "15500"),
        ("cpuset", "cpuset.cpus", "0"),
        ("pids", "pids.max", "30"),
        *[("net_cls", "net_cls.classid", str(0x100001))] * classes,
    ):
        path = folder(container, TOP / controller)
        assert (path / file).read_text().strip() == text, file
        assert str(container.pid) in (path / "cgroup.procs").read_text().split(), controller


@unified
@pyrun_only("peers of this age leave devices out, and keep to their rounding")
def test_update(container: Container, bundle: Bundle) -> None:
    """systemd knows what it would set again at its next reload."""
    bundle.linux["resources"]["memory"] = {"limit": 64 << 20}
    assert container.create("sleep 100", options=BY_SYSTEMD).code == 0
    words = ["--memory", "96M", "--pids-limit", "40", "--cpu-quota", "20000"]
    assert container.runtime("update", *words, container.id).code == 0
    found = shown(container, "MemoryMax", "TasksMax", "CPUQuotaPerSecUSec")
    assert found == {
        "MemoryMax": str(96 << 20), "TasksMax": "40", "CPUQuotaPerSecUSec": "200ms"
    }  # fmt: skip
    words = ["--cpu-quota", "15500", "--cpu-period", "50000"]
    assert container.runtime("update", *words, container.id).code == 0
    assert shown(container, "CPUQuotaPerSecUSec") == {"CPUQuotaPerSecUSec": "310ms"}
    assert (folder(container) / "cpu.max").read_text() == "15500 50000\n"  # and not rounded
    systemctl("daemon-reload")
    assert (folder(container) / "memory.max").read_text() == f"{96 << 20}\n"
    rules = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"},
    ]
    text = json.dumps({"devices": rules})
    assert container.runtime("update", "-r", "-", container.id, stdin=text).code == 0
    assert "/dev/char/10:229 rw" in shown(container, "DeviceAllow")["DeviceAllow"]
    text = json.dumps({"devices": rules[:1]})
    assert container.runtime("update", "-r", "-", container.id, stdin=text).code == 0
    assert "10:229" not in shown(container, "DeviceAllow")["DeviceAllow"]
    result = container.runtime("update", "--memory=128M", "--cpuset-cpus=4000", container.id)
    assert result.code == 1
    assert shown(container, "MemoryMax") == {"MemoryMax": str(96 << 20)}


@pyrun_only("peers need more")
def test_a_small_memory_limit(container: Container, bundle: Bundle) -> None:
    """It is there before anything of the container is; no page of the interpreter is charged."""
    bundle.linux["resources"]["memory"] = {"limit": 1 << 20, "swap": 1 << 20}
    assert container.run("exit 0", options=BY_SYSTEMD).code == 0
    assert container.run("print small", options=BY_SYSTEMD).answers() == ["small"]
