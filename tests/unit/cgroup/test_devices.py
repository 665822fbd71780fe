# SPDX-License-Identifier: Apache-2.0
"""Device rules: the folded policy, the v1 writes and the BPF program all give the same answers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrun.cgroup import bpf, devices
from pyrun.errors import Error
from unit.cgroup.kernel_model import GRID, Controller, run

DENY_ALL = {"allow": False, "access": "rwm"}
ALLOW_ALL = {"allow": True, "type": "a", "access": "rwm"}
DEFAULT_LINES = """\
c *:* m
b *:* m
c 1:3 rwm
c 1:8 rwm
c 1:7 rwm
c 5:0 rwm
c 1:5 rwm
c 1:9 rwm
c 136:* rwm
c 5:2 rwm
c 10:200 rwm""".splitlines()

numbers = st.sampled_from([None, -1, 0, 1, 3, 10, 200, 2**32 - 1])
rules = st.fixed_dictionaries(
    {"allow": st.booleans(), "access": st.text("rwm", min_size=1, max_size=3)},
    optional={
        "type": st.sampled_from(["a", "b", "c", None]),
        "major": numbers,
        "minor": numbers,
    },
)


def reference(wanted: list[dict[str, Any]]) -> Controller:
    """The controller after the rules were written to it one by one, and the default ones."""
    controller = Controller()
    for rule in wanted:
        file = "devices.allow" if rule["allow"] else "devices.deny"
        major, minor = (
            "*" if rule.get(field) in (None, -1) else str(rule[field])
            for field in ("major", "minor")
        )
        kind = rule.get("type") or "a"
        letters = "".join(sorted(set(rule["access"])))
        if (kind, major, minor, letters) == ("a", "*", "*", "mrw"):
            controller.write(file, "a")
            continue
        for each in "bc" if kind == "a" else kind:
            controller.write(file, f"{each} {major}:{minor} {letters}")
    for line in DEFAULT_LINES:
        controller.write("devices.allow", line)
    return controller


def verdicts(policy: devices.Policy) -> tuple[list[bool], list[bool]]:
    """For every access of the grid: what the v1 writes give, and what the program gives."""
    controller = Controller()
    controller.write("devices.allow", "c 7:7 rwm")  # inherited from a parent
    for _, file, line in devices.lines(policy):
        controller.write(file, line)
    program = bpf.program(policy)
    return (
        [controller.allows(*access) for access in GRID],
        [bool(run(program, *access)) for access in GRID],
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(rules, max_size=6), st.sampled_from([[], [DENY_ALL], [ALLOW_ALL]]))
def test_writes_and_program_agree_with_the_controller(
    some: list[dict[str, Any]], first: list[dict[str, Any]]
) -> None:
    wanted = first + some
    try:
        policy = devices.policy(wanted)
    except Error:
        return  # test_taking_back_a_part_is_refused
    controller = reference(wanted)
    expected = [controller.allows(*access) for access in GRID]
    assert verdicts(policy) == (expected, expected)


@pytest.mark.parametrize("wanted", [[], [DENY_ALL]])
def test_no_rules_deny_all_but_the_default_devices(wanted: list[dict[str, Any]]) -> None:
    policy = devices.policy(wanted)
    for kind, major, minor, access in GRID:
        default = (kind, major, minor) in {("c", 1, 3), ("c", 10, 200)}
        assert bool(run(bpf.program(policy), kind, major, minor, access)) == (
            default or access == devices.MKNOD
        )
    lines = devices.lines(policy)
    assert lines[0][1:] == ("devices.deny", "a")
    assert sorted(line for _, file, line in lines[1:]) == sorted(DEFAULT_LINES)
    assert {file for _, file, _ in lines[1:]} == {"devices.allow"}


def test_privileged_needs_one_write_and_no_program() -> None:
    policy = devices.policy([DENY_ALL, ALLOW_ALL])
    assert devices.allows_all(policy)
    assert devices.lines(policy) == [("/linux/resources/devices", "devices.allow", "a")]
    assert not devices.allows_all(devices.policy([]))


def test_a_denial_survives_in_an_open_container() -> None:
    rule = {"allow": False, "type": "b", "major": 8, "minor": 0, "access": "w"}
    policy = devices.policy([ALLOW_ALL, rule])
    assert devices.lines(policy)[1:] == [("/linux/resources/devices/1", "devices.deny", "b 8:0 w")]
    assert not devices.allows_all(policy)
    assert [run(bpf.program(policy), "b", 8, 0, access) for access in (1, 2, 3, 4, 6)] == [
        *(1, 1, 1),
        *(0, 0),
    ]


def test_taking_back_a_part_is_refused() -> None:
    wide = {"allow": True, "type": "c", "major": 1, "access": "rw"}
    part = {"allow": False, "type": "c", "major": 1, "minor": 3, "access": "r"}
    with pytest.raises(Error, match=r"devices/1: .*takes back a part of .*devices/0"):
        devices.policy([wide, part])
    devices.policy([wide, {**part, "access": "m"}])  # nothing of it had been given
    devices.policy([wide, {**wide, "allow": False}])  # all of it


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"type": "x"}, "type"),
        ({"access": ""}, "access"),
        ({"access": None}, "access"),
        ({"access": "rx"}, "access"),
        ({"major": -2}, "major"),
        ({"minor": 1 << 32}, "minor"),
    ],
)
def test_a_malformed_rule_is_refused(change: dict[str, Any], field: str) -> None:
    with pytest.raises(Error) as caught:
        devices.policy([DENY_ALL, {"allow": True, "type": "c", "access": "r", **change}])
    assert caught.value.pointer == f"/linux/resources/devices/1/{field}"


def test_numbers_of_more_than_31_bits_are_compared_whole() -> None:
    rule = {"allow": True, "type": "c", "major": 2**32 - 1, "minor": 2**31, "access": "r"}
    program = bpf.program(devices.policy([rule]))
    assert run(program, "c", 2**32 - 1, 2**31, 2) == 1
    assert run(program, "c", 2**31, 2**31, 2) == 0
