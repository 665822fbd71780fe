# SPDX-License-Identifier: Apache-2.0
"""What the systemd driver asks of the host, before it asks systemd for anything."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pyrun.cgroup import permission, systemd
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


@pytest.mark.parametrize("name", ["a/b", ".", "..", "a\nb"])
def test_a_subgroup_stays_in_the_scope(name: str) -> None:
    with pytest.raises(Error) as caught:
        systemd._subgroup({systemd.SUBGROUP: name})
    assert caught.value.pointer == "/annotations/run.oci.systemd.subgroup"
