# SPDX-License-Identifier: Apache-2.0
"""BPF that answers ENOSYS to the system calls which are younger than the profile.

A profile that denies by default denies with EPERM also what its author could not know of. C
libraries take EPERM for an answer, and try the older call only after ENOSYS (clone3, faccessat2).
"""

from __future__ import annotations

import _struct

from pyrun.compile.seccomp import ACTION, ALLOW, ERRNO, LOG, TRACE

ENOSYS = 38

# Offsets in struct seccomp_data.
NR = 0
ARCH = 4

# Codes of struct sock_filter (linux/bpf_common.h) that the stub needs.
LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
GOTO = 0x05  # BPF_JMP | BPF_JA
IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
IF_GREATER = 0x25  # BPF_JMP | BPF_JGT | BPF_K
IF_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
RETURN = 0x06  # BPF_RET | BPF_K

X32_BIT = 0x40000000

TYPE_CHECKING = False
if TYPE_CHECKING:
    # audit architecture -> highest number of a native call, highest of an x32 call (or None when
    # that ABI is not in the profile), numbers that are ENOSYS although they are not above these
    Limits = dict[int, tuple[int | None, int | None, tuple[int, ...]]]


def needed(default: int) -> bool:
    """Whether a profile with this default needs the stub: not when it lets unknown calls pass."""
    return default & ACTION not in (ALLOW, LOG, TRACE) and default != ERRNO | ENOSYS


def stub(limits: Limits) -> bytes:
    """Instructions to put before a filter: what they don't answer falls through to it.

    `limits` says for each audit architecture which numbers are known. Numbers with the x32 bit
    are ENOSYS when the profile has no x32. An architecture without an entry falls through.
    """
    sections = [_section(arch, *limit) for arch, limit in limits.items()]
    code = [instruction(LOAD, ARCH)] if sections else []
    for index, section in enumerate(sections):
        rest = sum(len(later) for later in sections[index + 1 :])
        # Conditional jumps reach 255 instructions, BPF_JA any number: only it leaves a section.
        code += [*section[:-1], instruction(GOTO, rest)]
    return b"".join(code)


def x32_apart(arch: int, native: bytes, x32: bytes) -> bytes:
    """One filter of two: `x32` answers the x32 calls of audit architecture `arch`, `native` all
    others. Neither falls through."""
    size = len(instruction(GOTO, 0))
    head = [
        instruction(LOAD, ARCH),
        instruction(IF_EQUAL, arch, 0, 3),
        instruction(LOAD, NR),
        instruction(IF_AT_LEAST, X32_BIT, 0, 1),
        instruction(GOTO, len(native) // size),  # which jumps farther than a condition can
    ]
    return b"".join([*head, native, x32])


def _section(
    arch: int, native: int | None, x32: int | None, unknown: tuple[int, ...]
) -> list[bytes]:
    """The checks of one architecture; the last instruction is a GOTO to the filter."""
    checks: list[tuple[int, int, str, str]] = [(IF_EQUAL, number, "deny", "") for number in unknown]
    if x32 is not None:
        checks.append((IF_AT_LEAST, X32_BIT, "", "pass" if native is None else "native"))
        checks.append((IF_GREATER, x32, "deny", "pass"))
    if native is not None:
        checks.append((IF_GREATER, native, "deny", "pass"))
    # The body is: load the number, the checks, the refusal, the way out.
    deny = len(checks) + 1
    places = {"deny": deny, "pass": deny + 1, "native": len(checks)}
    body = [instruction(LOAD, NR)]
    for at, (code, operand, yes, no) in enumerate(checks, 1):
        jumps = [places[place] - at - 1 if place else 0 for place in (yes, no)]
        body.append(instruction(code, operand, *jumps))
    body += [instruction(RETURN, ERRNO | ENOSYS), instruction(GOTO, 0)]
    return [instruction(IF_EQUAL, arch, 0, len(body)), *body]


def instruction(code: int, operand: int, yes: int = 0, no: int = 0) -> bytes:
    """One struct sock_filter, in the order of this machine's bytes."""
    return _struct.pack("=HBBI", code, yes, no, operand)
