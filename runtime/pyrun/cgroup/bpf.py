# SPDX-License-Identifier: Apache-2.0
"""A device policy as a program of type BPF_PROG_TYPE_CGROUP_DEVICE: the generator, pure.

The program gets struct bpf_cgroup_dev_ctx {u32 access_type, major, minor} with the access bits in
the upper half of access_type and the type in the lower one, and returns 1 to allow, 0 to deny. It
is one test after the other, an exception each, and the default at the end.
"""

from __future__ import annotations

import _struct

from pyrun.cgroup.devices import ALL, ANY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.cgroup.devices import Policy

# linux/bpf.h: class, size, source and operation make the code of an instruction.
LOAD_WORD = 0x61  # BPF_LDX | BPF_MEM | BPF_W: dst = *(u32 *)(src + offset)
MOVE_32 = 0xBC  # BPF_ALU | BPF_MOV | BPF_X
SET_32 = 0xB4  # BPF_ALU | BPF_MOV | BPF_K
AND_32 = 0x54  # BPF_ALU | BPF_AND | BPF_K
SHIFT_RIGHT_32 = 0x74  # BPF_ALU | BPF_RSH | BPF_K
JUMP_EQUAL_32 = 0x16  # BPF_JMP32 | BPF_JEQ | BPF_K
JUMP_NOT_EQUAL_32 = 0x56  # BPF_JMP32 | BPF_JNE | BPF_K
EXIT = 0x95  # BPF_JMP | BPF_EXIT
RESULT, CONTEXT, TYPE, ACCESS, MAJOR, MINOR = range(6)  # registers; CONTEXT is free once read
TYPES = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_DEV_CHAR

PROLOGUE = (
    (LOAD_WORD, TYPE, CONTEXT, 0, 0),
    (MOVE_32, ACCESS, TYPE, 0, 0),
    (AND_32, TYPE, 0, 0, 0xFFFF),
    (SHIFT_RIGHT_32, ACCESS, 0, 0, 16),
    (LOAD_WORD, MAJOR, CONTEXT, 4, 0),
    (LOAD_WORD, MINOR, CONTEXT, 8, 0),
)


def program(wanted: Policy) -> bytes:
    """The instructions for a policy of `devices.policy`, as an array of struct bpf_insn."""
    default, exceptions = wanted
    code = list(PROLOGUE)
    for (kind, major, minor), (bits, _) in exceptions.items():
        tests = [(JUMP_NOT_EQUAL_32, TYPE, TYPES[kind])]
        if major != ANY:
            tests.append((JUMP_NOT_EQUAL_32, MAJOR, major))
        if minor != ANY:
            tests.append((JUMP_NOT_EQUAL_32, MINOR, minor))
        if bits != ALL:
            tests.append((MOVE_32, CONTEXT, ACCESS))
            if default:  # an exception denies any access it has a bit of
                tests += [(AND_32, CONTEXT, bits), (JUMP_EQUAL_32, CONTEXT, 0)]
            else:  # an exception allows an access it has all bits of
                tests += [(AND_32, CONTEXT, ALL & ~bits), (JUMP_NOT_EQUAL_32, CONTEXT, 0)]
        code += _block(tests, int(not default))
    code += [(SET_32, RESULT, 0, 0, int(default)), (EXIT, 0, 0, 0, 0)]
    return b"".join(
        _struct.pack("=BBhI", c, src << 4 | dst, off, imm) for c, dst, src, off, imm in code
    )


def _block(tests: list[tuple[int, int, int]], verdict: int) -> list[tuple[int, int, int, int, int]]:
    """The tests, each jumping behind the block unless it holds, and then the verdict."""
    block = []
    for index, (code, register, operand) in enumerate(tests):
        if code == MOVE_32:
            block.append((code, register, operand, 0, 0))
        elif code == AND_32:
            block.append((code, register, 0, 0, operand))
        else:
            block.append((code, register, 0, len(tests) - index + 1, operand))
    return [*block, (SET_32, RESULT, 0, 0, verdict), (EXIT, 0, 0, 0, 0)]
