# SPDX-License-Identifier: Apache-2.0
"""linux.seccomp to its canonical form: what it says, and what it refuses at which pointer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrun.compile import seccomp, seccomp_enosys
from pyrun.errors import ConfigError, Error

DENY = {"defaultAction": "SCMP_ACT_ERRNO"}


def rule(*names: str, action: str = "SCMP_ACT_ALLOW", **more: Any) -> dict[str, Any]:
    return {"names": list(names), "action": action, **more}


def arg(index: int, op: str, value: int, **more: int) -> dict[str, Any]:
    return {"index": index, "op": f"SCMP_CMP_{op}", "value": value, **more}


def profile(config: dict[str, Any], arch: str = "x86_64") -> dict[str, Any]:
    result = seccomp.profile(config, arch)
    assert result is not None
    return result


def refused(config: Any, arch: str = "x86_64") -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        seccomp.profile(config, arch)
    return caught.value.problems


def test_no_seccomp_is_no_profile() -> None:
    assert seccomp.profile(None, "x86_64") is None


def test_the_whole_form() -> None:
    config = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 38,
        "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [
            rule("write", "read", "read"),
            rule("chmod", action="SCMP_ACT_KILL_PROCESS"),
            rule("clone", args=[arg(0, "MASKED_EQ", 0x7E020000, valueTwo=0)]),
            rule("kill", action="SCMP_ACT_TRACE", errnoRet=65535, args=[arg(1, "EQ", 9)]),
        ],
    }
    made = profile(config)
    assert made == {
        "default": 0x00050000 | 38,
        "archs": ["x86_64", "x32", "x86"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "rules": [
            [["read", "write"], 0x7FFF0000, []],
            [["chmod"], 0x80000000, []],
            [["clone"], 0x7FFF0000, [[0, "MASKED_EQ", 0x7E020000, 0]]],
            [["kill"], 0x7FF0FFFF, [[1, "EQ", 9, 0]]],
        ],
        "listener": "",
        "metadata": "",
    }
    assert json.loads(json.dumps(made)) == made


def test_actions_are_the_kernel_s_words() -> None:
    header = Path("/usr/include/linux/seccomp.h").read_text()
    words = dict(re.findall(r"#define SECCOMP_RET_(\w+)\s+(0x\w+)U", header))
    words["NOTIFY"] = words.pop("USER_NOTIF")
    words["KILL"] = words["KILL_THREAD"]
    ours = {name.removeprefix("SCMP_ACT_"): value for name, value in seccomp.ACTIONS.items()}
    assert ours == {name: int(words[name], 16) for name in ours}


def test_flags_are_the_kernel_s_bits() -> None:
    header = Path("/usr/include/linux/seccomp.h").read_text()
    bits = dict(re.findall(r"#define (SECCOMP_FILTER_FLAG_\w+)\s+\(1UL << (\d+)\)", header))
    for name in seccomp.FLAGS:
        expected = 0 if name.endswith("TSYNC") else 1 << int(bits[name])
        assert seccomp.FLAGS[name] == expected
    assert 1 << int(bits["SECCOMP_FILTER_FLAG_NEW_LISTENER"]) == seccomp.NEW_LISTENER


@pytest.mark.parametrize(
    ("names", "bits"),
    [
        (None, 4),
        ([], 0),
        (["TSYNC"], 0),
        (["LOG"], 2),
        (["LOG", "SPEC_ALLOW", "TSYNC"], 6),
        (["WAIT_KILLABLE_RECV"], 0),
    ],
)
def test_flags(names: list[str] | None, bits: int) -> None:
    config: dict[str, Any] = dict(DENY)
    if names is not None:
        config["flags"] = [f"SECCOMP_FILTER_FLAG_{name}" for name in names]
    assert seccomp.flags(profile(config)) == bits


def test_a_profile_that_notifies_asks_for_a_listener() -> None:
    made = profile(DENY) | {"rules": [[["mount"], seccomp.NOTIFY, []]]}
    assert seccomp.flags(made) == 4 | 8
    made["flags"] = ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]
    assert seccomp.flags(made) == 8 | 32


@pytest.mark.parametrize(
    ("machine", "native"),
    [("x86_64", "x86_64"), ("i686", "x86"), ("armv7l", "arm"), ("aarch64", "aarch64")],
)
def test_the_native_architecture_is_always_there(machine: str, native: str) -> None:
    assert profile(DENY, machine)["archs"] == [native]
    named = {**DENY, "architectures": ["SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64"]}
    assert profile(named, machine)["archs"][0] == native
    assert sorted(profile(named, machine)["archs"]) == sorted({native, "arm", "aarch64"})


def test_conditions_on_one_argument_become_rules_of_their_own() -> None:
    conditions = [arg(0, "EQ", 1), arg(1, "EQ", 5), arg(0, "EQ", 2)]
    made = profile({**DENY, "syscalls": [rule("ioctl", args=conditions)]})
    assert [entry[2] for entry in made["rules"]] == [
        [[0, "EQ", 1, 0]],
        [[1, "EQ", 5, 0]],
        [[0, "EQ", 2, 0]],
    ]


def test_a_second_value_means_nothing_without_a_mask() -> None:
    plain = profile({**DENY, "syscalls": [rule("kill", args=[arg(0, "GT", 3)])]})
    more = profile({**DENY, "syscalls": [rule("kill", args=[arg(0, "GT", 3, valueTwo=9)])]})
    assert plain == more


AT = "/linux/seccomp/syscalls/0"


@pytest.mark.parametrize(
    ("change", "pointer", "text"),
    [
        ({"defaultAction": "SCMP_ACT_NO"}, "/linux/seccomp/defaultAction", "'SCMP_ACT_NO'"),
        ({"defaultAction": ["x"]}, "/linux/seccomp/defaultAction", "unknown seccomp action"),
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "/linux/seccomp/defaultAction", "cannot be the"),
        ({"defaultErrnoRet": 4095}, "/linux/seccomp/defaultErrnoRet", "from 0 to 4094"),
        ({"defaultErrnoRet": -1}, "/linux/seccomp/defaultErrnoRet", "from 0 to 4094"),
        ({"defaultErrnoRet": True}, "/linux/seccomp/defaultErrnoRet", "an integer"),
        ({"architectures": ["SCMP_ARCH_Z80"]}, "/linux/seccomp/architectures/0", "Z80"),
        ({"architectures": ["x86_64"]}, "/linux/seccomp/architectures/0", "unknown"),
        ({"architectures": "x"}, "/linux/seccomp/architectures", "must be an array"),
        ({"flags": ["SECCOMP_FILTER_FLAG_NO"]}, "/linux/seccomp/flags/0", "FLAG_NO"),
        ({"flags": [3]}, "/linux/seccomp/flags/0", "unknown seccomp flag"),
        ({"flags": None}, "/linux/seccomp/flags", "must be an array"),
        ({"syscalls": {}}, "/linux/seccomp/syscalls", "must be an array"),
        ({"syscalls": [3]}, AT, "must be an object"),
        ({"syscalls": [rule()]}, f"{AT}/names", "at least one"),
        ({"syscalls": [{"action": "SCMP_ACT_LOG"}]}, f"{AT}/names", "at least one"),
        ({"syscalls": [{"names": ["read"]}]}, f"{AT}/action", "is required"),
        ({"syscalls": [rule("read", action="SCMP_ACT_X")]}, f"{AT}/action", "SCMP_ACT_X"),
        ({"syscalls": [rule("read", errnoRet=1)]}, f"{AT}/errnoRet", "does not take an errno"),
        (
            {"syscalls": [rule("read", action="SCMP_ACT_TRACE", errnoRet=65536)]},
            f"{AT}/errnoRet",
            "from 0 to 65535",
        ),
        ({"syscalls": [rule("read", args=[arg(6, "EQ", 0)])]}, f"{AT}/args/0/index", "0 to 5"),
        ({"syscalls": [rule("read", args=[arg(0, "XX", 0)])]}, f"{AT}/args/0/op", "SCMP_CMP_XX"),
        ({"syscalls": [rule("read", args=[arg(0, "EQ", -1)])]}, f"{AT}/args/0/value", "from 0"),
        ({"syscalls": [rule("read", args=[arg(0, "EQ", 2**64)])]}, f"{AT}/args/0/value", "0 to"),
        ({"syscalls": [rule("read", args=["x"])]}, f"{AT}/args/0", "must be an object"),
        ({"listenerPath": 3}, "/linux/seccomp/listenerPath", "must be a string"),
        ({"listenerMetadata": "x"}, "/linux/seccomp/listenerMetadata", "without listenerPath"),
    ],
)
def test_refusals(change: dict[str, Any], pointer: str, text: str) -> None:
    ((where, what),) = refused({**DENY, **change})
    assert where == pointer
    assert text in what


def test_a_default_action_is_required() -> None:
    assert refused({}) == [("/linux/seccomp/defaultAction", "is required")]
    assert refused([]) == [("/linux/seccomp", "must be an object")]


def test_a_machine_without_seccomp() -> None:
    assert "'vax'" in refused(DENY, "vax")[0][1]


def test_every_problem_is_told_at_once() -> None:
    config = {**DENY, "flags": ["a"], "architectures": ["b"], "syscalls": [rule()]}
    assert len(refused(config)) == 3


def test_notify() -> None:
    asked = rule("read", "write", action="SCMP_ACT_NOTIFY")
    found = dict(refused({**DENY, "syscalls": [asked]}))
    assert found["/linux/seccomp/listenerPath"] == "seccomp listenerPath is not set"
    assert "write system call" in found[f"{AT}/names/1"]
    asked = rule("mount", action="SCMP_ACT_NOTIFY")
    made = profile({**DENY, "syscalls": [asked], "listenerPath": "/run/agent"})
    assert made["rules"] == [[["mount"], seccomp.NOTIFY, []]]
    assert made["listener"] == "/run/agent"
    assert seccomp.flags(made) == 4 | 8


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.sampled_from(sorted(seccomp.ACTIONS)),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(
                [
                    "defaultAction",
                    "defaultErrnoRet",
                    "architectures",
                    "flags",
                    "syscalls",
                    "names",
                    "action",
                    "errnoRet",
                    "args",
                    "index",
                    "value",
                    "valueTwo",
                    "op",
                    "listenerPath",
                    "listenerMetadata",
                ]
            ),
            inner,
        )
    ),
    max_leaves=20,
)


@given(ANYTHING)
def test_whatever_the_config_holds_the_answer_is_an_error_or_a_profile(config: Any) -> None:
    try:
        made = seccomp.profile(config, "x86_64")
    except Error:
        return
    assert made is None or made["archs"][0] == "x86_64"


@pytest.mark.parametrize(
    ("action", "data", "needed"),
    [
        ("SCMP_ACT_ERRNO", 1, True),
        ("SCMP_ACT_ERRNO", 38, False),
        ("SCMP_ACT_KILL_PROCESS", 0, True),
        ("SCMP_ACT_TRAP", 0, True),
        ("SCMP_ACT_ALLOW", 0, False),
        ("SCMP_ACT_LOG", 0, False),
        ("SCMP_ACT_TRACE", 5, False),
    ],
)
def test_when_young_system_calls_need_enosys(action: str, data: int, needed: bool) -> None:
    assert seccomp_enosys.needed(seccomp.ACTIONS[action] | data) is needed
