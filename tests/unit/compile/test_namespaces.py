# SPDX-License-Identifier: Apache-2.0
"""Namespaces: what the clone makes, what needs a first stage, in which order others are joined."""

from __future__ import annotations

import pytest

from pyrun import describe
from pyrun.compile import namespaces
from pyrun.compile.donations import is_new, namespace
from pyrun.errors import Error
from unit.compile.rules import Config, listed, spaces, told

ALL = ("user", "mount", "pid", "network", "ipc", "uts", "cgroup", "time")
OFFSETS = {"timeOffsets": {"boottime": {"secs": 5}}}

CLONED = [
    (spaces(), "0"),
    ({}, "0"),
    ({"linux": None}, "0"),
    (spaces("mount", "pid"), "CLONE_NEWNS|CLONE_NEWPID"),
    (spaces("cgroup"), "0"),  # made by the init, when it is in its cgroup
    (spaces("ipc", "uts"), "CLONE_NEWUTS|CLONE_NEWIPC"),
    (spaces("user", "ipc"), "CLONE_NEWUSER"),  # message queues are to be the new root's
    (spaces("network@/n", "mount"), "CLONE_NEWNS"),
    (spaces("pid@/p", "mount"), "CLONE_NEWNS"),
    (spaces("user@/u", "mount"), "0"),  # the mounts are to belong to that user namespace
    (spaces("user", "network@/n"), "0"),  # joining it takes the rights that we give up
    (spaces("time", "mount"), "CLONE_NEWTIME|CLONE_NEWNS"),
    (spaces("time", "mount", **OFFSETS), "0"),  # offsets are written before anyone is in it
    (spaces("time@/t", "mount"), "CLONE_NEWNS"),
]


@pytest.mark.parametrize(("config", "flags"), CLONED)
def test_what_the_clone_makes(config: Config, flags: str) -> None:
    assert describe.clone_flags(namespaces.clone_flags(config)) == flags


UNDUMPABLE = "linux.namespaces: prctl(PR_SET_DUMPABLE, 0)"

ENTERED = [
    (spaces("mount", "pid"), True, UNDUMPABLE),
    # Without privileges we stay dumpable till the caller has written our maps.
    (spaces("user", "mount"), False, UNDUMPABLE),
    (
        spaces("network@/n", "ipc@/i", "mount"),
        True,
        f"""{UNDUMPABLE}
        linux.namespaces[0]: setns(namespace[network], CLONE_NEWNET)
        linux.namespaces[1]: setns(namespace[ipc], CLONE_NEWIPC)""",
    ),
    # With privileges over the host, the user namespace comes last, and first without any.
    (
        spaces("user@/u", "network@/n", "mount"),
        True,
        f"""{UNDUMPABLE}
        linux.namespaces[1]: setns(namespace[network], CLONE_NEWNET)
        linux.namespaces[0]: setns(namespace[user], CLONE_NEWUSER)
        linux.namespaces: fork_init(CLONE_NEWNS)""",
    ),
    (
        spaces("network@/n", "user@/u", "mount"),
        False,
        f"""linux.namespaces[1]: setns(namespace[user], CLONE_NEWUSER)
        linux.namespaces[0]: setns(namespace[network], CLONE_NEWNET)
        linux.namespaces: fork_init(CLONE_NEWNS)
        {UNDUMPABLE}""",
    ),
    (
        spaces("network@/n", "user", "pid", "ipc"),
        True,
        f"""{UNDUMPABLE}
        linux.namespaces[0]: setns(namespace[network], CLONE_NEWNET)
        linux.namespaces[1]: unshare(CLONE_NEWUSER)
        linux.uidMappings: sync(the id maps)
        linux.namespaces: fork_init(CLONE_NEWPID)""",
    ),
    (
        spaces("time", "pid", "mount", **OFFSETS),
        True,
        f"""{UNDUMPABLE}
        linux.namespaces[0]: unshare(CLONE_NEWTIME)
        linux.timeOffsets: sync(the time offsets)
        linux.namespaces: fork_init(CLONE_NEWNS|CLONE_NEWPID)""",
    ),
    # A joined pid namespace is for the child that fork_late makes: no fork before.
    (
        spaces("pid@/p", "mount"),
        True,
        f"""{UNDUMPABLE}
        linux.namespaces[0]: setns(namespace[pid], CLONE_NEWPID)""",
    ),
    (
        spaces("pid@/p", "time", "uts", **OFFSETS),
        True,
        f"""{UNDUMPABLE}
        linux.namespaces[0]: setns(namespace[pid], CLONE_NEWPID)
        linux.namespaces[1]: unshare(CLONE_NEWTIME)
        linux.timeOffsets: sync(the time offsets)
        linux.namespaces: unshare(CLONE_NEWUTS)""",
    ),
    (
        spaces("pid@/p", "user@/u"),
        True,
        f"""{UNDUMPABLE}
        linux.namespaces[0]: setns(namespace[pid], CLONE_NEWPID)
        linux.namespaces[1]: setns(namespace[user], CLONE_NEWUSER)""",
    ),
]


@pytest.mark.parametrize(("config", "privileged", "expected"), ENTERED)
def test_enter(config: Config, privileged: bool, expected: str) -> None:
    assert told(namespaces.enter, config, privileged=privileged) == listed(expected)


@pytest.mark.parametrize("kind", ALL)
def test_each_new_kind_is_made_once(kind: str) -> None:
    """By the clone, by the first stage or by the init: never twice, never not at all."""
    for others in ((), ("user@/u",), ("pid@/p",), ("network@/n",)):
        taken = {other.partition("@")[0] for other in others}
        if kind in taken:
            continue
        config = spaces(kind, *others, **(OFFSETS if kind == "time" else {}))
        made = [describe.clone_flags(namespaces.clone_flags(config))]
        for rule in (namespaces.enter, namespaces.unshare_late):
            made += [line for line in told(rule, config) if "setns" not in line]
        name = describe.clone_flags(namespaces.NAMESPACES[kind])
        assert sum(name in line for line in made) == 1, (others, made)


LATE = [
    (spaces("mount"), []),
    (spaces("cgroup"), ["linux.namespaces: unshare(CLONE_NEWCGROUP)"]),
    (spaces("cgroup@/c"), []),
    (spaces("ipc"), []),
    (spaces("ipc", "user"), ["linux.namespaces: unshare(CLONE_NEWIPC)"]),
    (spaces("ipc", "user@/u"), []),
    (
        spaces("ipc", "user", "cgroup"),
        ["linux.namespaces: unshare(CLONE_NEWCGROUP|CLONE_NEWIPC)"],
    ),
]


@pytest.mark.parametrize(("config", "expected"), LATE)
def test_unshare_late(config: Config, expected: list[str]) -> None:
    assert told(namespaces.unshare_late, config) == expected


ROOT_OF_IT = [
    "linux.uidMappings: setresgid(0), or EINVAL",
    "linux.uidMappings: setresuid(0), or EINVAL",
]
NOT_ZERO = [{"containerID": 1000, "hostID": 1000, "size": 1}]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (spaces("mount"), []),
        (spaces("user"), ROOT_OF_IT),
        (spaces("user@/u"), ROOT_OF_IT),
        (spaces("user", uidMappings=NOT_ZERO), []),  # there is no root in it
        (
            spaces("user", uidMappings=[*NOT_ZERO, {"containerID": 0, "hostID": 5, "size": 1}]),
            ROOT_OF_IT,
        ),
    ],
)
def test_become_root(config: Config, expected: list[str]) -> None:
    assert told(namespaces.become_root, config) == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (spaces("pid"), []),
        (spaces(), []),
        (spaces("mount", "pid@/p"), ["linux.namespaces[1]: fork_init(0)"]),
    ],
)
def test_fork_late(config: Config, expected: list[str]) -> None:
    assert told(namespaces.fork_late, config) == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (spaces("network"), ["linux.namespaces[0]: loopback_up()"]),
        (spaces("network@/n"), []),
        (spaces(), []),
    ],
)
def test_loopback(config: Config, expected: list[str]) -> None:
    assert told(namespaces.loopback, config) == expected


def test_net_devices() -> None:
    config = spaces("network@/n", netDevices={"eth0": {}})
    expected = ["linux.netDevices: sync(the network devices)"]
    assert told(namespaces.net_devices, config) == expected
    assert told(namespaces.net_devices, spaces("network", netDevices={})) == []


def test_net_devices_take_the_rights_of_the_host() -> None:
    config = spaces("user", "network", netDevices={"eth0": {}})
    with pytest.raises(Error, match="netDevices.*rights of its root"):
        told(namespaces.net_devices, config, privileged=False)


def test_the_network_of_the_host_gets_no_device_for_a_container() -> None:
    config = spaces("network@/n", netDevices={"eth0": {}})
    with pytest.raises(Error, match="network namespace of the host"):
        told(namespaces.enter, config, own_namespaces=["network"])


def test_keyring() -> None:
    joined = ['-: join_session_keyring("_ses.box"), or ENOSYS']
    assert told(namespaces.keyring, {}) == joined
    assert told(namespaces.keyring, {}, no_new_keyring=True) == []


def test_an_empty_path_is_a_new_namespace() -> None:
    config = {"linux": {"namespaces": [{"type": "pid", "path": ""}]}}
    assert is_new(config, "pid")
    assert not is_new(config, "mount")
    assert namespace(config, "mount") is None
