# SPDX-License-Identifier: Apache-2.0
"""Which sysctls a container may set, and with which namespace (R14)."""

from __future__ import annotations

import pytest

from pyrun import schema_check
from pyrun.compile import checks, sysctl_names
from unit.configs import isolated

MAP = [{"containerID": 0, "hostID": 1000, "size": 1}]
HOST = "belongs to the host"
NO_NAME = "is no name of a kernel parameter"

SYSCTLS: list[tuple[str, str | None, str | None]] = [
    # key, the namespace that it needs, why it is refused even so
    ("kernel.msgmax", "ipc", None),
    ("kernel/shmmax", "ipc", None),
    ("kernel.sem", "ipc", None),
    ("fs.mqueue.msg_max", "ipc", None),
    ("fs/mqueue/msg_max", "ipc", None),
    ("net.ipv4.ip_forward", "network", None),
    ("net/ipv4/conf/eth0.100/forwarding", "network", None),
    ("net.ipv4.conf.eth0/100.forwarding", "network", None),
    ("kernel.domainname", "uts", None),
    ("user.max_user_namespaces", "user", None),
    ("kernel.hostname", None, "set hostname instead"),
    ("kernel.core_pattern", None, HOST),
    ("kernel/core_pattern", None, HOST),
    ("kernel.shm", None, HOST),
    ("kernel.msgmax.x", None, HOST),
    ("kernel.net.x", None, HOST),
    ("fs.mqueue", None, HOST),
    ("fs.file-max", None, HOST),
    ("vm.swappiness", None, HOST),
    ("net", None, HOST),
    ("network.x", None, HOST),
    # CVE-2022-0811 and its relatives: a key that leads out of its directory
    ("net.ipv4/../../kernel/core_pattern", None, NO_NAME),
    ("net/../kernel/core_pattern", None, NO_NAME),
    ("fs.mqueue/../..", None, NO_NAME),
    ("net//ipv4", None, NO_NAME),
    ("net..ipv4", None, NO_NAME),
    ("/net/ipv4/ip_forward", None, NO_NAME),
    (".net.x", None, NO_NAME),
    ("net.x.", None, NO_NAME),
    ("net/./x", None, NO_NAME),
    ("", None, NO_NAME),
]


@pytest.mark.parametrize(("key", "kind", "why"), SYSCTLS)
def test_sysctl(key: str, kind: str | None, why: str | None) -> None:
    pointer = "/linux/sysctl" + schema_check.step(key)
    config = isolated(sysctl={key: "1"})
    kinds = [{"type": "user"}, *config["linux"]["namespaces"]]
    config["linux"] |= {"namespaces": kinds, "uidMappings": MAP, "gidMappings": MAP}
    if why is not None:
        [(place, text)] = checks.problems(config)
        assert (place, why in text) == (pointer, True)
        return
    assert checks.problems(config) == []
    kinds[:] = [entry for entry in kinds if entry["type"] != kind]
    assert (pointer, f"needs a {kind} namespace in linux.namespaces") in checks.problems(config)


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("net.ipv4.conf.eth0/100.mtu", ("net", "ipv4", "conf", "eth0.100", "mtu")),
        ("net/ipv4/conf/eth0.100/mtu", ("net", "ipv4", "conf", "eth0.100", "mtu")),
        ("kernel.sem", ("kernel", "sem")),
    ],
)
def test_a_key_names_one_file(key: str, names: tuple[str, ...]) -> None:
    assert sysctl_names.segments(key) == names
