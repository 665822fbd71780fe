# SPDX-License-Identifier: Apache-2.0
"""The plan of a process that joins a container: what it does, and in which order."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pyrun import _build, describe, plan
from pyrun.compile import exec_order, joining
from pyrun.errors import Error
from unit.compile.rules import FACTS, Config, process

ALL = ("user", "mount", "pid", "network", "ipc", "uts", "cgroup", "time")
PLAIN = ("mount", "pid", "network", "ipc", "uts", "cgroup")
MAPS = {"uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}]}


def joined(kinds: tuple[str, ...], members: Config | None = None, **linux: Any) -> Config:
    """A config whose namespaces are an init's, pid 7."""
    entries = [{"type": kind, "path": f"/proc/7/ns/{kind}"} for kind in kinds]
    return {**process(**(members or {})), "linux": {"namespaces": entries, **linux}}


def facts(**unusual: Any) -> Config:
    return {**copy.deepcopy(FACTS), "umask": 0o022, **unusual}


def told(config: Config, **unusual: Any) -> list[str]:
    """The plan, as `pyrun plan` would print it, each operation behind its field."""
    known = facts(**unusual)
    donated = joining.donations(config, known)
    return [
        f"{describe.field(pointer) or '-'}: {describe.line(op, donated)}"
        for pointer, op in exec_order.compile_exec(config, known)
    ]


def names(config: Config, **unusual: Any) -> list[str]:
    return [op[0] for _, op in exec_order.compile_exec(config, facts(**unusual))]


def test_a_plan() -> None:
    members = {"env": ["A=b"], "noNewPrivileges": True, "user": {"uid": 5, "gid": 6}}
    flags = "|".join(f"CLONE_NEW{name}" for name in ("NS", "CGROUP", "UTS", "IPC", "PID", "NET"))
    assert told(joined(PLAIN, members)) == [
        "-: prctl(PR_SET_DUMPABLE, 0)",
        f"-: setns(init, {flags})",
        '-: open_host("/", O_DIRECTORY|O_PATH) = root',
        '-: join_session_keyring("_ses.box"), or ENOSYS',
        "-: close_all_but([root, peer])",
        "linux.namespaces[1]: fork_init(0)",
        "process.terminal: setsid()",
        "process.terminal: reopen_null(root)",
        "process.user.uid: chown_stdio(5)",
        "process.user.umask: umask(022)",
        'process.cwd: open_cwd("/") = cwd, or EACCES',
        "process.env: find_home(5)",
        "-: reset_affinity()",
        "process.capabilities.bounding: drop_bounding(0)",
        "process.user: prctl(PR_SET_KEEPCAPS, 1)",
        "process.user.additionalGids: setgroups([])",
        "process.user.gid: setresgid(6)",
        "process.user.uid: setresuid(5)",
        'process.cwd: enter_cwd("/", cwd)',
        "process.user: prctl(PR_SET_KEEPCAPS, 0)",
        "process.capabilities: capset(0, 0, 0)",
        "process.capabilities.ambient: set_ambient(0)",
        "process.noNewPrivileges: prctl(PR_SET_NO_NEW_PRIVS, 1)",
        "process.args[0]: find_executable([])",
        "-: close_all_but([])",
        "-: prctl(PR_SET_PDEATHSIG, 0)",
        "-: sync(ready)",
        "-: close_others(3)",
        'process.args: execve(["sh"], ["A=b", "HOME="])',
    ]


EVERY_RULE = joined(
    ALL,
    {
        "terminal": True,
        "consoleSize": {"height": 1, "width": 1},
        "noNewPrivileges": True,
        "scheduler": {"policy": "SCHED_IDLE"},
        "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 0},
        "apparmorProfile": "box",
        "execCPUAffinity": {"final": "0"},
    },
    personality={"domain": "LINUX32"},
    memoryPolicy={"mode": "MPOL_LOCAL"},
    **MAPS,
)


EVERY_RULE["annotations"] = {"org.pyrun.landlock": '{"scoped": ["signal"]}'}


def test_every_rule_has_its_say() -> None:
    donated = joining.donations(EVERY_RULE, facts())
    known = facts(seccomp=bytes(8), extra_env=[("LISTEN_PID", "")], donations=donated)
    silent = [rule for rule in exec_order.EXEC if not list(rule(EVERY_RULE, known))]
    limited = joined(PLAIN, {"rlimits": [{"type": "RLIMIT_CPU", "soft": 1, "hard": 2}]})
    assert [rule.__name__ for rule in silent if not list(rule(limited, known))] == []
    assert set(names(EVERY_RULE, seccomp=bytes(8))) <= set(_build.CODES)


def test_slots_are_filled_before_they_are_used() -> None:
    for config in (EVERY_RULE, joined(PLAIN), joined(("pid",), {"terminal": True}), joined(())):
        known = facts(seccomp=bytes(8))
        steps = exec_order.compile_exec(config, known)
        donated = len(joining.donations(config, known))
        filled = set(range(donated))
        for _, (name, values, _) in steps:
            for (_, kind), value in zip(describe.signature(name), values, strict=True):
                if kind == "Slot":
                    assert value in filled, (name, value)
                elif kind == "Out":
                    assert donated <= value < plan.SLOTS
                    filled.add(value)
        assert steps[-1][1][0] == "execve"


SEQUENCES = [
    ("prctl", "setns", "CVE-2016-9962"),
    ("fsmount", "setns", "a masked /proc forbids another one to user namespaces"),
    ("setns", "join_session_keyring", "the container's"),
    ("join_session_keyring", "setresuid", "it belongs to the container's root"),
    ("open_pty", "fork_init", "who is inside sees the process only then"),
    ("close_all_but", "fork_init", "and finds no way out"),
    ("fork_init", "setsid", "the session is that of the process itself"),
    ("fork_init", "write_own_proc", "a procfs finds us by our pid"),
    ("setsid", "ioprio_set", "in a process group of our own"),
    ("drop_bounding", "setresuid", "needs CAP_SETPCAP"),
    ("setgroups", "setresgid", "CVE-2022-2990"),
    ("find_executable", "sync", "as the user"),
    ("sync", "close_others", "nobody gets our descriptors"),
    ("close_others", "seccomp", "CVE-2024-21626"),
    ("seccomp", "execve", "nothing else follows the filter"),
]


@pytest.mark.parametrize(("earlier", "later", "why"), SEQUENCES)
def test_order(earlier: str, later: str, why: str) -> None:
    found = names(EVERY_RULE, seccomp=bytes(8))
    last = len(found) - 1 - found[::-1].index(later)
    assert found.index(earlier) < last, why


def test_not_dumpable_first_of_all() -> None:
    """Nobody inside may trace us or open our descriptors (CVE-2016-9962)."""
    for privileged in (True, False):
        assert told(EVERY_RULE, privileged=privileged)[0] == "-: prctl(PR_SET_DUMPABLE, 0)"


def test_one_setns_for_all_namespaces() -> None:
    for privileged in (True, False):
        found = [line for line in told(joined(ALL), privileged=privileged) if "setns" in line]
        assert len(found) == 1
        assert found[0].count("CLONE_NEW") == len(ALL)


def test_labels_without_privileges_take_a_mount_namespace_of_our_own() -> None:
    found = told(joined(ALL, {"apparmorProfile": "box"}), privileged=False)
    steps = [line.partition(": ")[2] for line in found]
    assert steps[1:4] == [
        "setns(init, CLONE_NEWUSER)",
        "unshare(CLONE_NEWNS)",
        "fsopen_proc(namespace[pid]) = context",
    ]
    second = next(line for line in steps[4:] if line.startswith("setns"))
    assert "CLONE_NEWUSER" not in second
    assert second.count("CLONE_NEW") == len(ALL) - 1


def test_nothing_to_join() -> None:
    """A container in the caller's own namespaces, with a root of its own."""
    found = told(joined(()))
    assert not [line for line in found if "setns" in line or "fork_init" in line]
    assert found[1] == "root.path: chroot(root)"
    assert joining.donations(joined(()), facts()) == [("init",), ("root",)]


def test_limits_are_set_from_outside_in_a_user_namespace() -> None:
    limits = {"rlimits": [{"type": "RLIMIT_CPU", "soft": 1, "hard": 2}]}
    assert "setrlimit" in names(joined(PLAIN, limits))
    assert "setrlimit" not in names(joined(ALL, limits))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (None, ["-: reset_affinity()"]),
        ({"initial": "0"}, []),
        ({"initial": "0", "final": ""}, []),
        ({"final": "1,64"}, ["process.execCPUAffinity.final: sched_setaffinity([1, 64])"]),
    ],
)
def test_affinity(wanted: Config | None, found: list[str]) -> None:
    members = {} if wanted is None else {"execCPUAffinity": wanted}
    lines = told(joined(PLAIN, members))
    assert [line for line in lines if "affinity(" in line] == found


@pytest.mark.parametrize(
    ("user", "umask"), [({}, "077"), ({"umask": 0}, "0"), ({"umask": 0o27}, "027")]
)
def test_umask(user: Config, umask: str) -> None:
    lines = told(joined(PLAIN, {"user": {"uid": 0, "gid": 0, **user}}), umask=0o077)
    assert f"process.user.umask: umask({umask})" in lines


def test_groups_that_the_user_namespace_denies() -> None:
    config = joined(ALL, {"user": {"uid": 0, "gid": 0}})
    assert "setgroups" not in names(config, may_setgroups=False)
    config["process"]["user"]["additionalGids"] = [5]
    with pytest.raises(Error, match="setgroups is not allowed"):
        exec_order.compile_exec(config, facts(may_setgroups=False))


def test_a_listener_comes_before_the_runtime_is_done() -> None:
    """docs/decisions/0007"""
    found = names(joined(PLAIN), seccomp=bytes(8), seccomp_flags=8)
    assert found.index("seccomp_listen") < found.index("sync")
    assert "seccomp" not in found


def test_facts_and_config_are_left_as_they_were() -> None:
    config, known = copy.deepcopy(EVERY_RULE), facts()
    before = copy.deepcopy(known)
    first = exec_order.compile_exec(config, known)
    assert (config, known) == (EVERY_RULE, before)
    assert exec_order.compile_exec(config, known) == first
