# SPDX-License-Identifier: Apache-2.0
"""The systemd cgroup driver: --systemd-cgroup, on a machine that systemd has booted, with each
layout of cgroups."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from life.bundles import Bundle, mount
from life.runtimes import Container, eventually
from life.systemd_units import (
    BY_SYSTEMD,
    HOME,
    SLICE,
    TOP,
    folder,
    inside,
    shown,
    systemctl,
    unit,
    units,
)
from needs import needs

pytestmark = [needs("systemd"), pytest.mark.usefixtures("in_our_slice")]
unified = needs("cgroup_v2")
legacy = needs("cgroup_v1_controllers")
with_peers = pytest.mark.with_peers
pyrun_only = pytest.mark.pyrun_only


@with_peers
def test_scope(container: Container) -> None:
    container.created("sleep 100", options=BY_SYSTEMD)
    expected = {
        "Slice": SLICE,
        "Delegate": "yes",
        "DefaultDependencies": "no",
        "CPUAccounting": "yes",
        "MemoryAccounting": "yes",
        "TasksAccounting": "yes",
        "ActiveState": "active",
    }
    assert shown(container, *expected) == expected
    assert inside(container).startswith(f"/{SLICE}/{unit(container)}")
    assert container.delete("--force", options=BY_SYSTEMD).code == 0
    assert not units()


@with_peers
def test_life(container: Container) -> None:
    """Every verb with the flag, as engines say it."""
    container.created("cat /proc/self/cgroup", "sleep 100", options=BY_SYSTEMD)
    assert container.start(options=BY_SYSTEMD).code == 0
    assert eventually(lambda: len(container.answers()) == 1)
    assert all(line.endswith(":/") for line in container.answers()[0].splitlines())
    assert container.runtime("state", container.id, options=BY_SYSTEMD).code == 0
    assert container.runtime("kill", container.id, "KILL", options=BY_SYSTEMD).code == 0
    assert container.wait() == -signal.SIGKILL
    assert container.delete(options=BY_SYSTEMD).code == 0


@legacy
@with_peers
def test_a_life_in_every_hierarchy(container: Container) -> None:
    """It stands still, goes on, is joined, and leaves nothing anywhere."""
    container.started("spawn 3", "sleep 100", options=BY_SYSTEMD)
    assert eventually(lambda: container.answers() == ["ok"])
    lines = Path(f"/proc/{container.pid}/cgroup").read_text().splitlines()
    ours = f"/{SLICE}/{unit(container)}"
    apart = "misc" if container.runtime.name != "pyrun" else "none"  # no peer of this age knows it
    assert not [line for line in lines if ours not in line and apart not in line]
    assert container.runtime("pause", container.id).code == 0
    assert (folder(container, TOP / "freezer") / "freezer.state").read_text() == "FROZEN\n"
    assert container.runtime("resume", container.id).code == 0
    assert container.exec_ask("cat /proc/self/cgroup")
    processes = json.loads(container.runtime("ps", "--format", "json", container.id).out)
    assert len(processes) == 4
    assert container.delete("--force").code == 0


@legacy
@pyrun_only("peers kill what is there, or join it")
def test_a_cgroup_in_use_that_systemd_does_not_know(container: Container) -> None:
    path = folder(container, TOP / "cpuset")
    path.mkdir(parents=True)
    for name in ("cpus", "mems"):
        for place in (path.parent, path):
            (place / f"cpuset.{name}").write_text("0")
    other = subprocess.Popen(["sleep", "100"])
    try:
        (path / "cgroup.procs").write_text(str(other.pid))
        result = container.create("print x", options=BY_SYSTEMD)
        assert result.code == 1
        assert "not empty" in result.err
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
    path.rmdir()


@pyrun_only("the message")
@legacy
def test_a_device_policy_that_a_reload_would_undo(container: Container, bundle: Bundle) -> None:
    bundle.linux["resources"]["devices"] = [
        {"allow": True, "access": "rwm"},
        {"allow": False, "type": "c", "major": 1, "minor": 11, "access": "r"},
    ]
    result = container.create("print x", options=BY_SYSTEMD)
    assert result.code == 1
    assert "/linux/resources/devices: systemd can't except devices" in result.err


@with_peers
def test_devices(container: Container, bundle: Bundle) -> None:
    bundle.linux["resources"]["devices"] = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"},
    ]
    bundle.linux["devices"] = [
        {"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11},
        {"path": "/dev/port", "type": "c", "major": 1, "minor": 4},
    ]
    bundle.process["capabilities"] = {
        kind: ["CAP_SYS_RAWIO", "CAP_SYSLOG"] for kind in ("bounding", "effective", "permitted")
    }
    words = ["read /dev/zero", "read /dev/port", "write /dev/kmsg x"]
    assert container.ask(*words, options=BY_SYSTEMD) == ["ok", "error: EPERM", "error: EPERM"]


@pytest.mark.differs(crun="has other words for them")
@with_peers
def test_device_policy_is_systemds_too(container: Container, bundle: Bundle) -> None:
    container.created("sleep 100", options=BY_SYSTEMD)
    assert shown(container, "DevicePolicy") == {"DevicePolicy": "strict"}
    allowed = systemctl("show", unit(container), "--property=DeviceAllow")
    assert "/dev/char/1:3 rwm" in allowed
    assert "char-pts rwm" in allowed


@with_peers
def test_properties_by_annotation(container: Container, bundle: Bundle) -> None:
    bundle.config["annotations"] = {
        "org.systemd.property.TimeoutStopSec": "uint64 7",
        "org.systemd.property.CollectMode": "'inactive-or-failed'",
        "org.systemd.property.After": "['basic.target']",
    }
    container.created("sleep 100", options=BY_SYSTEMD)
    found = shown(container, "TimeoutStopUSec", "CollectMode", "After")
    assert (found["TimeoutStopUSec"], found["CollectMode"]) == ("7s", "inactive-or-failed")
    assert "basic.target" in found["After"]


@pyrun_only("the message")
@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("ExecStartPre", "['/bin/touch', '/pwned']", "root has to allow it"),
        ("TimeoutStopSec", "soon", "'soon' is no string"),
        ("PIDs", "[1]", "root has to allow it"),
    ],
)
def test_a_wrong_property(
    container: Container, bundle: Bundle, name: str, text: str, message: str
) -> None:
    bundle.config["annotations"] = {f"org.systemd.property.{name}": text}
    result = container.create("print x", options=BY_SYSTEMD)
    assert result.code == 1
    assert f"/annotations/org.systemd.property.{name}: " in result.err
    assert message in result.err
    assert not units()


@with_peers
def test_a_form_that_is_not_systemds(container: Container, bundle: Bundle) -> None:
    bundle.linux["cgroupsPath"] = "/pyrunlife/box"
    result = container.create("print x", options=BY_SYSTEMD)
    assert result.code == 1
    assert "slice:prefix:name" in result.err or container.runtime.name == "crun"


@with_peers
def test_without_a_path(container: Container, bundle: Bundle) -> None:
    """In system.slice, by the id."""
    del bundle.linux["cgroupsPath"]
    container.created("sleep 100", options=BY_SYSTEMD)
    name = container.runtime.name
    assert inside(container).startswith(f"/system.slice/{name}-{container.id}.scope")
    assert container.delete("--force").code == 0
    assert f"{container.id}.scope" not in systemctl("list-units", "--all", "--plain")


@with_peers
def test_nested_slices(container: Container, bundle: Bundle) -> None:
    bundle.linux["cgroupsPath"] = f"pyrunlife-a-b.slice:life:{container.id}"
    container.created("sleep 100", options=BY_SYSTEMD)
    place = f"/{SLICE}/pyrunlife-a.slice/pyrunlife-a-b.slice/{unit(container)}"
    assert inside(container).startswith(place)


@pyrun_only("peers put no process into a slice")
def test_a_slice_for_a_container(container: Container, bundle: Bundle) -> None:
    bundle.linux["cgroupsPath"] = f"{SLICE}:ignored:pyrunlife-box.slice"
    bundle.linux["resources"]["pids"] = {"limit": 30}
    container.created("sleep 100", options=BY_SYSTEMD)
    assert inside(container) == f"/{SLICE}/pyrunlife-box.slice"
    assert "TasksMax=30" in systemctl("show", "pyrunlife-box.slice", "--property=TasksMax")
    assert container.delete("--force").code == 0
    assert not (HOME / SLICE / "pyrunlife-box.slice").exists()


@with_peers
def test_what_a_container_has_made_in_its_cgroup_goes(container: Container) -> None:
    container.started("spawn 4", "sleep 100", options=BY_SYSTEMD)
    assert eventually(lambda: container.answers() == ["ok"])
    (folder(container) / "inner/most").mkdir(parents=True)
    assert container.delete("--force").code == 0
    assert not units()
    assert not folder(container).exists()


@pyrun_only("the unit of others is left alone")
def test_a_unit_of_that_name_in_use(container: Container) -> None:
    command = ["systemd-run", "--scope", f"--unit={unit(container)}", f"--slice={SLICE}"]
    other = subprocess.Popen([*command, "sleep", "100"], stderr=subprocess.DEVNULL)
    try:
        assert eventually(lambda: shown(container, "ActiveState")["ActiveState"] == "active")
        result = container.create("print x", options=BY_SYSTEMD)
        assert result.code == 1
        assert "not empty" in result.err
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@with_peers
def test_a_failed_unit_of_that_name(container: Container) -> None:
    command = ["systemd-run", "--scope", f"--unit={unit(container)}", f"--slice={SLICE}"]
    limit = ["--property=RuntimeMaxSec=1", "--property=TimeoutStopSec=1"]
    subprocess.run([*command, *limit, "sleep", "100"], stderr=subprocess.DEVNULL, timeout=30)
    assert eventually(lambda: shown(container, "ActiveState")["ActiveState"] == "failed")
    assert container.ask("print again", options=BY_SYSTEMD) == ["again"]


@pyrun_only("peers leave a unit, or a container that can't be deleted")
def test_a_create_that_is_killed(container: Container, bundle: Bundle) -> None:
    """With the scope made: delete --force stops it."""
    script = bundle.path / "hook"
    script.write_text("#!/bin/sh\nkill -9 $(cat %s)\n" % (bundle.path / "creator"))
    script.chmod(0o755)
    bundle.config["hooks"] = {"createRuntime": [{"path": str(script)}]}
    bundle.say("print x")
    bundle.save()
    with open(os.devnull, "r+b") as null:
        words = ("create", "--bundle", bundle.path, container.id)
        process = container.runtime.popen(
            *words, options=BY_SYSTEMD, stdin=null, stdout=null, stderr=null
        )
        (bundle.path / "creator").write_text(str(process.pid))
        assert process.wait(20) == -signal.SIGKILL
    assert container.delete("--force").code == 0
    assert not units()


@pyrun_only("where it is recorded")
def test_delete_of_a_stopped_container_whose_unit_is_gone(container: Container) -> None:
    container.started("print x", options=BY_SYSTEMD)
    container.wait()
    assert eventually(lambda: not units())
    assert container.delete().code == 0


@unified
@with_peers
def test_a_delegated_cgroup(container: Container, bundle: Bundle) -> None:
    """Writable in a cgroup namespace: the container's root divides it."""
    bundle.map_ids()
    bundle.config["mounts"].append(mount("/sys/fs/cgroup", "cgroup", "rw"))
    container.created("sleep 100", options=BY_SYSTEMD)
    place = TOP / inside(container).lstrip("/")
    assert (place / "cgroup.procs").stat().st_uid == 100000
    assert (place / "memory.max").stat().st_uid == 0


@unified
@pytest.mark.differs(runc="has no such annotation")
@with_peers
def test_a_cgroup_below_the_scope(container: Container, bundle: Bundle) -> None:
    bundle.config["annotations"] = {"run.oci.systemd.subgroup": "payload"}
    bundle.linux["resources"]["pids"] = {"limit": 30}
    container.created("sleep 100", options=BY_SYSTEMD)
    assert inside(container) == f"/{SLICE}/{unit(container)}/payload"
    if container.runtime.name == "pyrun":
        controllers = (folder(container) / "payload/cgroup.controllers").read_text().split()
        assert {"memory", "pids"} <= set(controllers)
    assert shown(container, "TasksMax") == {"TasksMax": "30"}
    assert container.delete("--force").code == 0
    assert not folder(container).exists()


@unified
@pytest.mark.differs(runc="has no such annotation")
@with_peers
def test_a_delegated_cgroup_below_that(container: Container, bundle: Bundle) -> None:
    """The container's, who can divide it; the limits are above, at the root that it sees."""
    bundle.config["annotations"] = {
        "run.oci.systemd.subgroup": "payload",
        "run.oci.delegate-cgroup": "own",
    }
    bundle.map_ids()
    bundle.config["mounts"].append(mount("/sys/fs/cgroup", "cgroup", "rw"))
    container.started("cat /proc/self/cgroup", "sleep 100", options=BY_SYSTEMD)
    assert inside(container) == f"/{SLICE}/{unit(container)}/payload/own"
    assert eventually(lambda: len(container.answers()) == 1)
    assert container.answers() == ["0::/own"]
    place = folder(container) / "payload/own"
    assert (place / "cgroup.procs").stat().st_uid == 100000
    assert container.exec_ask("print in") == ["in"]
    assert container.delete("--force").code == 0
    assert not folder(container).exists()


@pyrun_only("it asks systemd itself")
def test_without_a_bus(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    """Early at boot, or where there is no dbus-daemon."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
    container.created("sleep 100", options=BY_SYSTEMD)
    assert inside(container) == f"/{SLICE}/{unit(container)}"
    assert container.delete("--force").code == 0
    assert not units()


@pyrun_only("the same as a verb's flag")
def test_the_other_spelling(container: Container) -> None:
    container.created("sleep 100", options=["--cgroup-manager", "systemd"])
    assert inside(container) == f"/{SLICE}/{unit(container)}"


@with_peers
def test_a_scope_whose_process_was_killed_for_memory(container: Container, bundle: Bundle) -> None:
    """Later systemds call it failed then, and keep it: delete has it forgotten."""
    bundle.linux["resources"]["memory"] = {"limit": 32 << 20, "swap": 32 << 20}
    container.started("hog 64", options=BY_SYSTEMD)
    assert container.wait() == -signal.SIGKILL
    assert container.delete().code == 0
    assert eventually(lambda: not units()), units()


@pyrun_only("the message")
def test_a_job_that_fails(container: Container, bundle: Bundle, allow: Callable[..., None]) -> None:
    """Its result is told, and nothing is left."""
    allow("org.systemd.property.")
    service = Path("/run/systemd/system/pyrunlife-fails.service")
    service.write_text("[Service]\nType=oneshot\nExecStart=/bin/false\n")
    try:
        systemctl("daemon-reload")
        for name in ("Requires", "After"):
            key = f"org.systemd.property.{name}"
            bundle.config.setdefault("annotations", {})[key] = f"['{service.name}']"
        result = container.create("print x", options=BY_SYSTEMD)
        assert result.code == 1
        assert f"systemd: {unit(container)} was not started: dependency" in result.err
        assert not units()
    finally:
        service.unlink()
        systemctl("reset-failed", service.name)
        systemctl("daemon-reload")
