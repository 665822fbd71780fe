# SPDX-License-Identifier: Apache-2.0
"""Configs that hypothesis makes from the schema, and how to bring one past the checks."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

from pyrun import _schema, prepare, schema_check
from pyrun.errors import ConfigError
from unit.configs import FULL, isolated, minimal

# Words that mean something somewhere; anything else is text.
WORDS = (
    "", "/", "/dev", "/proc", "/sys/fs/cgroup", "/a", "/a/../dev", "a", "..", "//x/", "/file",
    "proc", "sysfs", "tmpfs", "devpts", "cgroup", "cgroup2", "bind", "none", "devtmpfs", "overlay",
    "rbind", "ro", "rw", "nosuid", "relatime", "noatime", "mode=755", "size=", "rshared", "private",
    "unbindable", "idmap", "sync", "x=y", "PATH=/bin:/usr/bin", "HOME=", "HOME=/h", "A=", "=", "sh",
    "/bin/sh", "rslave", "shared", "net.ipv4.ip_forward", "kernel.shmmax", "kernel/shmmax",
    "CAP_KILL", "CAP_SYS_ADMIN", "CAP_NONE", "RLIMIT_NOFILE", "c", "b", "p", "u", "rwm", "1.0.2",
    "SCMP_ARCH_X86_64", "boottime", "monotonic", "2MB",
)  # fmt: skip
STRINGS = st.sampled_from(WORDS) | st.text(max_size=8)


def values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Whatever has the shape that this part of the schema asks for."""
    if "enum" in schema:
        return st.sampled_from(sorted(schema["enum"]))
    kind = schema.get("type")
    if kind == "string":
        return STRINGS.filter(bool) if schema.get("minLength") else STRINGS
    if kind == "integer":
        low, high = schema.get("minimum", -(2**63)), schema.get("maximum", 2**64 - 1)
        small = (
            st.integers(max(low, 0), min(high, 9)) if max(low, 0) <= min(high, 9) else st.just(low)
        )
        return small | st.integers(low, high)
    if kind == "boolean":
        return st.booleans()
    if kind == "array":
        return st.lists(values(schema["items"]), min_size=schema.get("minItems", 0), max_size=3)
    if kind == "object":
        return _objects(schema)
    return st.none() | st.booleans() | st.integers() | STRINGS


def _objects(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "additionalProperties" in schema:
        return st.dictionaries(STRINGS, values(schema["additionalProperties"]), max_size=2)
    members = schema.get("properties", {})
    required = {name: values(members[name]) for name in schema.get("required", ())}
    optional = {name: values(part) for name, part in members.items() if name not in required}
    return st.fixed_dictionaries(required, optional=optional)


def _mixed() -> st.SearchStrategy[dict[str, Any]]:
    """Each member of the root and of linux: absent, as in a real config, or by the schema."""
    members = _schema.CONFIG["properties"]
    linux = members["linux"]["properties"]
    real = isolated()

    def choice(name: str, schema: dict[str, Any], known: dict[str, Any]) -> st.SearchStrategy[Any]:
        found = values(schema)
        return st.just(known[name]) | found if name in known else found

    def entries(part: dict[str, Any], known: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
        chosen = {name: choice(name, schema, known) for name, schema in part.items()}
        return st.fixed_dictionaries({}, optional=chosen)

    known_linux = {**FULL["linux"], "namespaces": real["linux"]["namespaces"]}
    required = {
        "ociVersion": st.just("1.2.0"),
        "root": st.just({"path": "rootfs"}) | values(members["root"]),
        "process": st.just(real["process"]) | values(members["process"]),
        "linux": entries(linux, known_linux),
    }
    optional = {
        name: choice(name, schema, FULL) for name, schema in members.items() if name not in required
    }
    return st.fixed_dictionaries(required, optional=optional).map(copy.deepcopy)


def pruned(config: dict[str, Any]) -> dict[str, Any]:
    """The config without what the checks refuse; a usual process and root if those went, too."""
    for _ in range(50):
        for name in ("process", "root"):
            if not config.get(name):
                config[name] = minimal()[name]
        lacking = schema_check.check(config)  # what _drop took away may have been required
        for pointer, _ in lacking:
            _drop(config, pointer.split("/")[1:-1])
        if lacking:
            continue
        try:
            prepare.check(config)
        except ConfigError as error:
            for pointer, _ in sorted(error.problems, reverse=True):
                _drop(config, pointer.split("/")[1:])
        else:
            return config
    raise AssertionError("the checks never end")


def _drop(config: dict[str, Any], parts: list[str]) -> None:
    """Take away the innermost thing on the way that can go: a list's entry, an optional member."""
    place: Any = config
    last: tuple[Any, Any] | None = None
    for part in parts:
        if isinstance(place, list):
            if int(part) >= len(place):
                return
            last, place = (place, int(part)), place[int(part)]
        else:
            key = part.replace("~1", "/").replace("~0", "~")
            if key not in place:
                break
            if not (isinstance(last, tuple) and isinstance(last[0], list)):
                last = (place, key)
            place = place[key]
    if last is not None:
        del last[0][last[1]]


CONFIGS = _mixed()
