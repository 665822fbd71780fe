# SPDX-License-Identifier: Apache-2.0
"""A machine without any v2 tree: the container's whole life in v1 hierarchies alone."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from life import hierarchies
from life.bundles import Bundle, mount
from life.runtimes import Container, eventually
from needs import excuse, needs

pytestmark = [needs("root"), pytest.mark.with_peers]


@pytest.fixture(scope="module", autouse=True)
def pure_v1(subreaper: None) -> None:
    """Only v1 is mounted, for these tests."""
    if not hierarchies.has_v1():
        excuse("its controllers are not in cgroup v1")
    hierarchies.show_v1(unified=False)
    assert not [line for line in mounted() if " - cgroup2 " in line]


def mounted() -> list[str]:
    """The lines of mountinfo."""
    return Path("/proc/self/mountinfo").read_text().splitlines()


def test_limits_and_devices(container: Container, bundle: Bundle) -> None:
    bundle.linux["resources"].update(memory={"limit": 32 << 20}, pids={"limit": 12})
    bundle.linux["devices"] = [
        {"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o666}
    ]
    answers = container.ask("forks 50", "read /dev/zero", "read /dev/kmsg")
    assert answers == ["11", "ok", "error: EPERM"]


def test_life(container: Container) -> None:
    """Its processes stand still, go on, and end; also those without a pid namespace of theirs."""
    container.bundle.namespaces("mount", "ipc", "uts", "network", "cgroup")
    container.started("spawn 3", "sleep 100")
    assert eventually(lambda: container.answers() == ["ok"])
    assert container.runtime("pause", container.id).code == 0
    assert container.status() == "paused"
    assert container.runtime("resume", container.id).code == 0
    assert container.status() == "running"
    assert (
        container.kill("KILL", *([] if container.runtime.name == "runc" else ["--all"])).code == 0
    )
    assert container.wait() == -signal.SIGKILL
    assert container.delete().code == 0


def test_view(container: Container, bundle: Bundle) -> None:
    """Of each hierarchy the container's own cgroup."""
    bundle.config["mounts"].append(mount("/sys/fs/cgroup", "cgroup", "ro"))
    names, procs = container.ask("ls /sys/fs/cgroup", "cat /sys/fs/cgroup/pids/cgroup.procs")
    assert {"memory", "pids", "cpu", "devices"} <= set(names.split())
    assert "unified" not in names
    assert procs == "1"


@pytest.mark.pyrun_only("the words")
def test_unified_has_no_meaning(container: Container, bundle: Bundle) -> None:
    bundle.linux["resources"]["unified"] = {"memory.high": "5"}
    result = container.create("print x")
    assert result.code == 1
    assert "this host has its controllers in cgroup v1" in result.err
