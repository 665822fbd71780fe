# SPDX-License-Identifier: Apache-2.0
"""The device controller of cgroup v1, and a machine for BPF, as reference for the tests.

Written from the kernel's documentation (devices.rst, instruction-set.rst), not from pyrun.
"""

from __future__ import annotations

import struct
from itertools import product
from typing import Any

NUMBERS = (0, 1, 3, 10, 200, 2**32 - 1)
LETTERS = {"m": 1, "r": 2, "w": 4}
GRID = list(product("bc", NUMBERS, NUMBERS, range(1, 8)))  # type, major, minor, access bits


class Controller:
    """One cgroup of the v1 device controller, which denies everything at first."""

    def __init__(self) -> None:
        self.default = False
        self.exceptions: list[list[Any]] = []  # [type, major, minor, bits]

    def write(self, file: str, line: str) -> None:
        allow = file == "devices.allow"
        if line == "a":
            self.default, self.exceptions = allow, []
            return
        kind, numbers, letters = line.split(" ")
        name = [kind, *numbers.split(":")]
        bits = sum(LETTERS[letter] for letter in letters)
        same = [known for known in self.exceptions if known[:3] == name]
        if allow == self.default:
            for known in same:
                known[3] &= ~bits
        elif same:
            same[0][3] |= bits
        else:
            self.exceptions.append([*name, bits])
        self.exceptions = [known for known in self.exceptions if known[3]]

    def allows(self, kind: str, major: int, minor: int, access: int) -> bool:
        for known_kind, known_major, known_minor, bits in self.exceptions:
            if known_kind != kind:
                continue
            if known_major not in ("*", str(major)) or known_minor not in ("*", str(minor)):
                continue
            if self.default and access & bits:
                return False
            if not self.default and not access & ~bits:
                return True
        return self.default


def run(program: bytes, kind: str, major: int, minor: int, access: int) -> int:
    """Run a BPF program on a struct bpf_cgroup_dev_ctx; only the instructions a filter may use."""
    context = struct.pack("=III", access << 16 | {"b": 1, "c": 2}[kind], major, minor)
    code = list(struct.iter_unpack("=BBhi", program))
    registers: list[int | str | None] = [None] * 11
    registers[1] = "context"

    def number(index: int) -> int:
        value = registers[index]
        assert isinstance(value, int), f"r{index} is {value}"
        return value

    at = 0
    for _ in range(len(code)):  # no loops: each instruction runs once at most
        opcode, both, offset, immediate = code[at]
        target, source = both & 15, both >> 4
        unsigned = immediate & 0xFFFFFFFF
        at += 1
        if opcode == 0x61:
            assert registers[source] == "context"
            registers[target] = struct.unpack_from("=I", context, offset)[0]
        elif opcode == 0xBC:
            registers[target] = number(source) & 0xFFFFFFFF
        elif opcode == 0xB4:
            registers[target] = unsigned
        elif opcode == 0x54:
            registers[target] = number(target) & unsigned & 0xFFFFFFFF
        elif opcode == 0x74:
            registers[target] = (number(target) & 0xFFFFFFFF) >> immediate
        elif opcode == 0x16:
            at += offset if number(target) & 0xFFFFFFFF == unsigned else 0
        elif opcode == 0x56:
            at += offset if number(target) & 0xFFFFFFFF != unsigned else 0
        elif opcode == 0x95:
            return number(0)
        else:
            raise AssertionError(f"instruction {opcode:#x} is not expected")
    raise AssertionError("the program does not end")
