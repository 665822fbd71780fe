# SPDX-License-Identifier: Apache-2.0
"""Which directories are the container's cgroup: the path rules, pure, before anything is made."""

from __future__ import annotations

import os

from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.types import Config

POINTER = "/linux/cgroupsPath"
MANAGERS = ("cgroupfs", "systemd", "disabled")  # that this version has; `features` tells them


def plan(
    config: Config,
    container_id: str,
    facts: dict[str, Any],
    manager: str = "cgroupfs",
    rootless: bool = False,
) -> dict[str, Any]:
    """The record of the container's cgroup, to be stored before `driver.create` makes it.

    `facts` is `facts.facts()`; `manager` is "cgroupfs", "systemd" or "disabled". The record is
    JSON-able: `manager` (also "none": no cgroup can or need be made), `layout`, `paths` {controller
    or "": absolute directory}, `mount` (of the v2 tree, or ""), `rootless`, `asked` (a cgroupsPath
    was given), and what units.plan adds for systemd. On v2, `paths` has "name=systemd" too where
    facts.add_beside had a reason to count that. Raises Error for a path that cannot be
    honoured.

    An absolute cgroupsPath lies below the mount point. A relative one lies below the runtime's own
    cgroup on v1 and hybrid, and beside it on v2, where a cgroup that holds processes (ours) cannot
    pass controllers on. Without one, the container's id is the relative path.
    """
    asked = (config.get("linux") or {}).get("cgroupsPath") or ""
    layout = facts["layout"]
    record: dict[str, Any] = {
        "manager": manager,
        "layout": layout,
        "paths": {},
        "mount": "",
        "rootless": rootless,
        "asked": bool(asked),
    }
    if manager == "disabled":
        return record
    if manager == "systemd":
        from pyrun.cgroup import units

        units.plan(record, asked, container_id, facts, os.geteuid())
        return record
    inner = _inner(asked, container_id)
    if layout == "none":
        if asked or not rootless:
            raise Error(
                "no cgroup hierarchy is mounted: the container's cgroup cannot be made",
                POINTER if asked else "",
                "mount one at /sys/fs/cgroup, or pass --cgroup-manager disabled",
            )
        record["manager"] = "none"
        return record
    record["paths"] = {
        name: _directory(facts, name, inner, asked.startswith("/")) for name in facts["mounts"]
    }
    if layout == "v2":
        record["mount"] = facts["mounts"][""][0]
    return record


def _inner(asked: str, container_id: str) -> str:
    """The path below whatever it is relative to, without a leading slash, checked."""
    if asked.count(":") == 2 and "/" not in asked:
        raise Error(
            f'"{asked}" has the form slice:prefix:name, but the cgroupfs driver is in use',
            POINTER,
            "pass --systemd-cgroup, or give a path; an engine's setting for it must be that of who"
            " gives the path: SystemdCgroup of containerd, cgroupDriver of the kubelet",
        )
    if not asked:
        return container_id
    parts = [part for part in asked.split("/") if part]
    for part in parts:
        # A leading dot covers "..", which leads out of the mount (GHSA-5g49-rx9x-qfc6).
        if part.startswith(".") or "\0" in part or "\n" in part:
            raise Error(
                f'"{asked}": a part of the path starts with "." or has a control character',
                POINTER,
                "name the cgroup by plain names separated by /",
            )
    if not parts:
        raise Error(
            f'"{asked}" is the root of the hierarchy, which cannot be a container\'s cgroup',
            POINTER,
            "add a name",
        )
    return "/".join(parts)


def _directory(facts: dict[str, Any], name: str, inner: str, absolute: bool) -> str:
    mount, root = facts["mounts"][name]
    below = "" if absolute else below_mount(root, facts["own"].get(name, "/"))
    if below and facts["layout"] == "v2" and not name:
        below = os.path.dirname(below)
    return f"{mount.rstrip('/')}{below.rstrip('/')}/{inner}"


def below_mount(root: str, own: str) -> str:
    """This process's cgroup as a path below the mount point: "" or "/a/b".

    In a container without a cgroup namespace the mount shows only a part of the hierarchy, while
    /proc/self/cgroup is whole. A cgroup outside of what is visible ("/../x") counts as the top.
    """
    prefix = root.rstrip("/")
    if own != prefix and not own.startswith(prefix + "/"):
        return ""
    below = own[len(prefix) :]
    return "" if ".." in below.split("/") else below.rstrip("/")
