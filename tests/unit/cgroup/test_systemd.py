# SPDX-License-Identifier: Apache-2.0
"""What the systemd driver asks of the host, before it asks systemd for anything."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from pyrun.cgroup import devices, permission, resources, systemd, v1
from pyrun.cgroup import unit_properties as properties
from pyrun.errors import Error


def test_a_host_without_systemd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(systemd, "BOOTED", str(tmp_path / "none"))
    with pytest.raises(Error, match=r"systemd is not running on this host.*--systemd-cgroup"):
        systemd.check()


def test_a_build_without_libsystemd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(systemd, "BOOTED", str(tmp_path))
    monkeypatch.setitem(sys.modules, "pyrun.kernel.sdbus", None)
    with pytest.raises(Error, match=r"made without libsystemd.*libsystemd-dev"):
        systemd.check()


@pytest.mark.parametrize(
    ("rootless", "in_namespace", "bus", "user"),
    [
        (True, False, False, True),
        (False, False, True, False),
        (False, True, True, True),
        (False, True, False, False),
    ],
)
def test_whose_manager(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    rootless: bool,
    in_namespace: bool,
    bus: bool,
    user: bool,
) -> None:
    monkeypatch.setattr(permission, "in_user_namespace", lambda: in_namespace)
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    if bus:
        (tmp_path / "bus").touch()
    assert systemd.is_users(rootless) is user


def test_whose_manager_without_a_bus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(permission, "in_user_namespace", lambda: True)
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert not systemd.is_users(rootless=False)
    (tmp_path / "systemd").mkdir()
    (tmp_path / "systemd/private").touch()
    assert systemd.is_users(rootless=False)


@pytest.mark.parametrize("name", ["a/b", ".", "..", "a\nb"])
def test_a_subgroup_stays_in_the_scope(name: str) -> None:
    with pytest.raises(Error) as caught:
        systemd._below({systemd.SUBGROUP: name}, unified=True)
    assert caught.value.pointer == "/annotations/run.oci.systemd.subgroup"


def test_a_subgroup_is_for_v2() -> None:
    with pytest.raises(Error, match="is for cgroup v2"):
        systemd._below({systemd.SUBGROUP: "inner"}, unified=False)
    assert systemd._below({}, unified=False) == []


@pytest.mark.parametrize(
    ("subgroup", "delegated", "expected"),
    [("", "", []), ("a", "", ["a"]), ("a", "b", ["a", "b"]), ("", "b", ["container", "b"])],
)
def test_cgroups_below(subgroup: str, delegated: str, expected: list[str]) -> None:
    notes = {systemd.SUBGROUP: subgroup, systemd.DELEGATED: delegated}
    assert systemd._below(notes, unified=True) == expected


class OldSystemd:
    """A manager that knows some properties alone, as systemd words it."""

    def __init__(self, *known: str) -> None:
        self.known = known
        self.told: list[str] = []

    def manage(self, _member: str, *words: tuple[str, Any]) -> str:
        names = [name for name, _ in dict(words)["a(sv)"]]
        for name in names:
            if name not in self.known:
                raise Error(f"systemd: Cannot set property {name}, or unknown property.")
        self.told = names
        return "job"


def test_properties_that_an_old_systemd_does_not_know() -> None:
    changed: list[Any] = [("AllowedCPUs", 1), ("TasksMax", 2), ("OOMPolicy", 3)]
    bus: Any = OldSystemd("TasksMax", "OOMPolicy")
    assert systemd._tell(bus, "StartTransientUnit", (), changed) == "job"
    assert bus.told == ["TasksMax", "OOMPolicy"]
    with pytest.raises(Error, match="property AllowedCPUs"):
        systemd._tell(bus, "StartTransientUnit", (), changed, asked=["AllowedCPUs"])
    with pytest.raises(Error, match="property TasksMax"):
        systemd._tell(OldSystemd("OOMPolicy"), "StartTransientUnit", (), changed)  # type: ignore[arg-type]


def record_of_v1(path: Path, **files: str) -> dict[str, Any]:
    for name, text in files.items():
        (path / name.replace("__", ".")).write_text(text)
    return {"layout": "v1", "paths": {"cpu": str(path)}}


def test_a_quota_goes_with_its_period(tmp_path: Path) -> None:
    record = record_of_v1(tmp_path, cpu__cfs_period_us="50000\n")
    found = resources.v1({"cpu": {"quota": 10000}})
    told = [*systemd._besides(record, found), *found]
    assert properties.of_resources(told, unified=False) == {
        "CPUQuotaPerSecUSec": ("t", 200_000),
        "CPUQuotaPeriodUSec": ("t", 50_000),
    }


@pytest.mark.parametrize(("present", "expected"), [("1", {"CPUWeight": ("t", 100)}), ("0", {})])
def test_idle_taken_back(tmp_path: Path, present: str, expected: dict[str, Any]) -> None:
    (tmp_path / "cpu.idle").write_text(present)
    record = {"layout": "v2", "paths": {"": str(tmp_path)}}
    found = resources.v2({"cpu": {"idle": 0}})
    assert properties.of_resources([*systemd._besides(record, found), *found]) == expected


@pytest.mark.parametrize(("rootless", "user"), [(True, False), (False, True), (False, False)])
def test_devices_without_their_controller(rootless: bool, user: bool) -> None:
    """A user's manager has none in v1, also for him who is root of a user namespace."""
    record = {"paths": {"name=systemd": "/x"}, "rootless": rootless, "user": user}
    if rootless or user:
        v1.set_limits(record, [], devices.policy([]))
    else:
        with pytest.raises(Error, match="device rules cannot be enforced"):
            v1.set_limits(record, [], devices.policy([]))
