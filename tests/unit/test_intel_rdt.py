# SPDX-License-Identifier: Apache-2.0
"""linux.intelRdt, on a folder that behaves as resctrl does: a new group comes with its files, and
goes with them. What a kernel says to the values is not shown here."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from pyrun import intel_rdt
from pyrun.errors import Error

SCHEMATA = "    L3:0=7ff;1=7FF\n    MB:0=100;1= 20\n"
SCHEMAS = {
    "l3CacheSchema": "L3:0=7f0;1=1f",
    "memBwSchema": "MB:0=20",
    "schemata": ["L2:0=f", "X:1=1"],
}


class Resctrl:
    """The folder, and what was done in it: ("mkdir"|"rmdir", path) and (path, line)."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.done: list[tuple[str, str]] = []
        self.refuses: dict[str, int] = {}  # errno by path, for what is made or written there
        self._mkdir, self._rmdir, self._write = os.mkdir, os.rmdir, os.write
        self._fill(root)
        (root / "info").mkdir()
        (root / "info/last_cmd_status").write_text("ok\n")
        monkeypatch.setattr(os, "mkdir", self.mkdir)
        monkeypatch.setattr(os, "rmdir", self.rmdir)
        monkeypatch.setattr(os, "write", self.write)

    def _fill(self, group: Path, monitors: bool = True) -> None:
        (group / "schemata").write_text(SCHEMATA)
        (group / "tasks").write_text("")
        if monitors:
            self._mkdir(group / "mon_groups")

    def _name(self, path: str) -> str:
        return str(Path(path).relative_to(self.root))

    def _check(self, name: str) -> None:
        if name in self.refuses:
            raise OSError(self.refuses[name], os.strerror(self.refuses[name]))

    def mkdir(self, path: str, mode: int) -> None:
        name = self._name(path)
        self._check(name)
        self._mkdir(path, mode)
        self.done.append(("mkdir", name))
        self._fill(Path(path), monitors="mon_groups" not in name)

    def rmdir(self, path: str) -> None:
        name = self._name(path)
        self._check(name)
        if "mon_groups" not in name and Path(path).is_dir():
            self._rmdir(f"{path}/mon_groups")
        for file in Path(path).glob("*"):
            file.unlink()
        self._rmdir(path)
        self.done.append(("rmdir", name))

    def write(self, fd: int, data: bytes) -> int:
        name = self._name(os.readlink(f"/proc/self/fd/{fd}"))
        self._check(name)
        assert data.endswith(b"\n")
        self.done.append((name, data.decode().removesuffix("\n")))
        return self._write(fd, data)

    def plan(self, **rdt: Any) -> dict[str, Any]:
        return intel_rdt.plan(rdt, "box", str(self.root))

    def create(self, **rdt: Any) -> dict[str, Any]:
        """As `create` does it: the record is there first."""
        record = self.plan(**rdt)
        assert self.done == []
        intel_rdt.create(record, rdt)
        return record

    def live(self, **rdt: Any) -> list[tuple[str, str]]:
        """A whole life: what was done."""
        record = self.create(**rdt)
        intel_rdt.join(record, 7)
        intel_rdt.remove(record, created=True)
        return self.done


@pytest.fixture
def resctrl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Resctrl:
    return Resctrl(tmp_path, monkeypatch)


def test_group_by_the_id(resctrl: Resctrl) -> None:
    assert resctrl.live() == [("mkdir", "box"), ("box/tasks", "7"), ("rmdir", "box")]


def test_group_by_the_id_that_is_there(resctrl: Resctrl) -> None:
    """Whoever made it removes it."""
    os.mkdir(str(resctrl.root / "box"), 0o755)
    resctrl.done.clear()
    assert resctrl.live() == [("box/tasks", "7")]


def test_group_with_a_name(resctrl: Resctrl) -> None:
    """It stays, for it may be others' by then."""
    done = resctrl.live(closID="gold", schemata=["L3:0=f"])
    assert done == [("mkdir", "gold"), ("gold/schemata", "L3:0=f"), ("gold/tasks", "7")]


def test_group_with_a_name_that_is_there(resctrl: Resctrl) -> None:
    os.mkdir(str(resctrl.root / "gold"), 0o755)
    resctrl.done.clear()
    assert resctrl.live(closID="gold") == [("gold/tasks", "7")]


def test_group_with_a_name_that_is_not_there(resctrl: Resctrl) -> None:
    with pytest.raises(Error, match="closID: .*/gold: no such directory: without a schema"):
        resctrl.plan(closID="gold", enableMonitoring=True)


def test_the_root(resctrl: Resctrl) -> None:
    assert resctrl.live(closID="/") == [("tasks", "7")]


def test_monitoring(resctrl: Resctrl) -> None:
    """The process gets into the monitoring group from the group that this belongs to."""
    assert resctrl.live(enableMonitoring=True) == [
        ("mkdir", "box"),
        ("mkdir", "box/mon_groups/box"),
        ("box/tasks", "7"),
        ("box/mon_groups/box/tasks", "7"),
        ("rmdir", "box/mon_groups/box"),
        ("rmdir", "box"),
    ]


def test_monitoring_in_the_root(resctrl: Resctrl) -> None:
    assert resctrl.live(closID="/", enableMonitoring=True) == [
        ("mkdir", "mon_groups/box"),
        ("tasks", "7"),
        ("mon_groups/box/tasks", "7"),
        ("rmdir", "mon_groups/box"),
    ]


def test_order_of_the_schemas(resctrl: Resctrl) -> None:
    resctrl.create(**SCHEMAS)
    assert [line for path, line in resctrl.done if path == "box/schemata"] == [
        "L3:0=7f0;1=1f",
        "MB:0=20",
        "L2:0=f",
        "X:1=1",
    ]


def test_what_a_group_has_already(resctrl: Resctrl) -> None:
    """The two older fields have to say the same, in whatever spelling; `schemata` is written."""
    rdt = {"l3CacheSchema": "L3:1=07FF", "memBwSchema": "MB:1=20", "schemata": ["L3:0=f"]}
    assert resctrl.live(closID="/", **rdt) == [("schemata", "L3:0=f"), ("tasks", "7")]


@pytest.mark.parametrize(
    ("rdt", "pointer"),
    [
        ({"l3CacheSchema": "L3:0=7f0"}, "l3CacheSchema"),
        ({"l3CacheSchema": "L3:2=7ff"}, "l3CacheSchema"),
        ({"l3CacheSchema": "L3:0=7ff", "memBwSchema": "MB:0=10"}, "memBwSchema"),
    ],
)
def test_what_a_group_has_otherwise(resctrl: Resctrl, rdt: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Error, match=f"/linux/intelRdt/{pointer}: .* exists, with another value"):
        resctrl.plan(closID="/", **rdt)
    assert resctrl.done == []


@pytest.mark.parametrize("name", intel_rdt.RESERVED)
def test_names_of_resctrl_itself(resctrl: Resctrl, name: str) -> None:
    with pytest.raises(Error, match="a directory of resctrl itself"):
        resctrl.plan(closID=name)
    with pytest.raises(Error, match="a directory of resctrl itself"):
        intel_rdt.plan({}, name, str(resctrl.root))


@pytest.mark.parametrize(
    ("path", "number", "text"),
    [
        (
            "box",
            errno.ENOSPC,
            "intelRdt: mkdir .*/box: no space left on device: no such luck: the p",
        ),
        (
            "box/schemata",
            errno.EINVAL,
            "l3CacheSchema: write L3:0=7f0;1=1f to .*: invalid argument",
        ),
        ("box/mon_groups/box", errno.ENOENT, "mkdir .*: monitoring may be off"),
    ],
)
def test_refused(resctrl: Resctrl, path: str, number: int, text: str) -> None:
    """With what resctrl says of it; and taken back."""
    (resctrl.root / "info/last_cmd_status").write_text("no such luck\n")
    resctrl.refuses[path] = number
    record = resctrl.plan(enableMonitoring=True, **SCHEMAS)
    with pytest.raises(Error, match=text) as caught:
        intel_rdt.create(record, SCHEMAS)
    assert ": no such luck" in str(caught.value)
    resctrl.refuses.clear()
    intel_rdt.remove(record, created=False)
    assert not (resctrl.root / "box").exists()


def test_status_that_says_nothing(resctrl: Resctrl) -> None:
    resctrl.refuses["box"] = errno.EPERM
    with pytest.raises(Error) as caught:
        resctrl.create()
    assert str(caught.value).endswith("/box: operation not permitted")


def test_made_by_somebody_else_meanwhile(resctrl: Resctrl) -> None:
    record = resctrl.plan(enableMonitoring=True)
    os.mkdir(str(resctrl.root / "box"), 0o755)
    with pytest.raises(Error, match="file exists"):
        intel_rdt.create(record, {})
    assert record["made"] == []
    intel_rdt.remove(record, created=False)
    assert (resctrl.root / "box").is_dir()


def test_monitoring_group_of_somebody_else(resctrl: Resctrl) -> None:
    """Our group goes, theirs stays."""
    os.mkdir(str(resctrl.root / "mon_groups/box"), 0o755)
    record = resctrl.plan(closID="/", enableMonitoring=True)
    with pytest.raises(Error, match="file exists"):
        intel_rdt.create(record, {})
    assert record["made"] == []


@pytest.mark.parametrize("tasks", ["", "12\n"])
def test_failed_create_with_a_name(resctrl: Resctrl, tasks: str) -> None:
    """The group goes too, unless somebody else is in it by now."""
    record = resctrl.create(closID="gold", schemata=["L3:0=f"])
    (resctrl.root / "gold/tasks").write_text(tasks)
    intel_rdt.remove(record, created=False)
    assert (resctrl.root / "gold").exists() is bool(tasks)


def test_removed_twice(resctrl: Resctrl) -> None:
    record = resctrl.create(enableMonitoring=True)
    intel_rdt.remove(record, created=True)
    intel_rdt.remove(record, created=True)
    resctrl.refuses["box"] = errno.EBUSY
    with pytest.raises(Error, match="rmdir .*/box: device or resource busy"):
        intel_rdt.remove(record, created=True)


LINE = "30 24 0:27 / {} rw,relatime shared:9 - {} resctrl rw\n"


def test_mount_point() -> None:
    other = LINE.format("/sys/fs/bpf", "bpf")
    text = other + LINE.format("/sys/fs/re\\040sctrl", "resctrl")
    assert intel_rdt.mount_point(text, "") == "/sys/fs/re sctrl"
    with pytest.raises(Error, match="no resctrl file system is mounted: mount -t resctrl"):
        intel_rdt.mount_point(other, "nodev\tproc\nnodev\tresctrl\n")
    with pytest.raises(Error, match="kernel has no resctrl .*CONFIG_X86_CPU_RESCTRL"):
        intel_rdt.mount_point(other, "nodev\tproc\n")


def test_update(resctrl: Resctrl) -> None:
    record = resctrl.create()
    resctrl.done.clear()
    before = intel_rdt.update(record, {"l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=50"})
    assert resctrl.done == [("box/schemata", "L3:0=f"), ("box/schemata", "MB:0=50")]
    assert before == SCHEMATA
    resctrl.done.clear()
    intel_rdt.restore(record, before)
    assert [line for _, line in resctrl.done] == [line.strip() for line in SCHEMATA.splitlines()]


def test_update_that_fails(resctrl: Resctrl) -> None:
    record = resctrl.create()
    resctrl.refuses["box/schemata"] = errno.EINVAL
    with pytest.raises(Error, match="write L3:0=f to .*/box/schemata: invalid argument"):
        intel_rdt.update(record, {"l3CacheSchema": "L3:0=f"})
