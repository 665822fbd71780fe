# SPDX-License-Identifier: Apache-2.0
"""Make a container's cgroup in the unified hierarchy (v2)."""

from __future__ import annotations

import os

from pyrun.cgroup import cgroupfs, devicefilter, limits, permission, resources
from pyrun.cgroup.facts import NAMED
from pyrun.errors import Error, from_os, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cgroup import devices

# Those that cannot account threads apart from their process (cgroup-v2.rst, "Threads").
DOMAIN_CONTROLLERS = ("memory", "io", "hugetlb", "rdma")


def create(record: dict[str, Any], wanted: dict[str, Any], rules: devices.Policy) -> None:
    """Make the directory, enable controllers, set limits and filter; `wanted`: linux.resources."""
    found = resources.v2(wanted)
    path: str = record["paths"][""]
    # The record names only what is certainly ours, so that a `destroy` after a failure kills
    # nobody in a cgroup that turned out to be another's.
    planned, record["paths"] = record["paths"], {}
    try:
        made = cgroupfs.make(path)
        if not made:
            cgroupfs.refuse_used(path, permission.pointer(record))
    except OSError as error:
        permission.go_without(record, error, [write[0] for write in found])
        return
    record["paths"] = {"": path}
    _refuse_frozen(path, permission.pointer(record))
    if NAMED in planned:
        make_beside(record, planned[NAMED])
    if not made:
        limits.check_usage(wanted.get("memory") or {}, path)
    set_limits(record, found, rules, made)


def make_beside(record: dict[str, Any], path: str) -> None:
    """Make the cgroup at `path` in the v1 hierarchy name=systemd, and have the record name it.
    Raises Error."""
    try:
        if not cgroupfs.make(path):
            cgroupfs.refuse_used(path, permission.pointer(record))
    except OSError as error:
        permission.go_without(record, error, [])
    else:
        record["paths"][NAMED] = path


def set_limits(
    record: dict[str, Any],
    found: list[resources.Write],
    rules: devices.Policy,
    fresh: bool = True,
) -> None:
    """Enable controllers down to the record's directory, which exists; set limits and filter.

    `fresh`: it has no filter of ours yet.
    """
    path: str = record["paths"][""]
    failures = enable_controllers(record["mount"], path)
    _check_type(path, found)
    absent = f"cgroup v2 does not have it on this host (see {record['mount']}/cgroup.controllers)"
    limits.apply(found, directories(path), absent, failures)
    devicefilter.set_policy(record, rules, fresh)


def directories(path: str) -> dict[str, str]:
    """Where the files of each controller are that the cgroup at `path` has. Raises Error."""
    return {**dict.fromkeys(_words(f"{path}/cgroup.controllers"), path), "": path}


def enable_controllers(mount: str, path: str) -> dict[str, str]:
    """Pass every available controller down from the mount point to `path`.

    Returns what failed, {controller: in words}: that matters only when a limit needs the
    controller, and is the rule where a part of the tree was delegated to us.
    """
    wanted = set(_words(f"{mount}/cgroup.controllers"))
    failures: dict[str, str] = {}
    if wanted <= set(_words(f"{path}/cgroup.controllers")):
        return failures
    directory = mount
    for name in path[len(mount) :].strip("/").split("/"):
        file = f"{directory}/cgroup.subtree_control"
        refused = _pass_on(file, sorted(wanted - set(_words(file))))
        wanted -= set(refused)
        failures.update(refused)
        directory = f"{directory}/{name}"
    return failures


def _pass_on(file: str, missing: list[str]) -> dict[str, str]:
    """Enable controllers in one cgroup.subtree_control; {controller: what the kernel said}."""
    try:
        if missing:
            cgroupfs.write(file, " ".join(f"+{controller}" for controller in missing))
        return {}
    except OSError as error:
        if len(missing) == 1:
            return {missing[0]: f"write +{missing[0]} to {file}: {reason(error.errno or 0)}"}
    # The write is refused whole when the kernel refuses one of them: find out which.
    refused: dict[str, str] = {}
    for controller in missing:
        refused.update(_pass_on(file, [controller]))
    return refused


def delegate(path: str, uid: int) -> None:
    """Make `uid` the owner of a cgroup, as far as the kernel lists what may be given away."""
    try:
        names = cgroupfs.read("/sys/kernel/cgroup/delegate").split()
    except OSError:
        names = ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"]
    for file in [path, *(f"{path}/{name}" for name in names)]:
        try:
            os.chown(file, uid, -1)
        except FileNotFoundError:
            pass  # the list is of all kernels and controllers, not of this cgroup
        except OSError as error:
            raise from_os(error, f"give {file} to uid {uid}") from None


def _refuse_frozen(path: str, pointer: str) -> None:
    """Raise Error where one above it is frozen: a process that is born there stands still before
    its first instruction, and whoever waits for its execve(2) with it (cgroup-v2.rst, "freeze")."""
    try:
        frozen = "frozen 1" in cgroupfs.read(f"{path}/cgroup.events")
    except OSError as error:
        raise from_os(error, f"read {path}/cgroup.events") from None
    if frozen:
        raise Error(
            f"a cgroup above {path} is frozen: no process can begin there",
            pointer,
            "thaw it: the one that has 1 in its cgroup.freeze",
        )


def _check_type(path: str, found: list[resources.Write]) -> None:
    try:
        kind = cgroupfs.read(f"{path}/cgroup.type").strip()
    except OSError as error:
        raise from_os(error, f"read {path}/cgroup.type") from None
    if kind == "domain":
        return
    domain = [write for write in found if write[1] in DOMAIN_CONTROLLERS]
    if kind == "domain threaded" and not domain:
        return
    pointer = domain[0][0] if domain else "/linux/cgroupsPath"
    state = "an invalid state" if kind == "domain invalid" else f"{kind} mode"
    raise Error(
        f"cannot enter cgroupv2 {path} with domain controllers -- it is in {state}",
        pointer,
        "a cgroup above it is threaded: choose a cgroupsPath elsewhere",
    )


def _words(file: str) -> list[str]:
    try:
        return cgroupfs.read(file).split()
    except OSError as error:
        raise from_os(error, f"read {file}") from None
