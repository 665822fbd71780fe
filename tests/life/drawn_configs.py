# SPDX-License-Identifier: Apache-2.0
"""Small valid configs that hypothesis makes from spec/config.schema.json, for runtimes to be
compared by. The schema says what shape a value has; DRAWN, which members are there at all, and what
may stand where the schema allows more than a program can see."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from pyrun import _schema

Config = dict[str, Any]

IDS = st.sampled_from([0, 1, 1000, 65534])
CAPABILITY = st.sampled_from(
    ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_NET_RAW", "CAP_SYS_ADMIN", "CAP_AUDIT_WRITE"]
)
PLACES = st.sampled_from(["/data", "/etc", "/proc/sys", "/proc/kcore", "/dev/null", "/absent"])
SIZES = (16, 64, 1024)

# {pointer: what may be there; None: what the schema says}. "*" is an entry.
DRAWN: dict[str, st.SearchStrategy[Any] | None] = {
    "/root/path": st.just("rootfs"),
    "/root/readonly": None,
    "/hostname": st.sampled_from(["box", "a.b", "x" * 64]),
    "/domainname": st.sampled_from(["example.test", "d"]),
    "/process/user/uid": IDS,
    "/process/user/gid": IDS,
    "/process/user/umask": st.sampled_from([0, 0o22, 0o27, 0o77]),
    "/process/user/additionalGids/*": st.sampled_from([0, 5, 6, 1000]),
    "/process/env/*": st.sampled_from(["PATH=/bin", "A=b", "A=c", "EMPTY=", "HOME=/h"]),
    "/process/cwd": st.sampled_from(["/", "/tmp", "/data", "/home/user", "/etc/../tmp", "/proc/1"]),
    "/process/capabilities/bounding/*": CAPABILITY,
    "/process/capabilities/effective/*": CAPABILITY,
    "/process/capabilities/permitted/*": CAPABILITY,
    "/process/capabilities/inheritable/*": CAPABILITY,
    "/process/capabilities/ambient/*": CAPABILITY,
    "/process/rlimits/*/type": st.sampled_from(["RLIMIT_NOFILE", "RLIMIT_CORE", "RLIMIT_NICE"]),
    "/process/rlimits/*/soft": st.sampled_from(SIZES),
    "/process/rlimits/*/hard": st.sampled_from(SIZES),
    "/process/noNewPrivileges": None,
    "/process/oomScoreAdj": st.sampled_from([0, 1, 500, 1000]),
    "/mounts/*/destination": st.sampled_from(["/data", "/new/deep", "/tmp", "/data/../etc"]),
    "/mounts/*/type": st.just("tmpfs"),
    "/mounts/*/source": st.sampled_from(["tmpfs", "none"]),
    "/mounts/*/options/*": st.sampled_from(
        ["ro", "rw", "nosuid", "suid", "nodev", "noexec", "noatime", "relatime", "strictatime",
         "mode=700", "size=64k", "private", "rslave", "sync", "nodiratime"]
    ),
    "/linux/rootfsPropagation": st.sampled_from(["private", "rprivate", "slave", "rslave"]),
    "/linux/maskedPaths/*": PLACES,
    "/linux/readonlyPaths/*": PLACES,
    "/linux/devices/*/path": st.sampled_from(["/dev/odd", "/dev/deep/odd"]),
    "/linux/devices/*/type": st.sampled_from(["c", "u"]),
    "/linux/devices/*/major": st.just(1),
    "/linux/devices/*/minor": st.sampled_from([3, 5]),
    "/linux/devices/*/fileMode": st.sampled_from([0o600, 0o666, 0o644]),
    "/linux/devices/*/uid": IDS,
    "/linux/devices/*/gid": IDS,
    "/linux/resources/pids/limit": st.sampled_from([20, 1000]),
    "/linux/resources/memory/limit": st.sampled_from([32 << 20, 1 << 30]),
    "/linux/resources/cpu/shares": st.sampled_from([2, 512, 1024]),
    "/linux/sysctl": st.dictionaries(
        st.sampled_from(["kernel.shmmax", "net.ipv4.ip_forward", "fs.mqueue.msg_max"]),
        st.sampled_from(["1", "100"]),
        max_size=2,
    ),
}  # fmt: skip


# By what the spec says beside its schema.
NEEDED = ("/linux/devices/*/major", "/linux/devices/*/minor", "/mounts/*/type")


def _values(schema: Config, pointer: str) -> st.SearchStrategy[Any]:
    if (chosen := DRAWN.get(pointer)) is not None:
        return chosen
    kind = schema["type"]
    if kind == "array":
        return st.lists(_values(schema["items"], f"{pointer}/*"), max_size=2)
    if kind == "boolean":
        return st.booleans()
    assert kind == "object", pointer
    needed = {*schema.get("required", ())}
    needed |= {name for name in schema["properties"] if f"{pointer}/{name}" in NEEDED}
    members = {
        name: _values(part, f"{pointer}/{name}")
        for name, part in schema["properties"].items()
        if any(f"{known}/".startswith(f"{pointer}/{name}/") for known in DRAWN)
    }
    return st.fixed_dictionaries(
        {name: part for name, part in members.items() if name in needed},
        optional={name: part for name, part in members.items() if name not in needed},
    )


CONFIGS = _values({**_schema.CONFIG, "required": []}, "")


def merged(base: Config, drawn: Config) -> Config:
    """What was drawn in a config that a runtime can run: mounts behind those that are there, and
    capabilities in place of them."""
    found = dict(base)
    for name, value in drawn.items():
        if name in ("mounts", "devices") and name in base:
            found[name] = base[name] + value
        elif isinstance(value, dict) and name in base and name != "capabilities":
            found[name] = merged(base[name], value)
        else:
            found[name] = value
    return found
