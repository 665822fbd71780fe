# SPDX-License-Identifier: Apache-2.0
"""Make a container's cgroup in v1 hierarchies, and in the v2 tree beside them on a hybrid host."""

from __future__ import annotations

import errno
import os

from pyrun.cgroup import cgroupfs, devices, limits, permission, procs, resources
from pyrun.errors import Error, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

HINTS = {
    errno.EPERM: "the parent cgroup does not allow it",
    errno.EINVAL: "the cgroup was there before, with others below it: remove them",
}
ABSENT = "its cgroup v1 hierarchy is not mounted on this host (see /proc/cgroups)"


def create(record: dict[str, Any], wanted: dict[str, Any], rules: devices.Policy) -> None:
    """Make the directories and set the limits and device rules; `wanted` is linux.resources."""
    found = resources.v1(wanted)
    make(record, found)
    if record["paths"]:
        set_limits(record, found, rules)


def set_limits(record: dict[str, Any], found: list[resources.Write], rules: devices.Policy) -> None:
    """Set limits and device rules in the record's directories, which exist."""
    _set_devices(record, rules)
    limits.apply(found, record["paths"], ABSENT)


def make(record: dict[str, Any], found: list[resources.Write], pid: int = 0) -> None:
    """Make the directories, fit for a process: without `pid` they have to be empty, or hold that
    alone. `found` is what will be written to them. Raises Error."""
    planned = record["paths"]
    # The record names only what is certainly ours, so that a `destroy` after a failure kills
    # nobody in a cgroup that turned out to be another's.
    ours = record["paths"] = {}
    for path in dict.fromkeys(planned.values()):
        controllers = [name for name, where in planned.items() if where == path]
        try:
            if not cgroupfs.make(path):
                cgroupfs.refuse_used(path, permission.pointer(record), pid)
        except OSError as error:
            needed = [write[0] for write in found if write[1] in controllers]
            permission.go_without(record, error, needed)
        else:
            ours.update(dict.fromkeys(controllers, path))
    if "cpuset" in ours:
        inherit_cpuset(ours["cpuset"])


def inherit_cpuset(path: str) -> None:
    """Give a cpuset and its ancestors the parent's CPUs and memory nodes where they have none.

    A new v1 cpuset is empty, and the kernel refuses a process (ENOSPC) until both are set.
    """
    for field in ("cpus", "mems"):
        file = f"cpuset.{field}"
        try:
            _inherit(path, file)
        except OSError as error:
            raise from_os(error, f"copy {file} from the parent of {path}") from None


def _inherit(path: str, file: str) -> str:
    value = cgroupfs.read(f"{path}/{file}").strip()
    if not value:
        value = _inherit(os.path.dirname(path), file)
        cgroupfs.write(f"{path}/{file}", value)
    return value


def _set_devices(record: dict[str, Any], rules: devices.Policy) -> None:
    path = record["paths"].get("devices")
    if path is None:
        if "" in record["paths"]:
            from pyrun.cgroup import devicefilter  # loads the bpf(2) binding: rarely needed on v1

            devicefilter.set_policy(record, rules)
        elif not (devices.allows_all(rules) or record["rootless"] or record.get("user")):
            raise Error(
                "device rules cannot be enforced: the devices controller is not available",
                devices.BASE,
                ABSENT,
            )
        return
    _write_lines(record, path, devices.lines(rules))


def replace_devices(
    record: dict[str, Any], rules: devices.Policy, tell: Callable[[], None] | None = None
) -> None:
    """Give a living container's cgroup another policy: at no time is less allowed than in both.
    `tell` has systemd know of it.

    Raises Error; the policy is the one before then.
    """
    path = record["paths"]["devices"]
    before = _present_devices(path)
    # Where anything is allowed by default, the kernel has to forget everything first, and systemd
    # begins so in any case: meanwhile nobody may look.
    stopped = (before[0] or rules[0] or tell) and _stop(record)
    try:
        if tell:
            tell()
        _write_lines(record, path, devices.changes(_present_devices(path), rules))
    except Error:
        _write_lines(record, path, devices.changes(_present_devices(path), before))
        raise
    finally:
        if stopped:
            procs.thaw(record)


def _stop(record: dict[str, Any]) -> bool:
    """Freeze the container; False if it is frozen already, or can't be."""
    try:
        if procs.frozen(record):
            return False
        procs.freeze(record)
    except Error:
        return False
    return True


def _present_devices(path: str) -> devices.Policy:
    try:
        return devices.parse(cgroupfs.read(f"{path}/devices.list"))
    except OSError as error:
        raise from_os(error, f"read {path}/devices.list", devices.BASE) from None


def _write_lines(record: dict[str, Any], path: str, found: list[tuple[str, str, str]]) -> None:
    """Write lines of `devices` to the files that they name."""
    file = ""
    batch: list[tuple[str, str]] = []
    for pointer, name, line in found:
        if name != file:
            _write_rules(record, f"{path}/{file}", batch)
            file, batch = name, []
        batch.append((pointer, line))
    _write_rules(record, f"{path}/{file}", batch)


def _write_rules(record: dict[str, Any], file: str, batch: list[tuple[str, str]]) -> None:
    """Write rules to one file, opened once: there are a dozen for every container."""
    if not batch:
        return
    pointer = line = ""
    try:
        fd = os.open(file, os.O_WRONLY)
        try:
            for pointer, line in batch:
                _write_rule(fd, pointer, line)
        finally:
            os.close(fd)
    except OSError as error:
        if not permission.excuses_devices(record, error):
            hint = HINTS.get(error.errno or 0, "")
            doing = f"write {line} to {file}"
            raise from_os(error, doing, pointer or devices.BASE, hint) from None


def _write_rule(fd: int, pointer: str, line: str) -> None:
    try:
        os.write(fd, line.encode())
    except PermissionError:
        # The parent cgroup is stricter than the default rules, for which nobody asked: fine.
        if pointer:
            raise
