# SPDX-License-Identifier: Apache-2.0
"""Change the limits of a living container's cgroup: what is not named keeps its value, and when one
cannot be set, all are as they were.

The present values are read from the kernel: they may have been changed since they were set.
"""

from __future__ import annotations

from pyrun.cgroup import cgroupfs, devices, limits, permission, resources, rollback
from pyrun.errors import Error, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ABSENT = "the cgroup above the container's does not pass it on, or it is mounted nowhere"
NO_LIMIT = 1 << 62  # v1 shows "unlimited" as a number of pages up to 1 << 63


def apply(record: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Set `wanted`, a linux.resources; its devices, where it has some, replace the whole policy.

    Raises Error; nothing has changed then.
    """
    rules = wanted.get("devices")
    policy = devices.policy(rules) if rules else None
    if not record["paths"]:
        asked = [write[0] for write in resources.v2(wanted)]
        permission.refuse_limits(record, asked + ([devices.BASE] if rules else []))
        return
    directories = _directories(record)
    unified = record["layout"] == "v2"
    found = those_of(wanted, resources.writes(complete(wanted, directories, unified), unified))
    if unified:
        limits.check_usage(wanted.get("memory") or {}, record["paths"][""])
    before = rollback.present(found, directories)
    try:
        _tell_systemd(record, found)
        limits.apply(found, directories, ABSENT)
        if policy is not None:
            _replace_policy(record, policy)
    except Error as error:
        _restore(record, before, directories, error)
        raise


def _tell_systemd(record: dict[str, Any], found: list[resources.Write]) -> None:
    if record["manager"] == "systemd":
        from pyrun.cgroup import systemd

        systemd.set_limits(record, found)


def _directories(record: dict[str, Any]) -> dict[str, str]:
    paths: dict[str, str] = record["paths"]
    if record["layout"] != "v2":
        return paths
    from pyrun.cgroup import v2

    return v2.directories(paths[""])


def _restore(
    record: dict[str, Any],
    before: list[resources.Write],
    directories: dict[str, str],
    error: Error,
) -> None:
    """The way back. A failure of this is told with the one that led here."""
    try:
        _tell_systemd(record, before)
        limits.apply(before, directories, ABSENT)
    except Error as second:
        error.hint = f"{error.hint}; then, to undo the rest: {second.message}".lstrip("; ")


def complete(wanted: dict[str, Any], directories: dict[str, str], unified: bool) -> dict[str, Any]:
    """`wanted` with the present value of what the kernel takes only together with a given one.

    A quota and its period are one value on v2; swap is told with memory in it. Raises Error.
    """
    found = dict(wanted)
    cpu, memory = dict(wanted.get("cpu") or {}), dict(wanted.get("memory") or {})
    if unified and "cpu" in directories and bool(cpu.get("quota")) != bool(cpu.get("period")):
        quota, period = _read(f"{directories['cpu']}/cpu.max").split()
        cpu["quota"] = cpu.get("quota") or (-1 if quota == "max" else int(quota))
        cpu["period"] = cpu.get("period") or int(period)
        found["cpu"] = cpu
    if "memory" in directories and memory.get("swap") and not memory.get("limit"):
        file = "memory.max" if unified else "memory.limit_in_bytes"
        limit = _read(f"{directories['memory']}/{file}").strip()
        unlimited = limit == "max" or int(limit) >= NO_LIMIT
        found["memory"] = {**memory, "limit": -1 if unlimited else int(limit)}
    return found


def those_of(wanted: dict[str, Any], found: list[resources.Write]) -> list[resources.Write]:
    """Of the writes of what complete() gave, those for fields of `wanted`, by whose names a failure
    is told: the period alone is written with the quota, and the limit is not written for swap."""
    cpu, memory = wanted.get("cpu") or {}, wanted.get("memory") or {}
    kept: list[resources.Write] = []
    for write in found:
        pointer, controller, choices, optional = write
        if pointer == f"{resources.BASE}/cpu/quota" and not cpu.get("quota"):
            kept.append((f"{resources.BASE}/cpu/period", controller, choices, optional))
        elif pointer != f"{resources.BASE}/memory/limit" or memory.get("limit"):
            kept.append(write)
    return kept


def _read(file: str) -> str:
    try:
        return cgroupfs.read(file)
    except OSError as error:
        raise from_os(error, f"read {file}") from None


def _replace_policy(record: dict[str, Any], policy: devices.Policy) -> None:
    by_systemd = record["manager"] == "systemd"

    def tell() -> None:
        from pyrun.cgroup import systemd

        systemd.set_devices(record, policy)

    if "devices" in record["paths"]:
        from pyrun.cgroup import v1

        v1.replace_devices(record, policy, tell if by_systemd else None)
        return
    if by_systemd:
        tell()
    if "" in record["paths"]:
        from pyrun.cgroup import devicefilter

        devicefilter.set_policy(record, policy, fresh=False)
    else:
        raise Error(
            "device rules cannot be enforced: the devices controller is not available",
            devices.BASE,
            ABSENT,
        )
