# SPDX-License-Identifier: Apache-2.0
"""The systemd cgroup driver: --systemd-cgroup, on a machine that systemd has booted."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from life.bundles import Bundle, mount
from life.runtimes import Container, eventually
from needs import excuse, needs

pytestmark = needs("systemd", "cgroup_v2")
with_peers = pytest.mark.with_peers
pyrun_only = pytest.mark.pyrun_only

BY_SYSTEMD = ["--systemd-cgroup"]
SLICE = "pyrunlife.slice"
CGROUPS = Path("/sys/fs/cgroup")


@pytest.fixture(autouse=True)
def no_unit_left() -> Iterator[None]:
    """Neither a unit nor its cgroup, after the other fixtures have deleted the containers."""
    yield
    assert eventually(lambda: not units()), units()
    assert not [folder for folder, _, _ in os.walk(CGROUPS / SLICE) if folder.endswith(".scope")]


@pytest.fixture(autouse=True)
def in_our_slice(no_unit_left: None, bundle: Bundle) -> None:
    """The container's place, for all of these tests."""
    bundle.linux["cgroupsPath"] = f"{SLICE}:life:{bundle.path.name}"


def systemctl(*words: str) -> str:
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=90)
    return done.stdout


def units() -> str:
    """Those of this module that systemd knows of, slices apart."""
    return systemctl("list-units", "--all", "--plain", "--no-legend", "life-*", "outer-*")


def unit(container: Container) -> str:
    return f"life-{container.id}.scope"


def shown(container: Container, *names: str) -> dict[str, str]:
    """Properties of its unit."""
    text = systemctl("show", unit(container), f"--property={','.join(names)}")
    return dict(line.split("=", 1) for line in text.splitlines())


def folder(container: Container) -> Path:
    return CGROUPS / SLICE / unit(container)


def inside(container: Container) -> str:
    """The cgroup of its init."""
    return Path(f"/proc/{container.pid}/cgroup").read_text().strip().removeprefix("0::")


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
    assert container.answers() == ["0::/"]
    assert container.runtime("state", container.id, options=BY_SYSTEMD).code == 0
    assert container.runtime("kill", container.id, "KILL", options=BY_SYSTEMD).code == 0
    assert container.wait() == -signal.SIGKILL
    assert container.delete(options=BY_SYSTEMD).code == 0


LIMITS = {
    "memory": {"limit": 64 << 20, "reservation": 32 << 20, "swap": 96 << 20},
    "cpu": {"shares": 512, "quota": 15500, "period": 100000, "cpus": "0", "mems": "0"},
    "pids": {"limit": 30},
}


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


@pyrun_only("all of unified is said to systemd, so that a reload keeps it")
def test_limits_outlive_a_reload(container: Container, bundle: Bundle) -> None:
    bundle.linux["resources"]["unified"] = {"memory.high": str(48 << 20), "pids.max": "17"}
    container.created("sleep 100", options=BY_SYSTEMD)
    systemctl("daemon-reload")
    assert (folder(container) / "memory.high").read_text() == f"{48 << 20}\n"
    assert (folder(container) / "pids.max").read_text() == "17\n"


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
    assert not (CGROUPS / SLICE / "pyrunlife-box.slice").exists()


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


@with_peers
def test_a_delegated_cgroup(container: Container, bundle: Bundle) -> None:
    """Writable in a cgroup namespace: the container's root divides it."""
    bundle.map_ids()
    bundle.config["mounts"].append(mount("/sys/fs/cgroup", "cgroup", "rw"))
    container.created("sleep 100", options=BY_SYSTEMD)
    place = CGROUPS / inside(container).lstrip("/")
    assert (place / "cgroup.procs").stat().st_uid == 100000
    assert (place / "memory.max").stat().st_uid == 0


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


@pyrun_only("the same as a verb's flag")
def test_the_other_spelling(container: Container) -> None:
    container.created("sleep 100", options=["--cgroup-manager", "systemd"])
    assert inside(container) == f"/{SLICE}/{unit(container)}"


@pyrun_only("its rootless")
@pytest.mark.parametrize("nested", [False, True], ids=["as a user", "as root of a user namespace"])
def test_a_users_own_manager(container: Container, bundle: Bundle, nested: bool) -> None:
    """By the bus of the user, below the user's cgroup; podman makes a user namespace first."""
    user = next((u for u in pwd.getpwall() if Path(f"/run/user/{u.pw_uid}/bus").exists()), None)
    if user is None or user.pw_uid == 0:
        excuse("no user's manager is running")
    bundle.linux["cgroupsPath"] = f"user.slice:life:{container.id}"
    bundle.linux["resources"] = {"pids": {"limit": 30}}
    bundle.linux["namespaces"] = [{"type": "pid"}, {"type": "mount"}]
    del bundle.config["hostname"]
    bundle.without_mount("/sys", "/dev/mqueue", "/dev/pts")
    if not nested:
        bundle.linux["namespaces"].append({"type": "user"})
        for kind, number in (("uid", user.pw_uid), ("gid", user.pw_gid)):
            bundle.linux[f"{kind}Mappings"] = [{"containerID": 0, "hostID": number, "size": 1}]
    bundle.say("sleep 100")
    bundle.save()
    runtime = Path(f"/run/user/{user.pw_uid}")
    manager = [
        "systemd-run", "-q", f"--machine={user.pw_name}@.host", "--user", "--pipe", "--wait",
        f"--setenv=XDG_RUNTIME_DIR={runtime}",
    ]  # fmt: skip
    if nested:
        manager += ["unshare", "--user", "--map-root-user", "--map-auto"]
    pyrun = [*manager, container.runtime.path, "--root", runtime / container.id, *BY_SYSTEMD]
    create = [*pyrun, "create", "--bundle", bundle.path, "--pid-file", runtime / "life.pid"]
    with open(os.devnull, "r+b") as null:
        done = subprocess.run([*create, container.id], stdin=null, stdout=null, timeout=60)
    assert done.returncode == 0
    own = Path(f"/proc/{(runtime / 'life.pid').read_text()}/cgroup").read_text()
    assert own.endswith(f"user@{user.pw_uid}.service/user.slice/{unit(container)}\n")
    place = CGROUPS / own.strip().removeprefix("0::/")
    assert (place / "pids.max").read_text() == "30\n"
    assert subprocess.run([*pyrun, "delete", "--force", container.id], timeout=60).returncode == 0
    assert not place.exists()


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
