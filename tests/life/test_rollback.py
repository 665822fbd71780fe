# SPDX-License-Identifier: Apache-2.0
"""An update that fails changes nothing, whichever of its writes it is that fails: with a cgroup of
the kernel's, of which one write after the other is made to fail."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from life.cgroup_steps import in_v2, plan, remove_parents
from needs import excuse, needs
from pyrun.cgroup import cgroupfs, devices, driver, resources, update
from pyrun.errors import Error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = needs("root")
M = 1 << 20
Record = dict[str, Any]


def disk() -> dict[str, int]:
    """A whole one that throttles can be of."""
    places = sorted(Path("/sys/block").iterdir(), key=lambda p: p.name.startswith("zram"))
    if not places:
        excuse("no block device")
    major, minor = (places[0] / "dev").read_text().split(":")
    return {"major": int(major), "minor": int(minor)}


def limits(scale: int) -> dict[str, dict[str, Any]]:
    """Every limit that can be changed here, by controller; another scale, other values."""
    throttles = {
        f"throttle{kind}Device": [{**disk(), "rate": 1000 * scale + number}]
        for number, kind in enumerate(("ReadBps", "WriteBps", "ReadIOPS", "WriteIOPS"))
    }
    return {
        "memory": {
            "memory": {"limit": 64 * M * scale, "swap": 96 * M * scale, "reservation": M * scale}
        },
        "cpu": {
            "cpu": {"shares": 100 * scale, "quota": 20000 * scale, "period": 50000 * scale}
            | {"burst": 1000 * scale}
        },
        "cpuset": {
            "cpu": {"cpus": ["0", f"0-{(os.cpu_count() or 1) - 1}"][scale % 2], "mems": "0"}
        },
        "pids": {"pids": {"limit": 10 * scale}},
        "blkio" if legacy() else "io": {"blockIO": throttles},
        "hugetlb": {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * M * scale}]},
    }


def legacy() -> bool:
    """Whether limits are set in v1 hierarchies here."""
    return driver.facts()["layout"] in ("v1", "hybrid")


def wanted(scale: int, present: set[str]) -> dict[str, Any]:
    """A linux.resources of those whose controller is there, and with a list of devices."""
    found: dict[str, Any] = {}
    for controller, fields in limits(scale).items():
        if controller in present:
            for name, value in fields.items():
                found[name] = {**found[name], **value} if name in found else value
    if legacy() and "memory" in present:
        found["memory"] |= {"swappiness": 10 * scale, "disableOOMKiller": scale > 1}
    if not legacy() and "memory" in present:
        found["unified"] = {"memory.high": str(40 * M * scale), "cgroup.max.depth": str(5 * scale)}
    minor = 200 + scale
    rule = {"allow": True, "type": "c", "major": 10, "minor": minor, "access": "rw"}
    return {**found, "devices": [{"allow": False, "access": "rwm"}, rule]}


def contents(found: list[resources.Write], directories: dict[str, str]) -> dict[str, str]:
    """What the kernel has in all the files that are written."""
    files = {f"{directories[c]}/{choices[0][0]}" for _, c, choices, _ in found}
    listed = f"{directories.get('devices')}/devices.list"
    if "devices" in directories:
        files.add(listed)
    texts = {file: cgroupfs.read(file) for file in files if os.path.exists(file)}
    if listed in texts:
        texts[listed] = "\n".join(sorted(texts[listed].splitlines()))
    return texts


class Failing:
    """A function that writes, of which the call number `at` fails: the way back is not hindered."""

    def __init__(self, real: Callable[..., None], at: int) -> None:
        self.real, self.left = real, at

    def __call__(self, *arguments: Any) -> None:
        self.left -= 1
        if self.left == 0:
            raise OSError(errno.EIO, "broken", "")
        self.real(*arguments)


def failed(record: Record, wanted: Any, patch: pytest.MonkeyPatch) -> Error | None:
    """What an update says; None if it worked."""
    try:
        driver.update(record, wanted)
    except Error as error:
        return error
    finally:
        patch.undo()
    return None


def fail_each(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each write of an update has failed when this ends."""
    driver.create(record, {"devices": []})
    directories = update._directories(record)
    present = {name for name in directories if name}
    first, second = wanted(1, present), wanted(2, present)
    driver.update(record, first)
    found = resources.writes(second, not legacy())
    before = contents(found, directories)
    count, fields = 1, set()
    while True:
        monkeypatch.setattr(cgroupfs, "write", Failing(cgroupfs.write, count))
        error = failed(record, second, monkeypatch)
        if error is None:
            break
        assert "input/output error" in error.message
        assert error.hint == ""  # and the way back was open
        fields.add(error.pointer)
        assert contents(found, directories) == before, count
        count += 1
    assert fields == {write[0] for write in found}
    assert len(fields) >= 10
    after = contents(found, directories)
    assert len([file for file, text in before.items() if after[file] != text]) > len(before) / 2


@pytest.fixture
def v1() -> Iterator[Record]:
    """A planned cgroup on this machine's v1 hierarchies."""
    if not legacy():
        excuse("its controllers are not in cgroup v1")
    record = plan("rollback")
    planned = {**record, "paths": dict(record["paths"])}
    yield record
    driver.destroy(planned)
    remove_parents(planned)


def test_each_write_on_v1(v1: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_each(v1, monkeypatch)


def test_each_write_on_v2(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Path("/sys/fs/cgroup/cgroup.controllers")
    if not names.exists() or not {"memory", "cpu", "pids"} <= set(names.read_text().split()):
        excuse("its cgroup v2 has not these controllers")

    in_v2(lambda record: fail_each(record, monkeypatch))


def test_devices_on_v1(v1: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each write of a policy, too, and the limits that were set before it."""
    from pyrun.cgroup import v1 as module

    driver.create(v1, {"devices": [], "pids": {"limit": 30}})
    listed = Path(v1["paths"]["devices"], "devices.list")
    limit = Path(v1["paths"]["pids"], "pids.max")
    rules = wanted(1, set())["devices"]
    for before in (rules[:1], [{"allow": True, "access": "rwm"}]):
        driver.update(v1, {"devices": before, "pids": {"limit": 30}})
        policy, count = devices.parse(listed.read_text()), 1
        while True:
            monkeypatch.setattr(module, "_write_rule", Failing(module._write_rule, count))
            error = failed(v1, {"devices": rules, "pids": {"limit": 20}}, monkeypatch)
            if error is None:
                break
            assert "input/output error" in error.message
            assert devices.parse(listed.read_text()) == policy, count
            assert limit.read_text() == "30\n"
            count += 1
        assert count > 1
        assert limit.read_text() == "20\n"


def test_devices_on_v2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no program can be attached, the limits are those of before."""
    from pyrun.cgroup import devicefilter

    def body(record: Record) -> None:
        driver.create(record, {"devices": []})
        depth = Path(record["paths"][""], "cgroup.max.depth")

        def attach(_path: str, _program: bytes) -> None:
            raise OSError(errno.ENOSPC, "full", "bpf")

        monkeypatch.setattr(devicefilter, "attach", attach)
        with pytest.raises(Error, match="bpf: no space left on device"):
            driver.update(record, {"unified": {"cgroup.max.depth": "5"}, **wanted(1, set())})
        assert depth.read_text() == "max\n"

    in_v2(body)
