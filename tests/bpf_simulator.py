# SPDX-License-Identifier: Apache-2.0
"""Classic BPF as the kernel runs a seccomp filter: strict, one instruction after the other."""

from __future__ import annotations

import struct

Instruction = tuple[int, int, int, int]  # code, jt, jf, k


def decode(program: bytes) -> list[Instruction]:
    """The instructions of an array of struct sock_filter, checked as the kernel checks them."""
    code = list(struct.iter_unpack("=HBBI", program))
    assert 0 < len(code) <= 4096
    assert code[-1][0] in (0x06, 0x16), "a filter ends with a return"
    for at, (op, yes, no, k) in enumerate(code):
        if op == 0x05:
            assert at + 1 + k < len(code), "a jump leaves the filter"
        elif op & 0x07 == 0x05:
            assert at + 1 + max(yes, no) < len(code), "a jump leaves the filter"
    return code


def run(code: list[Instruction], arch: int, number: int, args: tuple[int, ...] = (0,) * 6) -> int:
    """What the filter returns for one system call (SECCOMP_RET_* and its data)."""
    seccomp_data = struct.pack("=iIQ6Q", number - (number >> 31 << 32), arch, 0, *args)
    a, at = 0, 0
    while True:
        op, yes, no, k = code[at]
        at += 1
        if op == 0x20:  # ld [k]
            assert k % 4 == 0
            (a,) = struct.unpack_from("=I", seccomp_data, k)
        elif op == 0x06:  # ret #k
            return k
        elif op == 0x54:  # and #k
            a &= k
        elif op == 0x05:  # ja
            at += k
        elif op == 0x15:  # jeq
            at += yes if a == k else no
        elif op == 0x25:  # jgt
            at += yes if a > k else no
        elif op == 0x35:  # jge
            at += yes if a >= k else no
        elif op == 0x45:  # jset
            at += yes if a & k else no
        else:
            raise AssertionError(f"instruction {op:#x} at {at - 1}")
