# SPDX-License-Identifier: Apache-2.0
"""linux.resources and annotations as properties of a unit: one row a rule."""

from __future__ import annotations

from typing import Any

import pytest

from pyrun.cgroup import devices, resources
from pyrun.cgroup import unit_properties as properties
from pyrun.errors import Error

ALL = 2**64 - 1
DEVICES = "Character devices:\n  1 mem\n136 pts\n 10 misc\n\nBlock devices:\n  8 sd\n"


def limits(**wanted: Any) -> dict[str, Any]:
    return properties.of_resources(resources.v2(wanted))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, {}),
        (
            {"memory": {"limit": 1000, "reservation": 500, "swap": 1500}},
            {"MemoryMax": ("t", 1000), "MemoryLow": ("t", 500), "MemorySwapMax": ("t", 500)},
        ),
        ({"memory": {"limit": -1}}, {"MemoryMax": ("t", ALL), "MemorySwapMax": ("t", ALL)}),
        ({"cpu": {"shares": 1024}}, {"CPUWeight": ("t", 100)}),
        ({"cpu": {"cpus": "0-2,8"}}, {"AllowedCPUs": ("ay", [7, 1])}),
        ({"cpu": {"mems": "1"}}, {"AllowedMemoryNodes": ("ay", [2])}),
        ({"cpu": {"cpus": "x", "mems": "9999999"}}, {}),
        ({"pids": {"limit": 5}}, {"TasksMax": ("t", 5)}),
        ({"pids": {"limit": -1}}, {"TasksMax": ("t", ALL)}),
        ({"blockIO": {"weight": 10}}, {"IOWeight": ("t", 1)}),
        ({"unified": {"memory.high": "1000", "memory.min": "max"}},
         {"MemoryHigh": ("t", 1000), "MemoryMin": ("t", ALL)}),
        ({"pids": {"limit": 5}, "unified": {"pids.max": "6"}}, {"TasksMax": ("t", 6)}),
        ({"unified": {"memory.oom.group": "1"}}, {"OOMPolicy": ("s", "kill")}),
        ({"unified": {"memory.oom.group": "0"}}, {"OOMPolicy": ("s", "continue")}),
        ({"unified": {"memory.zswap.max": "0"}}, {"MemoryZSwapMax": ("t", 0)}),
        ({"unified": {"io.weight": "default 300"}}, {"IOWeight": ("t", 300)}),
        ({"unified": {"io.weight": "8:0 300"}}, {}),
        ({"cpu": {"shares": 1024, "idle": 1}}, {"CPUWeight": ("t", 0)}),
        ({"cpu": {"shares": 1024, "idle": 0}}, {"CPUWeight": ("t", 100)}),
        ({"unified": {"memory.max": "1G", "cpu.max": "x y", "hugetlb.2MB.max": "0"}}, {}),
    ],
)  # fmt: skip
def test_resources(wanted: dict[str, Any], expected: dict[str, Any]) -> None:
    assert limits(**wanted) == expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"memory": {"limit": 1000, "reservation": 500, "swap": 1500}}, {"MemoryLimit": 1000}),
        ({"memory": {"limit": -1}}, {"MemoryLimit": ALL}),
        ({"cpu": {"shares": 512, "cpus": "0-2"}},
         {"CPUShares": 512}),
        ({"cpu": {"quota": 15001, "period": 50000}},
         {"CPUQuotaPerSecUSec": 310_000, "CPUQuotaPeriodUSec": 50_000}),
        ({"cpu": {"quota": -1}}, {"CPUQuotaPerSecUSec": ALL, "CPUQuotaPeriodUSec": 100_000}),
        ({"cpu": {"shares": 1024, "idle": 1}}, {"CPUShares": 1024}),
        ({"pids": {"limit": -1}}, {"TasksMax": ALL}),
        ({"blockIO": {"weight": 300}}, {"BlockIOWeight": 300}),
        ({"network": {"classID": 1}, "hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}, {}),
    ],
)  # fmt: skip
def test_resources_v1(wanted: dict[str, Any], expected: dict[str, Any]) -> None:
    found = properties.of_resources(resources.v1(wanted), unified=False)
    assert {name: value for name, (_, value) in found.items()} == expected


@pytest.mark.parametrize(
    ("wanted", "weight"),
    [
        ({"blockIO": {"weight": 10}}, 10),
        ({"blockIO": {"weight": 1000}}, 10000),
        ({"unified": {"io.bfq.weight": "300"}}, 2300),
        ({"unified": {"io.weight": "300"}}, 300),
        ({"unified": {"io.bfq.weight": "8:0 300"}}, None),
    ],
)
def test_the_weight_of_bfq(wanted: dict[str, Any], weight: int | None) -> None:
    found = properties.of_resources(resources.v2(wanted), bfq=True)
    assert found == ({"IOWeight": ("t", weight)} if weight else {})


def test_systemd_makes_it_the_weight_of_bfq_again() -> None:
    """By its formula, BFQ_WEIGHT in src/basic/cgroup-util.h."""
    for weight in range(1, 1001):
        found = properties.of_bfq(weight)
        rest = (found - 100) * (1000 - 100) // (10000 - 100)
        assert weight == (found if found <= 100 else 100 + rest)


@pytest.mark.parametrize(
    ("quota", "period", "each_second"),
    [
        (15000, 100000, 150000),
        (15001, 100000, 160000),
        (1000, 100000, 10000),
        (1000, 1000000, 10000),
        (33333, 50000, 670000),
        (-1, 50000, ALL),
    ],
)
def test_the_quota_is_rounded_up(quota: int, period: int, each_second: int) -> None:
    assert limits(cpu={"quota": quota, "period": period}) == {
        "CPUQuotaPerSecUSec": ("t", each_second),
        "CPUQuotaPeriodUSec": ("t", period),
    }


def of_devices(*rules: dict[str, Any]) -> dict[str, Any]:
    return properties.of_devices(devices.policy(list(rules)), properties.majors(DEVICES))


def test_devices() -> None:
    found = of_devices(
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "b", "major": 8, "access": "r"},
        {"allow": True, "type": "c", "major": 9, "minor": 7, "access": "rw"},
    )
    assert found["DevicePolicy"] == ("s", "strict")
    signature, entries = found["DeviceAllow"]
    assert signature == "a(ss)"
    assert entries[:2] == [("block-sd", "r"), ("/dev/char/9:7", "rw")]
    assert ("char-*", "m") in entries
    assert ("char-pts", "rwm") in entries
    assert ("/dev/char/1:3", "rwm") in entries


def test_every_device() -> None:
    assert of_devices({"allow": True, "access": "rwm"}) == {"DevicePolicy": ("s", "auto")}


@pytest.mark.parametrize(
    "rules",
    [
        [{"allow": True, "type": "c", "major": 99, "access": "r"}],
        [{"allow": True, "type": "c", "minor": 3, "access": "r"}],
        [
            {"allow": True, "access": "rwm"},
            {"allow": False, "type": "c", "major": 9, "minor": 9, "access": "r"},
        ],
    ],
)
def test_what_systemd_has_no_words_for_is_left_to_the_filter(rules: list[Any]) -> None:
    assert of_devices(*rules) == {}


UNKNOWN = {"allow": True, "type": "c", "major": 99, "access": "r"}


def test_one_list_for_all_leaves_out_what_it_has_no_words_for() -> None:
    rules = [{"allow": True, "type": "c", "major": 9, "minor": 7, "access": "rw"}, UNKNOWN]
    found = properties.of_devices(devices.policy(rules), properties.majors(DEVICES), apart=False)
    assert found["DevicePolicy"] == ("s", "strict")
    assert found["DeviceAllow"][1][0] == ("/dev/char/9:7", "rw")
    assert not [place for place, _ in found["DeviceAllow"][1] if "99" in place]


def test_one_list_for_all_can_not_except_devices() -> None:
    rules = [{"allow": True, "access": "rwm"}, {**UNKNOWN, "allow": False}]
    with pytest.raises(Error, match="at its next reload") as caught:
        properties.of_devices(devices.policy(rules), {}, apart=False)
    assert caught.value.pointer == "/linux/resources/devices"


def test_a_scope() -> None:
    record = {"unit": "p-n.scope", "slice": "a.slice", "layout": "v2"}
    found = properties.of_unit(record, "box", 7)
    assert found["PIDs"] == ("au", [7])
    assert found["Slice"] == ("s", "a.slice")
    assert found["Delegate"] == ("b", True)
    assert found["IOAccounting"] == ("b", True)
    assert not {"Wants", "BlockIOAccounting"} & set(found)


def test_a_scope_of_v1() -> None:
    record = {"unit": "p-n.scope", "slice": "a.slice", "layout": "hybrid"}
    found = properties.of_unit(record, "box", 7)
    assert found["BlockIOAccounting"] == ("b", True)
    assert "IOAccounting" not in found


def test_a_slice() -> None:
    record = {"unit": "a-b.slice", "slice": "a.slice", "layout": "v2"}
    found = properties.of_unit(record, "box", 7)
    assert found["Wants"] == ("as", ["a.slice"])
    assert not {"PIDs", "Slice", "Delegate"} & set(found)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("CollectMode", "'inactive'", ("CollectMode", ("s", "inactive"))),
        ("After", "['a.service']", ("After", ("as", ["a.service"]))),
        ("TimeoutStopSec", "7", ("TimeoutStopUSec", ("t", 7_000_000))),
        ("TimeoutStopSec", "0.5", ("TimeoutStopUSec", ("t", 500_000))),
        ("TimeoutStopUSec", "uint64 7", ("TimeoutStopUSec", ("t", 7))),
    ],
)
def test_annotations(name: str, text: str, expected: tuple[str, Any]) -> None:
    notes = {f"org.systemd.property.{name}": text, "other": "x"}
    assert list(properties.of_annotations(notes).items()) == [expected]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", "1"), ("Ab", "1"), ("A.B", "1"), ("Äbc", "1"), ("Sec1", "1"), ("After", "soon"),
        ("PIDs", "[1]"), ("Slice", "'a.slice'"), ("TimeoutStopSec", "'7'"),
        ("TimeoutStopSec", "-1"), ("TimeoutStopSec", "uint64 18446744073709551615"),
    ],
)  # fmt: skip
def test_annotations_that_are_refused(name: str, text: str) -> None:
    with pytest.raises(Error) as caught:
        properties.of_annotations({f"org.systemd.property.{name}": text})
    assert caught.value.pointer == f"/annotations/org.systemd.property.{name}"
