# SPDX-License-Identifier: Apache-2.0
"""The whole compiler: pure, deterministic, and never anything but a plan or an Error."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from fuzzing import short
from pyrun import _build, describe, plan
from pyrun.compile import order, slots
from pyrun.compile import seccomp as profiles
from pyrun.compile.namespaces import clone_flags
from pyrun.errors import Error
from unit.compile.configs_by_schema import CONFIGS, pruned
from unit.compile.rules import ONE_ID, Config, bind, known_of, mounts, process, spaces
from unit.configs import FULL, minimal

CHANGES_ROOT = ("pivot_root", "chroot")


def compiled(config: Config, facts: Config) -> list[Any]:
    known = copy.deepcopy(facts)
    return order.compile_init(config, known)


def check_plan(steps: list[Any], donated: int) -> None:
    """Every slot is filled before it is used, and the root is changed once."""
    filled = set(range(donated))
    changed = 0
    for _, (name, values, _) in steps:
        for (operand, kind), value in zip(describe.signature(name), values, strict=True):
            if kind == "Slot":
                assert value in filled, (name, operand, value)
            elif kind == "Out":
                assert donated <= value < plan.SLOTS
        filled |= {
            value
            for (_, kind), value in zip(describe.signature(name), values, strict=True)
            if kind == "Out"
        }
        if name in ("move_mount", "fsmount", "close_slot"):
            filled.discard(values[1] if name == "move_mount" else values[0])
        changed += name in CHANGES_ROOT
        if name in ("open_host", "open_tree"):
            assert not changed, f"{name} after the host is gone"
    assert changed == 1
    assert steps[-1][1][0] == "execve"


UNUSUAL = st.fixed_dictionaries(
    {},
    optional={
        "privileged": st.booleans(),
        "may_setgroups": st.booleans(),
        "no_pivot": st.booleans(),
        "no_new_keyring": st.booleans(),
        "fifo": st.booleans(),
        "binds_devices": st.booleans(),
        "mounts_cgroups": st.booleans(),
        "has_kcore": st.booleans(),
        "preserve_fds": st.integers(0, 9),
        "capabilities": st.sampled_from([0, 0xFF, (1 << 41) - 1]),
        "extra_env": st.just([("LISTEN_FDS", "1")]),
        "seccomp": st.sampled_from([b"", bytes(8)]),
        "cgroup_layout": st.sampled_from(["v1", "hybrid", "v2", "none"]),
        "cgroup_hierarchies": st.just([("cpu,cpuacct", ["cpu", "cpuacct"], "/c/cpu/box")]),
    },
)


@short(200)
@given(CONFIGS, UNUSUAL)
def test_any_config_gives_a_plan_or_an_error(config: Config, unusual: Config) -> None:
    accepted = pruned(config)
    facts = known_of(accepted, unusual)
    before = copy.deepcopy(accepted)
    try:
        profiles.profile((accepted.get("linux") or {}).get("seccomp"), facts["machine"])
        steps = compiled(accepted, facts)
        plan.encode([op for _, op in steps], 0)
    except Error as error:
        event(f"refused: {str(error)[:40]}")
        return
    event("compiled")
    assert accepted == before, "the config was changed"
    assert compiled(accepted, facts) == steps
    check_plan(steps, len(order.donations(accepted, facts)))
    assert clone_flags(accepted) >= 0
    for pointer, op in steps:
        assert pointer == "" or pointer.startswith("/")
        assert describe.line(op, order.donations(accepted, facts))


def whole(*parts: Config) -> Config:
    config: Config = {}
    for part in (minimal(), *parts):
        config |= part
    return config


EVERY_RULE = whole(
    mounts(
        {"destination": "/proc", "type": "proc"},
        {"destination": "/dev", "type": "tmpfs", "options": ["ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup"},
        bind("/data", "/src", "rbind", "ro", "rslave"),
        kinds=("user", "mount", "pid@/p", "cgroup", "network", "uts", "time"),
        maskedPaths=["/a"],
        readonlyPaths=["/b"],
        rootfsPropagation="shared",
        sysctl={"net.ipv4.ip_forward": "1"},
        uidMappings=ONE_ID,
        gidMappings=ONE_ID,
        timeOffsets={"boottime": {"secs": 1}},
        devices=[{"type": "p", "path": "/dev/pipe"}],
        netDevices={"eth0": {}},
        personality={"domain": "LINUX32"},
        memoryPolicy={"mode": "MPOL_LOCAL"},
        mountLabel="a:b:c:s0",
    ),
    {"hostname": "box", "domainname": "d", "hooks": FULL["hooks"]},
    process(
        terminal=True,
        consoleSize={"height": 1, "width": 1},
        noNewPrivileges=True,
        scheduler={"policy": "SCHED_IDLE"},
        apparmorProfile="box",
        selinuxLabel="a:b:c:s0",
        ioPriority={"class": "IOPRIO_CLASS_IDLE", "priority": 0},
    ),
    {"root": {"path": "rootfs", "readonly": True}},
    {"annotations": {"org.pyrun.landlock": '{"scoped": ["signal"]}'}},
)


NO_USERS = process(rlimits=[{"type": "RLIMIT_CPU", "soft": 1, "hard": 2}])


def test_every_rule_has_its_say() -> None:
    """The two configs together make each one of order.INIT yield something: none is dead."""
    facts = known_of(EVERY_RULE, {"extra_env": [("LISTEN_PID", "")], "seccomp": bytes(8)})
    facts["donations"] = order.donations(EVERY_RULE, facts)
    silent = [rule for rule in order.INIT if not list(rule(EVERY_RULE, facts))]
    assert [rule.__name__ for rule in silent if not list(rule(NO_USERS, facts))] == []
    check_plan(compiled(EVERY_RULE, facts), len(facts["donations"]))


def test_facts_and_config_are_left_as_they_were() -> None:
    config, facts = copy.deepcopy(EVERY_RULE), known_of(EVERY_RULE, {})
    before = copy.deepcopy(facts)
    first = order.compile_init(config, facts)
    assert (config, facts) == (EVERY_RULE, before)
    assert order.compile_init(config, facts) == first


def names(config: Config, **unusual: Any) -> list[str]:
    return [op[0] for _, op in compiled(config, known_of(config, unusual))]


# (earlier, later): CVE or reason
SEQUENCES = [
    ("setns", "fork_init", "a joined namespace is entered before anyone is in it"),
    ("join_session_keyring", "pivot_root", ""),
    ("sethostname", "write_proc", "kernel.domainname is written over"),
    ("write_proc", "open_tree", "a masked /proc forbids another one to user namespaces"),
    ("sync", "make_readonly", "hooks may still write"),
    ("make_readonly", "mask", "a mask stays uppermost"),
    ("mask", "pivot_root", "the null device is the host's: CVE-2025-31133"),
    ("sync_send", "pivot_root", ""),
    ("pivot_root", "setsid", ""),
    ("setsid", "take_terminal", ""),
    ("fork_init", "write_own_proc", "a procfs finds us by our pid"),
    ("fsmount", "join_session_keyring", "labels: the keyring gets one"),
    ("write_own_proc", "setresuid", ""),
    ("setsid", "ioprio_set", "in a process group of our own"),
    ("sched_setattr", "setresuid", "needs CAP_SYS_NICE"),
    ("drop_bounding", "setresuid", "needs CAP_SETPCAP"),
    ("setgroups", "setresgid", "CVE-2022-2990"),
    ("enter_cwd", "capset", ""),
    ("find_executable", "wait_start", "create can still say that there is no such program"),
    ("wait_start", "close_others", ""),
    ("close_others", "seccomp", "CVE-2024-21626"),
    ("seccomp", "execve", "nothing else follows the filter"),
]


@pytest.mark.parametrize(("earlier", "later", "why"), SEQUENCES)
def test_order(earlier: str, later: str, why: str) -> None:
    found = names(EVERY_RULE, seccomp=bytes(8))
    last = len(found) - 1 - found[::-1].index(later)
    assert found.index(earlier) < last, why


def test_groups_are_set_before_the_user() -> None:
    found = names(process(user={"uid": 5, "gid": 6}) | spaces("mount"))
    tail = found[found.index("setgroups") :]
    assert tail[:4] == ["setgroups", "setresgid", "setresuid", "enter_cwd"]


def test_slots_have_one_meaning_each() -> None:
    named = {name: value for name, value in vars(slots).items() if isinstance(value, int)}
    named.pop("LOWEST")
    assert len(set(named.values())) == len(named)
    assert max(named.values()) == plan.SLOTS - 1
    assert min(named.values()) == slots.LOWEST
    assert slots.deferred(0) == slots.LOWEST - 1


def test_every_operation_of_a_plan_has_a_code() -> None:
    assert set(names(EVERY_RULE, seccomp=bytes(8))) <= set(_build.CODES)
