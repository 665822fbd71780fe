# SPDX-License-Identifier: Apache-2.0
"""What the tables of the rules are written in: configs by their parts, facts by what is unusual,
and operations as `pyrun plan` prints them, each behind its field."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from pyrun import describe
from pyrun.compile import devices, mount_options
from pyrun.compile.donations import donations

Config = dict[str, Any]
Rule = Callable[[Config, Config], Iterator[Any]]

FACTS: Config = {
    "id": "box",
    "bundle": "/bundle",
    "rootfs": "/bundle/rootfs",
    "machine": "x86_64",
    "byteorder": "little",
    "capabilities": (1 << 41) - 1,
    "privileged": True,
    "may_setgroups": True,
    "no_pivot": False,
    "no_new_keyring": False,
    "preserve_fds": 0,
    "fifo": True,
    "extra_env": [],
    "sources": {"/src": "directory", "/file": "file", "/bundle/rel": "directory"},
    "links": {},
    "device_sources": [],
    "binds_devices": False,
    "mounts_cgroups": False,
    "has_kcore": False,
    "security_modules": ["AppArmor", "SELinux"],
    "memory_nodes": "0-3\n",
    "landlock_abi": 7,
    "seccomp": b"",
    "seccomp_flags": 0,
    "cgroup_layout": "v2",
    "cgroup_hierarchies": [],
    "layers": {},
}
ONE_ID = [{"containerID": 0, "hostID": 1000, "size": 1}]


def with_facts(config: Config, **unusual: Any) -> Config:
    """The facts, and the donations that they and the config lead to."""
    known = {**FACTS, **unusual}
    return {**known, "donations": donations(config, known)}


def known_of(config: Config, unusual: Config) -> Config:
    """Facts as host.gather would find them on a host that has every source."""
    facts = {**copy.deepcopy(FACTS), **unusual}
    kinds = ("directory", "file")
    for index, mount in enumerate(config.get("mounts") or []):
        if mount_options.is_bind(mount):
            facts["sources"][mount_options.source(mount, facts)] = kinds[index % 2]
    facts["device_sources"] = devices.sources(config)
    facts["binds_devices"] |= devices.in_user_namespace(config)
    return facts


def told(rule: Rule, config: Config, **unusual: Any) -> list[str]:
    """What the rule yields: `mounts[0].type: fsopen("proc") = context`."""
    known = with_facts(config, **unusual)
    return [
        f"{describe.field(pointer) or '-'}: {describe.line(op, known['donations'])}"
        for pointer, op in rule(config, known)
    ]


def listed(text: str) -> list[str]:
    """A table's cell as lines."""
    return [line.strip() for line in text.strip().splitlines()]


def spaces(*kinds: str, **linux: Any) -> Config:
    """A config with these namespaces; "pid@/x" is joined by its path."""
    entries = []
    for kind in kinds:
        name, joined, path = kind.partition("@")
        entries.append({"type": name, "path": path} if joined else {"type": name})
    return {"linux": {"namespaces": entries, **linux}, "root": {"path": "rootfs"}}


def process(**members: Any) -> Config:
    """A config with this process, that runs `sh` in `/`."""
    return {"process": {"cwd": "/", "args": ["sh"], **members}, "root": {"path": "rootfs"}}


def mounts(*entries: Config, kinds: tuple[str, ...] = ("mount",), **linux: Any) -> Config:
    """A config with these mounts in a mount namespace of its own."""
    return {**spaces(*kinds, **linux), "mounts": list(entries)}


def bind(destination: str, source: str = "/src", *options: str) -> Config:
    return {
        "destination": destination,
        "type": "bind",
        "source": source,
        "options": [*(options or ("rbind",))],
    }
