# SPDX-License-Identifier: Apache-2.0
"""What systemd's reload leaves as it is: it writes limits of its units anew, as it knows them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from life import leftovers
from life.bundles import Bundle
from life.runtimes import Container
from life.systemd_units import BY_SYSTEMD, SLICE, TOP, folder
from needs import needs

pytestmark = [
    needs("systemd"),
    pytest.mark.usefixtures("in_our_slice"),
    pytest.mark.pyrun_only("peers tell systemd less"),
]
unified = needs("cgroup_v2")
legacy = needs("cgroup_v1_controllers")

COMMON: dict[str, Any] = {
    "memory": {"limit": 64 << 20, "reservation": 32 << 20, "swap": 96 << 20},
    "cpu": {"shares": 512, "quota": 20000, "period": 50000, "cpus": "0", "mems": "0"},
    "pids": {"limit": 30},
}
IN_UNIFIED = {
    "memory.high": str(48 << 20),
    "memory.min": str(1 << 20),
    "memory.oom.group": "1",
    "io.weight": "default 300",
    "cpu.max.burst": "1000",
    "hugetlb.2MB.max": "2097152",
}
# What the kernel counts, and what acts at once when it is written.
NO_SETTINGS = (
    "stat",
    "events",
    "usage",
    "current",
    "peak",
    "procs",
    "threads",
    "pressure",
    "tasks",
)


def settings(container: Container) -> dict[str, str]:
    """Every file of the container's cgroups that can be written, but for counters."""
    found: dict[str, str] = {}
    for top in leftovers.hierarchies():
        place = folder(container, top)
        for path in place.iterdir() if place.is_dir() else ():
            both = path.is_file() and path.stat().st_mode & 0o600 == 0o600
            if both and not any(word in path.name for word in NO_SETTINGS):
                found[str(path)] = _text(path)
    devices = folder(container, TOP / "devices") / "devices.list"
    if devices.exists():
        found[str(devices)] = "\n".join(sorted(devices.read_text().splitlines()))
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:  # of a state in which the kernel has no answer
        return os.strerror(error.errno or 0)


def reload() -> None:
    """Have systemd write everything anew. Also another unit of that slice starts: its place is
    arranged anew with that."""
    subprocess.run(["systemctl", "daemon-reload"], check=True, timeout=90)
    command = ["systemd-run", "--scope", "--quiet", f"--slice={SLICE}", "true"]
    subprocess.run(command, check=True, timeout=90)


@pytest.fixture
def outlives(container: Container, bundle: Bundle) -> Callable[[dict[str, Any]], None]:
    """Whether all settings are as they were, of a container with such resources."""

    def check(resources: dict[str, Any]) -> None:
        bundle.linux["resources"].update(resources)
        container.created("sleep 100", options=BY_SYSTEMD)
        before = settings(container)
        assert len(before) > 10
        reload()
        assert settings(container) == before

    return check


@unified
def test_fields(outlives: Callable[[dict[str, Any]], None]) -> None:
    outlives({**COMMON, "blockIO": {"weight": 300}})


@unified
def test_unified(outlives: Callable[[dict[str, Any]], None]) -> None:
    outlives({"unified": {**IN_UNIFIED, "cpu.max": "20000 100000", "pids.max": "17"}})


@unified
def test_an_idle_one(outlives: Callable[[dict[str, Any]], None]) -> None:
    outlives({"cpu": {"idle": 1}})


@legacy
def test_fields_v1(outlives: Callable[[dict[str, Any]], None]) -> None:
    more = {
        "net_cls": {"network": {"classID": 0x100001}},
        "hugetlb": {"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]},
    }
    fields = dict(COMMON)
    for controller, field in more.items():  # a host may do without
        fields |= field if (TOP / controller).is_mount() else {}
    outlives(fields)


DEVICES = [
    {"allow": False, "access": "rwm"},
    {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"},
    {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"},
]


def test_devices(container: Container, bundle: Bundle) -> None:
    """What is allowed still is, and what is denied as well."""
    bundle.linux["resources"]["devices"] = DEVICES
    bundle.linux["devices"] = [
        {"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o666},
        {"path": "/dev/port", "type": "c", "major": 1, "minor": 4, "fileMode": 0o666},
    ]
    bundle.process["capabilities"] = {
        kind: ["CAP_SYS_RAWIO", "CAP_SYSLOG"] for kind in ("bounding", "effective", "permitted")
    }
    container.started("sleep 100", options=BY_SYSTEMD)
    words = ["read /dev/zero", "read /dev/port", "write /dev/kmsg x"]
    expected = ["ok", "error: EPERM", "error: EPERM"]
    assert container.exec_ask(*words) == expected
    before = settings(container)
    reload()
    assert container.exec_ask(*words) == expected
    assert settings(container) == before
    text = json.dumps({"devices": DEVICES[:1]})
    assert container.runtime("update", "-r", "-", container.id, stdin=text).code == 0
    before = settings(container)
    reload()
    assert container.exec_ask(*words) == expected
    assert settings(container) == before


@unified
def test_an_update(container: Container, bundle: Bundle) -> None:
    bundle.linux["resources"].update(COMMON, cpu={"idle": 1})
    container.created("sleep 100", options=BY_SYSTEMD)
    words = ["--memory", "96M", "--memory-swap", "128M", "--cpu-quota", "30000", "--cpu-idle", "0"]
    assert container.runtime("update", *words, container.id).code == 0
    before = settings(container)
    assert f"{96 << 20}\n" in before.values()
    reload()
    assert settings(container) == before


@legacy
def test_an_update_v1(container: Container, bundle: Bundle) -> None:
    """A quota alone: with the period that is there."""
    bundle.linux["resources"].update(COMMON)
    container.created("sleep 100", options=BY_SYSTEMD)
    words = [
        "--memory",
        "96M",
        "--memory-swap",
        "128M",
        "--cpu-quota",
        "30000",
        "--pids-limit",
        "9",
    ]
    assert container.runtime("update", *words, container.id).code == 0
    before = settings(container)
    assert {f"{96 << 20}\n", "30000\n", "50000\n", "9\n"} <= set(before.values())
    reload()
    assert settings(container) == before
