# SPDX-License-Identifier: Apache-2.0
"""Rules of one call that compare several arguments: libseccomp confuses them, we don't."""

from __future__ import annotations

import errno
import itertools
from typing import Any

import pytest

import bpf_simulator as bpf
import seccomp_reference as reference
from pyrun.compile import seccomp
from pyrun.kernel import libseccomp
from unit.seccomp_programs import NATIVE, allow, check, compiled, when


def deny_but(name: str, *alternatives: list[dict[str, Any]]) -> dict[str, Any]:
    """A profile that allows one call, by several rules."""
    rules = [allow(name, args=args) for args in alternatives]
    foreign = [f"SCMP_ARCH_{arch.upper()}" for arch in reference.FOREIGN]
    return {"defaultAction": "SCMP_ACT_ERRNO", "architectures": foreign, "syscalls": rules}


CONFUSING = {
    "allows more than it says": deny_but(
        "ioctl", [when(0, "LE", 3), when(1, "LE", 3)], [when(0, "GE", 3)]
    ),
    "never ends": deny_but(
        "ioctl",
        [when(0, "GE", 0), when(1, "LE", 0)],
        [when(0, "GE", 0), when(1, "MASKED_EQ", 2, 2)],
    ),
    "more than a conditional jump reaches": deny_but(
        "ioctl",
        *([when(index, op, 2**32 + value) for index in range(6)] for value in range(9)
          for op in ("LT", "GT")),
    ),
    "calls with and without": {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {"names": ["ioctl", "kill"], "action": "SCMP_ACT_ERRNO", "args": [when(0, "LT", 5)]},
            {"names": ["ioctl"], "action": "SCMP_ACT_TRAP", "args": [when(1, "GT", 5)]},
            {"names": ["ioctl"], "action": "SCMP_ACT_LOG", "args": [when(0, "NE", 6)]},
            {"names": ["kill"], "action": "SCMP_ACT_KILL", "args": [when(0, "GT", 9)]},
            {"names": ["kill"], "action": "SCMP_ACT_LOG"},
        ],
    },
}  # fmt: skip


@pytest.mark.parametrize("name", CONFUSING)
def test_rules_of_one_call_that_libseccomp_confuses(name: str) -> None:
    """The first rule that holds decides, in the order of the config."""
    check(CONFUSING[name], compiled(CONFUSING[name]))


def test_libseccomp_still_confuses_them() -> None:
    """If this fails, so does the reason for compile.seccomp_comparisons, on this version."""
    profile = seccomp.profile(CONFUSING["allows more than it says"], NATIVE)
    assert profile is not None
    code = bpf.decode(libseccomp.bpf(profile))
    number = reference.TABLES[NATIVE]["ioctl"]
    assert bpf.run(code, reference.ARCHS[NATIVE][1], number, (0, 4, 0, 0, 0, 0)) == seccomp.ALLOW


@pytest.mark.skipif(NATIVE != "x86_64", reason="socketcall(2) is of 32-bit x86")
def test_a_multiplexed_call_with_several_rules() -> None:
    """What container engines say of socket(2). By its own number it is compared. The arguments of
    socketcall(2) are out of reach: a rule for the first one decides, as with libseccomp."""
    denied = {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.EINVAL}
    config = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86"],
        "syscalls": [
            denied | {"args": [when(0, "EQ", 16), when(2, "EQ", 9)]},
            allow("socket", args=[when(2, "NE", 9)]),
            allow("socket", args=[when(0, "NE", 16)]),
        ],
    }
    code = compiled(config)
    audit, own = reference.ARCHS["x86"][1], reference.TABLES["x86"]["socket"]
    for arch, number in ((audit, own), (reference.ARCHS[NATIVE][1], 41)):
        for family, protocol in itertools.product((2, 16), (0, 9)):
            word = bpf.run(code, arch, number, (family, 0, protocol, 0, 0, 0))
            refused = (family, protocol) == (16, 9)
            assert word == (seccomp.ERRNO | errno.EINVAL if refused else seccomp.ALLOW)
    assert bpf.run(code, audit, reference.SOCKETCALL, (1, 0, 0, 0, 0, 0)) == seccomp.ALLOW
    listen = bpf.run(code, audit, reference.SOCKETCALL, (4, 0, 0, 0, 0, 0))
    assert listen == seccomp.ERRNO | errno.EPERM
