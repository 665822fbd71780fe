# SPDX-License-Identifier: Apache-2.0
"""create, join, kill and destroy on trees of plain files, which record what is written to them."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from pyrun.cgroup import cgroupfs, devicefilter, driver, permission, procs
from pyrun.errors import Error
from unit.cgroup.trees import V1_FILES, text


def test_v1_limits_devices_and_an_inherited_cpuset(v1: dict[str, Any]) -> None:
    driver.create(v1, {"memory": {"limit": 5, "swap": 6}, "pids": {"limit": 7}})
    assert text(v1, "memory", "memory.limit_in_bytes") == "5"
    assert text(v1, "memory", "memory.memsw.limit_in_bytes") == "6"
    assert text(v1, "pids", "pids.max") == "7"
    assert text(v1, "cpuset", "cpuset.cpus") == "0-3"
    assert text(v1, "cpuset", "cpuset.mems") == "0"
    assert text(v1, "devices", "devices.deny") == "a"
    assert text(v1, "devices", "devices.allow").startswith("c *:* mb *:* mc 1:3 rwm")


def test_v1_a_controller_that_is_not_mounted(v1: dict[str, Any]) -> None:
    with pytest.raises(Error, match=r"cpu\.shares to 5: the cpu controller is not available") as e:
        driver.create(v1, {"cpu": {"shares": 5}})
    assert e.value.pointer == "/linux/resources/cpu/shares"
    assert "not mounted" in e.value.hint


def test_v1_device_rules_need_their_controller(v1: dict[str, Any]) -> None:
    del v1["paths"]["devices"]
    with pytest.raises(Error, match="device rules cannot be enforced"):
        driver.create(v1, {})
    driver.create(v1, {"devices": [{"allow": True, "access": "rwm"}]})


def test_v1_a_file_that_the_kernel_lacks(v1: dict[str, Any]) -> None:
    (Path(v1["paths"]["pids"]) / "pids.max").unlink()
    with pytest.raises(Error, match="pids.max: no such file or directory") as caught:
        driver.create(v1, {"pids": {"limit": 7}})
    assert caught.value.pointer == "/linux/resources/pids/limit"
    assert not (Path(v1["paths"]["pids"]) / "pids.max").exists()


def test_a_cgroup_in_use_is_refused_and_left_alone(
    v1: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    used = Path(v1["paths"]["devices"])
    (used / "sub").mkdir()
    (used / "sub/cgroup.procs").write_text("4000001\n4000002\n")
    sent: list[int] = []
    monkeypatch.setattr(procs, "signal", lambda pid, _number: sent.append(pid))
    with pytest.raises(Error, match=r"container's cgroup is not empty: 2 process\(es\) found"):
        driver.check(v1)
    with pytest.raises(Error, match=r"container's cgroup is not empty: 2 process\(es\) found"):
        driver.create(v1, {})
    # What came before it is known to be ours, it and what would have come after it are not.
    assert list(v1["paths"]) == ["memory", "pids"]
    assert driver.processes(v1) == []
    monkeypatch.setattr(driver, "PATIENCE", 0.0)
    with pytest.raises(Error):
        driver.destroy(v1)  # plain directories with files cannot go by rmdir
    assert sent == []


def test_a_frozen_cgroup_is_refused(v1: dict[str, Any], v2: dict[str, Any]) -> None:
    Path(v1["paths"]["pids"], "freezer.state").write_text("FROZEN\n")
    Path(v2["paths"][""], "cgroup.freeze").write_text("1\n")
    for record in (v1, v2):
        for refuse in (driver.check, lambda record: driver.create(record, {})):
            with pytest.raises(Error, match="frozen"):
                refuse(record)
    assert v2["paths"] == {}


def test_v2_enables_controllers_down_the_path(v2: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "a/box/cgroup.controllers").write_text("pids\n")
    driver.create(v2, {"pids": {"limit": 7}})
    assert text(v2, "", "pids.max") == "7"
    for path in (tmp_path, tmp_path / "a"):
        assert (path / "cgroup.subtree_control").read_text() == "+memory +pids"
    assert (tmp_path / "a/box/cgroup.subtree_control").read_text() == ""


def test_v2_leaves_the_path_alone_when_all_is_enabled(v2: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "a/box/cgroup.controllers").write_text("memory pids\n")
    driver.create(v2, {"memory": {"limit": 5, "swap": 5}})
    assert (text(v2, "", "memory.max"), text(v2, "", "memory.swap.max")) == ("5", "0")
    assert (tmp_path / "cgroup.subtree_control").read_text() == ""


def test_v2_names_the_missing_controller(v2: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(Error, match="the memory controller is not available") as caught:
        driver.create(v2, {"memory": {"limit": 5}})
    assert caught.value.pointer == "/linux/resources/memory/limit"
    assert f"{tmp_path}/cgroup.controllers" in caught.value.hint


def test_v2_says_what_kept_a_controller_out(
    v2: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = cgroupfs.write

    def write(path: str, *values: str) -> None:
        if path == f"{tmp_path}/a/cgroup.subtree_control" and "+memory" in values[0]:
            raise OSError(errno.EBUSY, "busy", path)
        plain(path, *values)

    monkeypatch.setattr(cgroupfs, "write", write)
    with pytest.raises(Error, match=r"write \+memory to .*/a/cgroup.subtree_control: .* busy"):
        driver.create(v2, {"memory": {"limit": 5}})
    assert (tmp_path / "a/cgroup.subtree_control").read_text() == "+pids"


@pytest.mark.parametrize("kind", ["domain invalid", "threaded"])
def test_v2_a_threaded_place_is_refused(v2: dict[str, Any], kind: str) -> None:
    Path(v2["paths"][""], "cgroup.type").write_text(f"{kind}\n")
    with pytest.raises(Error, match="cannot enter cgroupv2 .* with domain controllers"):
        driver.create(v2, {})


def refuse_mkdir(monkeypatch: pytest.MonkeyPatch, number: int, below: str) -> None:
    def mkdir(path: str, _mode: int) -> None:
        if path.startswith(below):
            raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(os, "mkdir", mkdir)


def plan_v2(asked: str, rootless: bool) -> dict[str, Any]:
    facts = {"layout": "v2", "mounts": {"": ["/nowhere", "/"]}, "own": {"": "/"}}
    return driver.plan({"linux": {"cgroupsPath": asked}}, "box", facts, rootless=rootless)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_rootless_goes_without_a_cgroup(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_mkdir(monkeypatch, number, "/nowhere")
    record = plan_v2("", rootless=True)
    driver.create(record, {"devices": [{"allow": False, "access": "rwm"}]})
    assert (record["manager"], record["paths"]) == ("none", {})
    driver.kill(record, signal.SIGKILL)
    driver.join(record, 1)
    driver.destroy(record)
    assert (driver.open_into(record), driver.processes(record)) == (-1, [])
    assert not driver.frozen(record)
    assert not driver.oom_killed(record)


@pytest.mark.parametrize(
    ("asked", "wanted", "pointer"),
    [
        ("/box", {}, "/linux/cgroupsPath"),
        ("", {"pids": {"limit": 5}}, "/linux/resources/pids/limit"),
    ],
)
def test_rootless_without_permission_cannot_have_more(
    asked: str, wanted: dict[str, Any], pointer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_mkdir(monkeypatch, errno.EACCES, "/nowhere")
    with pytest.raises(Error) as caught:
        driver.create(plan_v2(asked, rootless=True), wanted)
    assert caught.value.pointer == pointer
    assert "rootless needs no limits + no cgrouppath when no permission is granted" in str(
        caught.value
    )
    assert "permission denied" in str(caught.value)


def test_root_without_permission_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_mkdir(monkeypatch, errno.EROFS, "/nowhere")
    with pytest.raises(Error, match="make the cgroup: mkdir /nowhere/box: read-only file system"):
        driver.create(plan_v2("", rootless=False), {})


def test_rootless_on_v1_goes_without_what_it_may_not_have(
    v1: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"layout": "v1", "own": {}}
    facts["mounts"] = {name: [str(tmp_path / name), "/"] for name in ("pids", "memory", "devices")}
    record = driver.plan({}, "box", facts, rootless=True)
    refuse_mkdir(monkeypatch, errno.EACCES, str(tmp_path / "memory"))
    refuse_mkdir_too = os.mkdir

    def mkdir(path: str, mode: int) -> None:
        refuse_mkdir_too(path, mode)
        raise FileExistsError(path)

    monkeypatch.setattr(os, "mkdir", mkdir)
    driver.create(record, {})
    assert list(record["paths"]) == ["pids", "devices"]
    with pytest.raises(Error, match="rootless needs no limits"):
        driver.create(driver.plan({}, "box", facts, rootless=True), {"memory": {"limit": 5}})


def test_disabled_takes_no_limits() -> None:
    record = driver.plan({}, "box", {"layout": "v2", "mounts": {}}, "disabled")
    driver.create(record, {"devices": [{"allow": False, "access": "rwm"}]})
    with pytest.raises(Error, match="cannot set limits without cgroups"):
        driver.create(record, {"pids": {"limit": 5}})


def test_a_failing_filter_is_excused_only_where_devices_cannot_be_made(
    v2: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def attach(_path: str, _program: bytes) -> None:
        raise OSError(errno.EPERM, "no", "bpf")

    monkeypatch.setattr(devicefilter, "attach", attach)
    monkeypatch.setattr(permission, "in_user_namespace", lambda: False)
    with pytest.raises(Error, match="bpf: operation not permitted") as caught:
        driver.create(v2, {})
    assert caught.value.pointer == "/linux/resources/devices"
    driver.create(v2, {"devices": [{"allow": True, "access": "rwm"}]})
    monkeypatch.setattr(permission, "in_user_namespace", lambda: True)
    driver.create(v2, {})


def test_pid_0_is_never_signalled(v2: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    # A process of a pid namespace that is not below ours; kill(0, …) is our own process group.
    Path(v2["paths"][""], "cgroup.procs").write_text(f"0\n4000001\n{os.getpid()}\n")
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    driver.kill(v2, signal.SIGTERM)
    assert sent == [(4000001, signal.SIGTERM)]


@pytest.mark.parametrize(
    ("found", "number", "left"),
    [
        ("THAWED", signal.SIGTERM, "THAWED"),
        ("THAWED", signal.SIGKILL, "THAWED"),
        ("FROZEN", signal.SIGTERM, "FROZEN"),
        ("FROZEN", signal.SIGKILL, "THAWED"),
    ],
)
def test_kill_signals_a_standing_target_and_leaves_it_as_it_was(
    v1: dict[str, Any], monkeypatch: pytest.MonkeyPatch, found: str, number: int, left: str
) -> None:
    # Frozen, so that no process can fork a child that is not on the list.
    v1["paths"]["freezer"] = v1["paths"]["pids"]
    state = Path(v1["paths"]["freezer"], "freezer.state")
    state.write_text(found)
    Path(v1["paths"]["pids"], "cgroup.procs").write_text("4000001\n")
    seen: list[tuple[int, int, str]] = []
    monkeypatch.setattr(os, "kill", lambda pid, sent: seen.append((pid, sent, state.read_text())))
    driver.kill(v1, number)
    assert seen == [(4000001, number, "FROZEN")]
    assert state.read_text() == left


def test_v2_kills_by_one_write(v2: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """cgroup.kill reaches whoever is forked meanwhile, and whoever is frozen."""
    Path(v2["paths"][""], "cgroup.procs").write_text("4000001\n")
    monkeypatch.setattr(os, "kill", lambda pid, _number: pytest.fail(f"signal to {pid}"))
    driver.kill(v2, signal.SIGKILL)
    assert text(v2, "", "cgroup.kill") == "1"
    assert text(v2, "", "cgroup.freeze") == "0\n"


def test_v2_other_signals_find_processes_that_stand_still(
    v2: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(v2["paths"][""], "cgroup.procs").write_text("4000001\n")
    Path(v2["paths"][""], "cgroup.events").write_text("populated 1\nfrozen 1\n")
    seen: list[tuple[int, int, str]] = []
    monkeypatch.setattr(
        os, "kill", lambda pid, sent: seen.append((pid, sent, text(v2, "", "cgroup.freeze")[:1]))
    )
    driver.kill(v2, signal.SIGTERM)
    assert seen == [(4000001, signal.SIGTERM, "1")]
    assert text(v2, "", "cgroup.freeze") == "0\n"


def test_join_writes_the_pid_into_every_hierarchy_once(v1: dict[str, Any]) -> None:
    v1["paths"]["cpuacct"] = v1["paths"]["pids"]  # mounted together
    driver.join(v1, 4000001)
    assert [text(v1, name, "cgroup.procs") for name in V1_FILES] == ["4000001"] * 4


@pytest.mark.parametrize(("count", "killed"), [(0, False), (2, True)])
def test_oom_killed(v1: dict[str, Any], v2: dict[str, Any], count: int, killed: bool) -> None:
    Path(v1["paths"]["memory"], "memory.oom_control").write_text(f"under_oom 1\noom_kill {count}\n")
    Path(v2["paths"][""], "memory.events").write_text(f"oom 9\noom_kill {count}\n")
    assert (driver.oom_killed(v1), driver.oom_killed(v2)) == (killed, killed)


BESIDE = "name=systemd"


def test_v2_and_a_v1_hierarchy_beside_it(v2: dict[str, Any], tmp_path: Path) -> None:
    """The init is born in the one and moved into the other; the kernel kills by v2 alone."""
    v2["paths"][BESIDE] = str(tmp_path / "systemd/up/box")
    (tmp_path / "systemd").mkdir()
    driver.create(v2, {})
    assert list(v2["paths"]) == ["", BESIDE]
    (tmp_path / "systemd/up/box/cgroup.procs").touch()
    driver.join(v2, 77, born=True)
    assert (text(v2, BESIDE, "cgroup.procs"), text(v2, "", "cgroup.procs")) == ("77", "")
    driver.kill(v2, signal.SIGKILL)
    assert text(v2, "", "cgroup.kill") == "1"
    (tmp_path / "systemd/up/box/cgroup.procs").unlink()
    for path in (tmp_path / "a/box").iterdir():
        path.unlink()
    driver.destroy(v2)
    assert not (tmp_path / "a/box").exists()
    assert list((tmp_path / "systemd/up").iterdir()) == []


def test_v2_beside_a_v1_cgroup_in_use(v2: dict[str, Any], tmp_path: Path) -> None:
    """It is never on record: destroy has no business there."""
    place = tmp_path / "systemd/box"
    place.mkdir(parents=True)
    (place / "cgroup.procs").write_text("4000001\n")
    v2["paths"][BESIDE] = str(place)
    with pytest.raises(Error, match="container's cgroup is not empty"):
        driver.check(v2)
    with pytest.raises(Error, match="container's cgroup is not empty"):
        driver.create(v2, {})
    assert list(v2["paths"]) == [""]


def test_v2_beside_a_v1_hierarchy_that_is_forbidden(
    v2: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ordinary user goes without, as on a hybrid host; root does not."""
    plain = cgroupfs.make

    def make(path: str) -> bool:
        if path == str(tmp_path / "systemd"):
            raise PermissionError(errno.EACCES, "no", path)
        return plain(path)

    monkeypatch.setattr(cgroupfs, "make", make)
    v2 |= {"asked": False, "paths": {**v2["paths"], BESIDE: str(tmp_path / "systemd")}}
    with pytest.raises(Error, match="make the cgroup: mkdir .*/systemd: permission denied"):
        driver.create({**v2, "paths": {**v2["paths"]}}, {})
    v2["rootless"] = True
    driver.create(v2, {})
    assert list(v2["paths"]) == [""]
