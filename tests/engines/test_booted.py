# SPDX-License-Identifier: Apache-2.0
"""podman on a machine with systemd: units and their limits, AppArmor, a user's own systemd. It is
the virtual machine's (tests/vm) that most have."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from needs import needs

from .booted import Booted, ordinary_user

pytestmark = needs("root", "systemd", "cgroup_v2", "podman", "busybox", "crun")
RUNTIMES = pytest.mark.parametrize("runtime", ["pyrun", "crun"])
READ = ("cat", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/pids.max")


@pytest.fixture
def podman(runtime: str) -> Iterator[Booted]:
    """root's."""
    found = Booted(runtime)
    yield found
    found.end()


@pytest.fixture
def rootless(runtime: str) -> Iterator[Booted]:
    """An ordinary user's."""
    found = Booted(runtime, ordinary_user())
    yield found
    found.end()


def properties(unit: str) -> dict[str, str]:
    """As systemd tells them."""
    names = "--property=MemoryMax,TasksMax,ActiveState"
    done = subprocess.run(
        ["systemctl", "show", names, unit], check=True, capture_output=True, text=True
    )
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


@RUNTIMES
def test_units_and_limits(podman: Booted) -> None:
    """podman asks for `machine.slice:libpod:ID`, by --systemd-cgroup."""
    name = podman.started("--memory=64m", "--pids-limit=50")
    unit = f"libpod-{name}.scope"
    assert podman.cgroup(name).startswith(f"/machine.slice/{unit}")
    wanted = {"MemoryMax": "67108864", "TasksMax": "50", "ActiveState": "active"}
    assert properties(unit) == wanted
    assert podman.ask("exec", name, *READ).split() == ["67108864", "50"]
    podman.ask("update", "--memory=96m", name)
    assert properties(unit)["MemoryMax"] == "100663296"
    assert podman.ask("exec", name, *READ).split() == ["100663296", "50"]
    podman.ask("pause", name)
    assert podman.ask("inspect", "--format", "{{.State.Status}}", name) == "paused"
    podman.ask("unpause", name)
    podman.ask("rm", "--force", "--time=0", name)
    assert properties(unit)["ActiveState"] == "inactive"
    assert not Path(f"/sys/fs/cgroup/machine.slice/{unit}").exists()


@needs("apparmor")
@RUNTIMES
def test_apparmor_profile(podman: Booted) -> None:
    """podman's own, which the kernel tells of the container's first process, and of one by exec."""
    name = podman.started()
    for words in (("cat", "/proc/1/attr/current"), ("cat", "/proc/self/attr/current")):
        found = podman.ask("exec", name, *words).rstrip("\0\n ")
        assert found.startswith("containers-default-"), found
        assert found.endswith(" (enforce)")


@needs("userns", "newuidmap")
@RUNTIMES
def test_a_users_own_systemd(rootless: Booted) -> None:
    """Limits that the user has, below what systemd has delegated to him."""
    name = rootless.started("--memory=64m", "--pids-limit=50")
    place = rootless.cgroup(name)
    assert place.startswith("/user.slice/user-") and f"/libpod-{name}.scope" in place
    assert rootless.ask("exec", name, *READ).split() == ["67108864", "50"]
    assert rootless.ask("exec", name, "id", "-u") == "0"
    rootless.ask("pause", name)
    rootless.ask("unpause", name)
    rootless.ask("rm", "--force", "--time=0", name)
    assert not Path(f"/sys/fs/cgroup{place}").exists()
