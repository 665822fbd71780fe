# SPDX-License-Identifier: Apache-2.0
"""A small world of devices, and what device rules mean in it: written from the words of
config-linux.md and of the kernel (devices.rst, instruction-set.rst), not from pyrun.

A set of accesses is an int: bit N stands for ACCESSES[N]. So a rule, a write into a file of the v1
controller and a BPF program each give one number, whatever they do in between.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import product
from typing import Any

LETTERS = {"m": 1, "r": 2, "w": 4}  # devcg's; BPF_DEVCG_ACC_* are the same
KINDS = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_*
Access = tuple[str, int, int, int]  # type, major, minor, bits
Term = tuple[Any, ...]  # where a register's value comes from


class World:
    """All accesses to devices with these numbers. One number should be in no rule: it is what
    tells a rule for all numbers from rules for each."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self.accesses: list[Access] = list(product(KINDS, numbers, numbers, range(1, 8)))
        self.everything = self.those(lambda _: True)
        self.devices = lru_cache(None)(self._devices)
        self.within = lru_cache(None)(lambda bits: self.those(lambda a: not a[3] & ~bits))
        self.touching = lru_cache(None)(lambda bits: self.those(lambda a: bool(a[3] & bits)))
        self.equal = lru_cache(None)(self._equal)

    def those(self, wanted: Callable[[Access], bool]) -> int:
        """The set of accesses for which this is true."""
        return sum(1 << n for n, access in enumerate(self.accesses) if wanted(access))

    def _devices(self, kind: str, major: str, minor: str) -> int:
        return self.those(
            lambda a: (
                kind in ("a", a[0]) and major in ("*", str(a[1])) and minor in ("*", str(a[2]))
            )
        )

    def _equal(self, term: Term, number: int) -> int:
        return self.those(lambda a: value(term, a) == number)


def value(term: Term, access: Access) -> int:
    """What a register holds for one access."""
    name, *rest = term
    if name == "word":  # of struct bpf_cgroup_dev_ctx
        kind, major, minor, bits = access
        context = struct.pack("=III", bits << 16 | KINDS[kind], major, minor)
        return int(struct.unpack_from("=I", context, rest[0])[0])
    if name == "number":
        return int(rest[0])
    inner = value(rest[0], access)
    return inner & rest[1] if name == "and" else inner >> rest[1]


def words(rule: dict[str, Any]) -> tuple[bool, str, str, str, int]:
    """A rule of linux.resources.devices as the controller's words, bits for letters."""
    numbers = [
        "*" if rule.get(field) in (None, -1) else str(rule[field]) for field in ("major", "minor")
    ]
    bits = sum(LETTERS[letter] for letter in set(rule["access"]))
    return rule["allow"], rule.get("type") or "a", numbers[0], numbers[1], bits


def meaning(world: World, rules: Iterable[dict[str, Any]], defaults: Sequence[str]) -> int | None:
    """What rules allow, in this order: each has the last word about what it names. None where v1's
    controller could not do that: it has a default and exceptions from it, and an exception can be
    taken away, but not a part of it.

    The rules of every container come last: where all is denied by default, they are exceptions like
    others; where all is allowed, only what is said of the very same is taken back by them.
    """
    default = False
    exceptions: list[tuple[int, int]] = []  # devices, bits
    for rule in rules:
        allow, kind, major, minor, bits = words(rule)
        if (kind, major, minor, bits) == ("a", "*", "*", 7):
            default, exceptions = allow, []
            continue
        for each in "bc" if kind == "a" else kind:
            named = world.devices(each, major, minor)
            if allow != default:
                exceptions.append((named, bits))
                continue
            kept = []
            for devices, present in exceptions:
                if devices & named and present & bits and devices & ~named:
                    return None
                kept.append((devices, present & ~bits) if devices & named else (devices, present))
            exceptions = kept
    for line in defaults:
        kind, numbers, letters = line.split()
        same = world.devices(kind, *numbers.split(":"))
        bits = sum(LETTERS[letter] for letter in letters)
        if default:
            exceptions = [(d, p & ~bits if d == same else p) for d, p in exceptions]
        else:
            exceptions.append((same, bits))
    return verdict(world, default, merged(exceptions))


def merged(exceptions: Iterable[tuple[int, int]]) -> Iterable[tuple[int, int]]:
    """Of the same devices there is one exception: "allow c 1:3 r" and "allow c 1:3 w" is "rw"."""
    found: dict[int, int] = {}
    for devices, bits in exceptions:
        found[devices] = found.get(devices, 0) | bits
    return found.items()


def verdict(world: World, default: bool, exceptions: Iterable[tuple[int, int]]) -> int:
    """Where all is denied, an access takes one exception with all its bits; where all is allowed,
    one exception with any of its bits is in its way."""
    named = 0
    for devices, bits in exceptions:
        if bits:
            named |= devices & (world.touching(bits) if default else world.within(bits))
    return world.everything & ~named if default else named


class Controller:
    """One cgroup of the v1 device controller, as the kernel takes lines into its two files."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.default = False
        self.exceptions: dict[str, int] = {"c 7:7": 7}  # inherited from a parent

    def write(self, file: str, line: str) -> None:
        """One write(2)."""
        allow = file == "devices.allow"
        if line == "a":
            self.default, self.exceptions = allow, {}
            return
        name, _, letters = line.rpartition(" ")
        bits = sum(LETTERS[letter] for letter in letters)
        present = self.exceptions.get(name, 0)
        self.exceptions[name] = present & ~bits if allow == self.default else present | bits

    def allowed(self) -> int:
        """The set of accesses that pass."""
        named = [
            (self.world.devices(kind, *numbers.split(":")), bits)
            for (kind, numbers), bits in ((n.split(), b) for n, b in self.exceptions.items())
        ]
        return verdict(self.world, self.default, named)


def run(world: World, program: bytes) -> int:
    """The accesses that a BPF program allows: each instruction runs for all of them at once that
    get to it. Only the instructions a filter may use, and no register whose value is not the same
    on every way to where it is read; all of them clear a register's upper half."""
    code = list(struct.iter_unpack("=BBhi", program))
    reach, allowed = [0] * (len(code) + 1), 0
    reach[0] = world.everything
    known: dict[int, dict[int, Term]] = {0: {1: ("context",)}}
    for at, (opcode, both, offset, immediate) in enumerate(code):
        target, source, number = both & 15, both >> 4, immediate & 0xFFFFFFFF
        assert at in known, f"no way leads to instruction {at}: the verifier refuses it"
        here, registers, taken = reach[at], dict(known.pop(at)), 0
        if opcode == 0x61:  # ldxw
            assert registers[source] == ("context",)
            registers[target] = ("word", offset)
        elif opcode == 0xBC:  # mov32 register
            registers[target] = registers[source]
        elif opcode == 0xB4:  # mov32
            registers[target] = ("number", number)
        elif opcode == 0x54:  # and32
            registers[target] = ("and", registers[target], number)
        elif opcode == 0x74:  # rsh32
            registers[target] = ("shift", registers[target], number)
        elif opcode in (0x16, 0x56):  # jeq32, jne32
            equal = world.equal(registers[target], number)
            taken = here & (equal if opcode == 0x16 else ~equal)
            assert offset >= 0, "a loop"
            arrive(known, at + 1 + offset, registers)
            reach[at + 1 + offset] |= taken
        elif opcode == 0x95:  # exit
            assert registers[0] in (("number", 0), ("number", 1))
            allowed |= here if registers[0][1] else 0
            continue
        else:
            raise AssertionError(f"instruction {opcode:#x} is not expected")
        arrive(known, at + 1, registers)
        reach[at + 1] |= here & ~taken
    assert not known, "the program does not end"
    return allowed


def arrive(known: dict[int, dict[int, Term]], at: int, registers: dict[int, Term]) -> None:
    """What is known of the registers there: what is the same on every way that leads to it."""
    before = known.get(at)
    known[at] = (
        registers
        if before is None
        else {n: term for n, term in registers.items() if before.get(n) == term}
    )
