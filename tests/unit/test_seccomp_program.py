# SPDX-License-Identifier: Apache-2.0
"""The BPF of a profile, run call by call in a simulator, and once by the kernel."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bpf_simulator as bpf
import seccomp_reference as reference
from pyrun import seccomp as programs
from pyrun.compile import seccomp, seccomp_enosys
from pyrun.errors import Error
from pyrun.kernel import libseccomp
from unit.seccomp_programs import NAMES, NATIVE, allow, check, compiled, when


def engine_profile() -> dict[str, Any]:
    """A profile of the size and the kinds of rules that container engines send."""
    kept = ("clone", "clone3", "personality", "ptrace", "mount", "umount2", "bpf", "kexec_load")
    names = [name for name in sorted(reference.TABLES[NATIVE]) if name not in kept]
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": errno.EPERM,
        "architectures": [f"SCMP_ARCH_{name.upper()}" for name in (NATIVE, *reference.FOREIGN)],
        "syscalls": [
            allow(*names, "a_call_of_the_future"),
            *(allow("personality", args=[when(0, "EQ", value)]) for value in (0, 8, 0x20000)),
            allow("personality", args=[when(0, "EQ", 0xFFFFFFFF)]),
            allow("clone", args=[when(0, "MASKED_EQ", 0x7E020000, 0)]),
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS},
            allow("ptrace", args=[when(0, "NE", 4), when(1, "GT", 2**33)]),
        ],
    }


def test_a_profile_as_engines_send_it() -> None:
    config = engine_profile()
    assert sum(len(rule["names"]) for rule in config["syscalls"]) > 300
    check(config, compiled(config))


def test_a_long_profile_is_searched_as_a_tree() -> None:
    code = compiled(engine_profile())
    longest = 0
    for number in reference.TABLES[NATIVE].values():
        steps = _steps(code, reference.ARCHS[NATIVE][1], number)
        longest = max(longest, steps)
    assert longest < 60


def _steps(code: list[bpf.Instruction], audit: int, number: int) -> int:
    class Counted(list[bpf.Instruction]):
        reads = 0

        def __getitem__(self, at: Any) -> Any:
            self.reads += 1
            return super().__getitem__(at)

    counted = Counted(code)
    bpf.run(counted, audit, number)
    return counted.reads


OPERATORS = st.sampled_from(["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"])
VALUES = st.integers(0, 2**64 - 1) | st.integers(0, 9) | st.sampled_from([2**32 - 1, 2**32, 2**63])


@st.composite
def conditions(draw: st.DrawFn) -> list[dict[str, Any]]:
    found = []
    for index in draw(st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True)):
        op, value = draw(OPERATORS), draw(VALUES)
        # A masked comparison that can't hold, or always does, is a mistake of the profile.
        second = draw(VALUES) & value if op == "MASKED_EQ" else 0
        found.append(when(index, op, value, second))
    return found


Alternatives = st.SearchStrategy[list[list[dict[str, Any]]]]
NO_CONDITION: Alternatives = st.just([[]])
ONE_OF_SOME_VALUES: Alternatives = st.builds(
    lambda index, values: [[when(index, "EQ", value)] for value in values],
    st.integers(0, 5),
    st.lists(VALUES, min_size=2, max_size=4, unique=True),
)
SEVERAL: Alternatives = st.lists(conditions(), min_size=2, max_size=4)
ACTIONS = st.sampled_from(sorted(reference.WORDS))
DATA = st.none() | st.sampled_from([0, 1, 38, 4094])


ALTERNATIVES = NO_CONDITION | ONE_OF_SOME_VALUES | SEVERAL | conditions().map(lambda c: [c])


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """Profiles in which all rules of one system call have one action: else order matters."""
    default = draw(ACTIONS)
    config: dict[str, Any] = {"defaultAction": default, "syscalls": []}
    if default in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE") and (data := draw(DATA)) is not None:
        config["defaultErrnoRet"] = data
    chosen = draw(st.lists(st.sampled_from(reference.FOREIGN), unique=True))
    config["architectures"] = [f"SCMP_ARCH_{name.upper()}" for name in chosen]
    names = draw(st.lists(st.sampled_from([*NAMES, "unknown_call"]), unique=True, max_size=50))
    while names:
        group = [names.pop() for _ in range(min(len(names), draw(st.integers(1, 12))))]
        rule: dict[str, Any] = {"names": group, "action": draw(ACTIONS)}
        if rule["action"] in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
            data = draw(DATA)
            rule |= {} if data is None else {"errnoRet": data}
        alternatives = draw(ALTERNATIVES)
        config["syscalls"] += [rule | ({"args": args} if args else {}) for args in alternatives]
    return config


@settings(max_examples=60, deadline=None)
@given(configs())
def test_any_profile(config: dict[str, Any]) -> None:
    check(config, compiled(config))


def test_younger_calls_get_enosys() -> None:
    code = compiled({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [allow("read", "execve")]})
    audit = reference.ARCHS[NATIVE][1]
    table = reference.TABLES[NATIVE]
    assert bpf.run(code, audit, table["read"]) == seccomp.ALLOW
    assert bpf.run(code, audit, table["close"]) == seccomp.ERRNO | errno.EPERM
    highest = max(table["read"], table["execve"])
    assert bpf.run(code, audit, highest + 1) == seccomp.ERRNO | errno.ENOSYS
    assert bpf.run(code, audit, 0xFFFFFFFF) == seccomp.ERRNO | errno.ENOSYS
    assert bpf.run(code, 0x12345678, highest + 1) == seccomp.KILL_THREAD


def test_a_rule_equal_to_the_default_makes_its_calls_known() -> None:
    denied = {"names": ["openat2"], "action": "SCMP_ACT_ERRNO"}
    config = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [allow("read"), denied]}
    number = reference.TABLES[NATIVE]["openat2"]
    audit = reference.ARCHS[NATIVE][1]
    assert bpf.run(compiled(config), audit, number) == seccomp.ERRNO | errno.EPERM
    assert bpf.run(compiled(config), audit, number + 1) == seccomp.ERRNO | errno.ENOSYS


def test_the_stub_reaches_the_filter_over_many_architectures() -> None:
    limits: seccomp_enosys.Limits = dict.fromkeys(range(1, 120), (100, None, ()))
    limits[7] = (100, 0x40000000 + 50, ())
    limits[8] = (None, 0x40000000 + 50, ())
    limits[9] = (100, None, (0, 5))
    rest = struct.pack("=HBBI", 0x06, 0, 0, seccomp.ALLOW)
    code = bpf.decode(seccomp_enosys.stub(limits) + rest)
    unknown = seccomp.ERRNO | errno.ENOSYS
    for arch in range(1, 130):
        for number in (0, 1, 5, 100, 101, 0x40000000, 0x40000032, 0x40000033, 0xFFFFFFFF):
            expected = number > 100
            if arch in (7, 8) and number >= 0x40000000:
                expected = number > 0x40000032
            elif arch == 8:
                expected = False
            if arch == 9 and number in (0, 5):
                expected = True
            word = unknown if expected and arch < 120 else seccomp.ALLOW
            assert bpf.run(code, arch, number) == word, (arch, number)


def test_without_names_nothing_is_too_young() -> None:
    assert seccomp_enosys.stub({}) == b""
    code = compiled({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [allow("no_such_call")]})
    assert bpf.run(code, reference.ARCHS[NATIVE][1], 400) == seccomp.ERRNO | errno.EPERM


@pytest.mark.parametrize("name", ["read\0", "read\udc80", "", "read ", "a" * 100000])
def test_a_name_that_libseccomp_can_not_know_is_left_out(name: str) -> None:
    code = compiled({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [allow(name)]})
    number = reference.TABLES[NATIVE]["read"]
    assert bpf.run(code, reference.ARCHS[NATIVE][1], number) == seccomp.ERRNO | errno.EPERM


def test_an_architecture_that_this_libseccomp_lacks() -> None:
    profile = seccomp.profile({"defaultAction": "SCMP_ACT_LOG"}, NATIVE)
    assert profile is not None
    profile["archs"].append("z80")
    with pytest.raises(Error) as caught:
        programs.program(profile, "")
    assert caught.value.pointer == "/linux/seccomp/architectures"
    assert libseccomp.version() in str(caught.value)


def test_an_architecture_of_another_byte_order() -> None:
    config = {"defaultAction": "SCMP_ACT_LOG", "architectures": ["SCMP_ARCH_S390X"]}
    with pytest.raises(Error, match="add architecture s390x: .*its byte order is not that"):
        compiled(config)


def test_a_filter_that_is_too_long_for_the_kernel() -> None:
    # No two conditions are equal: libseccomp would share their instructions.
    pairs = enumerate(NAMES * 8)
    rules = [allow(name, args=[when(0, "EQ", value)]) for value, name in pairs]
    with pytest.raises(Error, match="the kernel takes 4096"):
        compiled({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules})


def test_libseccomp_names_every_architecture_of_ours_the_same_way() -> None:
    for name, (token, _, _) in reference.ARCHS.items():
        assert name in seccomp.ARCHITECTURES
        assert libseccomp.lib.seccomp_arch_resolve_name(name.encode()) == token
    assert Path(libseccomp.path()).name.startswith("libseccomp.so")


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]


def in_a_child_under(program: bytes, flags: int) -> list[int]:
    """The errnos of getppid(2) and of a call that no kernel has, in a child under the filter."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(program, len(program))
    packed = Program(len(program) // 8, ctypes.addressof(code))
    table = reference.TABLES[NATIVE]
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        found = []
        libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
        if libc.syscall(table["seccomp"], 1, flags, ctypes.byref(packed)) == 0:
            for number in (table["getppid"], 1000):
                result = libc.syscall(number)
                found.append(ctypes.get_errno() if result < 0 else 0)
        os.write(writes, bytes(found))
        os._exit(0)
    os.close(writes)
    found = list(os.read(reads, 10))
    os.close(reads)
    assert os.waitpid(pid, 0)[1] == 0
    return found


def test_the_kernel_takes_the_program() -> None:
    names = sorted(set(reference.TABLES[NATIVE]) - {"getppid"})
    config = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [allow(*names)]}
    profile = seccomp.profile(config, NATIVE)
    assert profile is not None
    errnos = in_a_child_under(programs.program(profile, ""), seccomp.flags(profile))
    assert errnos == [errno.EPERM, errno.ENOSYS]


@pytest.mark.skipif(NATIVE != "x86_64", reason="x32 is an ABI of x86_64 only")
@pytest.mark.parametrize("default", ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"])
def test_x32_without_rules(default: str) -> None:
    # _sysctl is no call of x32; libseccomp by itself makes a filter of this that never matches.
    denied = {"names": ["_sysctl"], "action": "SCMP_ACT_KILL_PROCESS"}
    config = {
        "defaultAction": default,
        "architectures": ["SCMP_ARCH_X32"],
        "syscalls": [denied | {"args": [when(0, "EQ", value)]} for value in (0, 1)],
    }
    check(config, compiled(config))


@pytest.mark.skipif(NATIVE != "x86_64", reason="x32 is an ABI of x86_64 only")
@pytest.mark.parametrize("default", ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"])
def test_x32_beside_a_call_that_it_lacks(default: str) -> None:
    """The rule for it comes first in what libseccomp makes of both at once, in which no number is
    ever loaded: a profile that allows by default denied nothing."""
    action = "SCMP_ACT_ALLOW" if default == "SCMP_ACT_ERRNO" else "SCMP_ACT_KILL_PROCESS"
    rules = [
        {"names": ["access", "acct"], "action": action, "args": [when(0, "EQ", value)]}
        for value in (0, 1)
    ]
    last = {"names": ["_sysctl"], "action": action, "args": [when(0, "NE", 0)]}
    config = {
        "defaultAction": default,
        "architectures": ["SCMP_ARCH_X32"],
        "syscalls": [*rules, last],
    }
    check(config, compiled(config))
