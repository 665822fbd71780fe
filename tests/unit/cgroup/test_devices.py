# SPDX-License-Identifier: Apache-2.0
"""Device rules: the folded policy, the v1 writes and the BPF program all give the same answers, and
they are what the rules mean; for every sequence of rules of a small world."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrun.cgroup import bpf, devices
from pyrun.errors import Error
from unit.cgroup.device_model import Controller, World, meaning, run

Rule = dict[str, Any]
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
SUBSETS = ("r", "w", "m", "rw", "rm", "wm", "rwm")
OTHER = 4  # a number that is in no rule
SMALL = World((1, 2, OTHER))


def alphabet(kinds: str, majors: Any, minors: Any, accesses: Any) -> list[Rule]:
    """Every rule made of these."""
    return [
        {"allow": allow, "type": kind, "major": major, "minor": minor, "access": access}
        for allow, kind, major, minor, access in product(
            (True, False), kinds, majors, minors, accesses
        )
    ]


class Answers:
    """What pyrun makes of rules. Each policy is worked out once: many sequences lead to one."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seen: dict[object, int] = {}

    def of(self, rules: list[Rule]) -> int | None:
        """The set of accesses that are allowed; None if the rules are refused."""
        try:
            default, exceptions = devices.policy(rules)
        except Error as error:
            assert "takes back a part of" in error.message  # noqa: PT017 what passes is compared
            return None
        key = default, tuple((name, bits) for name, (bits, _) in exceptions.items())
        if key not in self.seen:
            program = run(self.world, bpf.program((default, exceptions)))
            controller = Controller(self.world)
            for _, file, line in devices.lines((default, exceptions)):
                controller.write(file, line)
            assert controller.allowed() == program, "v1 and v2 differ"
            self.seen[key] = program
        return self.seen[key]


def compare(world: World, sequences: Iterator[tuple[Rule, ...]]) -> tuple[int, int]:
    """Of all these: how many were accepted, and how many refused."""
    answers, accepted, refused = Answers(world), 0, 0
    for sequence in sequences:
        rules = list(sequence)
        expected, found = meaning(world, rules, DEFAULT_LINES), answers.of(rules)
        assert found == expected, rules
        accepted, refused = accepted + (found is not None), refused + (found is None)
    return accepted, refused


def test_every_rule() -> None:
    """Types a, b and c, two numbers and any, every subset of the accesses."""
    rules = alphabet("abc", (-1, 1, 2), (-1, 1, 2), SUBSETS)
    assert compare(SMALL, ((rule,) for rule in rules)) == (len(rules), 0)


@pytest.mark.parametrize(
    ("kinds", "accesses"), [("ac", SUBSETS), ("abc", ("r", "rwm"))], ids=["accesses", "types"]
)
def test_every_pair_of_rules(kinds: str, accesses: tuple[str, ...]) -> None:
    """b is like c, so with all accesses one of them is enough."""
    rules = alphabet(kinds, (-1, 1, 2), (-1, 1, 2), accesses)
    accepted, refused = compare(SMALL, product(rules, rules))
    assert accepted + refused == len(rules) ** 2
    assert refused > 300


@pytest.mark.parametrize("first", [[], [ALLOW_ALL]], ids=["denied", "allowed"])
def test_every_three_rules(first: list[Rule]) -> None:
    """With less to choose from, and with either default."""
    rules = alphabet("ac", (-1, 1), (-1, 1), ("r", "rwm"))
    accepted, refused = compare(SMALL, ((*first, *three) for three in product(rules, rules, rules)))
    assert accepted + refused == len(rules) ** 3
    assert accepted > refused > 1000


WIDE = World((0, 1, 3, 10, 200, 2**31, 2**32 - 1, OTHER))
numbers = st.sampled_from([None, -1, 0, 1, 3, 10, 200, 2**31, 2**32 - 1])
some_rules = st.fixed_dictionaries(
    {"allow": st.booleans(), "access": st.text("rwm", min_size=1, max_size=3)},
    optional={
        "type": st.sampled_from(["a", "b", "c", None]),
        "major": numbers,
        "minor": numbers,
    },
)


@settings(max_examples=300, deadline=None)
@given(st.lists(some_rules, max_size=8), st.sampled_from([[], [DENY_ALL], [ALLOW_ALL]]))
def test_longer_lists_with_more_numbers(some: list[Rule], first: list[Rule]) -> None:
    compare(WIDE, iter([(*first, *some)]))


@pytest.mark.parametrize("wanted", [[], [DENY_ALL]])
def test_no_rules_deny_all_but_the_default_devices(wanted: list[Rule]) -> None:
    policy = devices.policy(wanted)
    default = {("c", 1, 3), ("c", 10, 200)}
    assert run(WIDE, bpf.program(policy)) == WIDE.those(
        lambda a: a[:3] in default or a[3] == devices.MKNOD
    )
    lines = devices.lines(policy)
    assert lines[0][1:] == ("devices.deny", "a")
    assert sorted(line for _, file, line in lines[1:]) == sorted(DEFAULT_LINES)
    assert {file for _, file, _ in lines[1:]} == {"devices.allow"}


def test_privileged_needs_one_write_and_no_program() -> None:
    policy = devices.policy([DENY_ALL, ALLOW_ALL])
    assert devices.allows_all(policy)
    assert devices.lines(policy) == [("/linux/resources/devices", "devices.allow", "a")]
    assert run(WIDE, bpf.program(policy)) == WIDE.everything
    assert not devices.allows_all(devices.policy([]))


def test_a_denial_survives_in_an_open_container() -> None:
    rule = {"allow": False, "type": "b", "major": 8, "minor": 0, "access": "w"}
    policy = devices.policy([ALLOW_ALL, rule])
    assert devices.lines(policy)[1:] == [("/linux/resources/devices/1", "devices.deny", "b 8:0 w")]
    assert not devices.allows_all(policy)
    world = World((8, 0))
    assert run(world, bpf.program(policy)) == world.those(
        lambda a: not (a[:3] == ("b", 8, 0) and a[3] & devices.WRITE)
    )


def test_taking_back_a_part_is_refused() -> None:
    wide = {"allow": True, "type": "c", "major": 1, "access": "rw"}
    part = {"allow": False, "type": "c", "major": 1, "minor": 3, "access": "r"}
    across = {"allow": False, "type": "c", "minor": 3, "access": "w"}
    for less in (part, across):
        with pytest.raises(Error, match=r"devices/1: .*takes back a part of .*devices/0"):
            devices.policy([wide, less])
    devices.policy([wide, {**part, "access": "m"}])  # nothing of it had been given
    devices.policy([wide, {**wide, "allow": False}])  # all of it


def test_a_wider_rule_takes_back_narrower_ones() -> None:
    """v1's kernel alone would leave them as they are."""
    fuse = {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwm"}
    closed = {"allow": False, "type": "c", "major": 10, "access": "rw"}
    for rules in ([fuse, closed], [fuse, {**closed, "type": "a"}], [fuse, {**closed, "major": -1}]):
        lines = [line for _, _, line in devices.lines(devices.policy(rules))]
        assert "c 10:229 m" in lines
        assert "c 10:229 rwm" not in lines


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
def test_a_malformed_rule_is_refused(change: Rule, field: str) -> None:
    with pytest.raises(Error) as caught:
        devices.policy([DENY_ALL, {"allow": True, "type": "c", "access": "r", **change}])
    assert caught.value.pointer == f"/linux/resources/devices/1/{field}"


@pytest.mark.parametrize("number", [0, 1, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1])
def test_numbers_are_compared_whole(number: int) -> None:
    """None of their 32 bits is a sign, and none is lost; 0 is not "any"."""
    near = sorted({(number + more) % 2**32 for more in (-1, 0, 1, 2**16, 2**31)})
    world = World(near)
    rule = {"allow": True, "type": "c", "major": number, "minor": number, "access": "r"}
    allowed = run(world, bpf.program(devices.policy([rule]))) & ~world.those(
        lambda a: a[3] == devices.MKNOD or a[1:3] in {(1, 3), (1, 5), (1, 7), (5, 0), (5, 2)}
    )
    assert allowed == world.those(lambda a: a == ("c", number, number, devices.READ))


def test_as_many_rules_as_there_are() -> None:
    """A program of thousands of instructions: no jump is too long for its 16 bits."""
    rules = [
        {"allow": True, "type": "b", "major": 8, "minor": minor, "access": "rw"}
        for minor in range(2000)
    ]
    program = bpf.program(devices.policy(rules))
    assert len(program) // 8 > 12000
    world = World((8, 1999, 2000))
    allowed = run(world, program)
    assert allowed & world.devices("b", "8", "1999")
    assert not allowed & world.devices("b", "8", "2000") & ~world.within(devices.MKNOD)
