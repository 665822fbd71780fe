# SPDX-License-Identifier: Apache-2.0
"""Profiles, their programs, and the comparison of a program with the reference, call by call."""

from __future__ import annotations

import itertools
from typing import Any

import bpf_simulator as bpf
import seccomp_reference as reference
from pyrun import seccomp as programs
from pyrun.compile import seccomp

NATIVE = reference.NATIVE
AUDIT = sorted({audit for _, audit, _ in reference.ARCHS.values()})
NARROW = [reference.ARCHS["x86"][1], reference.ARCHS["arm"][1]]
STRANGE = [*range(460, 520, 7), 1023, 0x3FFFFFFF, 0x40000000 + 700, 0x7FFFFFFF, 0xFFFFFFFF]
SOCKETS = "socket bind connect listen accept getsockname getpeername send recv shutdown setsockopt"
SOCKETS += " getsockopt"
PREFIXES = ("sem", "msg", "shm", *SOCKETS.split())
MULTIPLEXED = {name for name in reference.TABLES[NATIVE] if name.startswith(PREFIXES)}
NAMES = sorted(set(reference.TABLES[NATIVE]) - MULTIPLEXED)


def compiled(config: dict[str, Any]) -> list[bpf.Instruction]:
    profile = seccomp.profile(config, NATIVE)
    assert profile is not None
    return bpf.decode(programs.program(profile, ""))


def numbers(config: dict[str, Any], audit: int) -> list[int]:
    """Every number of the ABIs of an architecture, and some that no ABI has."""
    found: set[int | None] = set(STRANGE)
    for abi, table in reference.TABLES.items():
        if reference.ARCHS[abi][1] == audit:
            known: set[int | None] = set(table.values())
            if abi == "x86":
                named = {name for rule in config["syscalls"] for name in rule["names"]}
                for name in named & MULTIPLEXED:
                    known -= {table.get(name), reference.SOCKETCALL, reference.IPC}
            found |= known
    return sorted(number for number in found if number is not None)


def corners(config: dict[str, Any]) -> dict[str, list[tuple[int, ...]]]:
    """Arguments around the values of the conditions on each name."""
    found: dict[str, list[tuple[int, ...]]] = {}
    for rule in config["syscalls"]:
        spots: list[set[int]] = [{0} for _ in range(6)]
        for condition in rule.get("args", []):
            value, second = condition["value"], condition.get("valueTwo", 0)
            around = {value, value + 1, value - 1, value ^ 1 << 32, value ^ 1 << 31, second}
            around |= {second | ~value, ~value, 2**64 - 1, 2**63, second ^ 1 << 40}
            spots[condition["index"]] |= {number % 2**64 for number in around}
        picks = list(itertools.islice(itertools.product(*map(sorted, spots)), 400))
        for name in rule["names"]:
            found.setdefault(name, []).extend(picks)
    return found


def check(config: dict[str, Any], code: list[bpf.Instruction]) -> None:
    zero = (0,) * 6
    points = corners(config)
    for audit in AUDIT:
        by_number: dict[int, list[tuple[int, ...]]] = {}
        for abi, table in reference.TABLES.items():
            if reference.ARCHS[abi][1] == audit:
                for name in points.keys() & table.keys():
                    by_number.setdefault(table[name], []).extend(points[name])
        for number in numbers(config, audit):
            # A 32-bit machine has no upper halves.
            ones = 2**32 - 1 if audit in NARROW else 2**64 - 1
            for wide in {zero, *by_number.get(number, [])}:
                args = tuple(arg & ones for arg in wide)
                expected = reference.answer(config, audit, number, args)
                got = bpf.run(code, audit, number, args)
                assert got == expected, (hex(audit), number, [hex(arg) for arg in args])


def allow(*names: str, **more: Any) -> dict[str, Any]:
    return {"names": list(names), "action": "SCMP_ACT_ALLOW", **more}


def when(index: int, op: str, value: int, second: int = 0) -> dict[str, Any]:
    return {"index": index, "op": f"SCMP_CMP_{op}", "value": value, "valueTwo": second}
