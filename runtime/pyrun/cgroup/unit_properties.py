# SPDX-License-Identifier: Apache-2.0
"""The properties of a container's unit, as its StartTransientUnit has them: pure. systemd.scope(5),
systemd.resource-control(5), org.freedesktop.systemd1(5).

systemd sets the limits that are its own anew when it likes to (daemon-reload), so it has to know
them. The files that it has no property for, and what it rounds, are written after it.
"""

from __future__ import annotations

from pyrun.cgroup import devices, gvariant
from pyrun.cgroup.units import SLICE
from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cgroup.gvariant import Value
    from pyrun.cgroup.resources import Write

    Properties = dict[str, Value]

INFINITY = (1 << 64) - 1  # systemd's, of any amount
ANNOTATION = "org.systemd.property."
# What the runtime itself says of the unit, and no annotation may.
OURS = ("PIDs", "Slice", "DevicePolicy", "DeviceAllow")
CPU_QUOTA_STEP = 10_000  # microseconds a second: systemd's smallest
AMOUNTS = {
    "memory.max": "MemoryMax",
    "memory.high": "MemoryHigh",
    "memory.low": "MemoryLow",
    "memory.min": "MemoryMin",
    "memory.swap.max": "MemorySwapMax",
    "memory.zswap.max": "MemoryZSwapMax",
    "memory.limit_in_bytes": "MemoryLimit",
    "pids.max": "TasksMax",
    "cpu.weight": "CPUWeight",
    "cpu.shares": "CPUShares",
    "io.weight": "IOWeight",
    "blkio.weight": "BlockIOWeight",
}
SETS = {"cpuset.cpus": "AllowedCPUs", "cpuset.mems": "AllowedMemoryNodes"}
QUOTA = ("cpu.cfs_quota_us", "cpu.cfs_period_us")  # of v1; in v2 they are one file
# Unknown to systemd 239, the oldest that is in use, or not with all values.
YOUNG = (
    "AllowedCPUs", "AllowedMemoryNodes", "CPUQuotaPeriodUSec", "CPUWeight", "MemoryMin",
    "MemoryZSwapMax", "OOMPolicy",
)  # fmt: skip
MOST_NUMBERS = 1 << 16  # of CPUs or memory nodes in a set


def of_unit(record: dict[str, Any], container_id: str, pid: int) -> Properties:
    """What makes the unit a container's: a scope with its first process, or a slice."""
    found: Properties = {
        "Description": ("s", f"pyrun container {container_id}"),
        "DefaultDependencies": ("b", False),
    }
    if record["unit"].endswith(SLICE):  # its own name says which slice it is in
        found["Wants"] = ("as", [record["slice"]])
    else:
        found["Slice"] = ("s", record["slice"])
        found["Delegate"] = ("b", True)
        found["PIDs"] = ("au", [pid])
    # BlockIO is v1's, where systemd listens to nothing of that once IO is in use.
    block = "IO" if record["layout"] == "v2" else "BlockIO"
    for name in ("CPU", "Memory", block, "Tasks"):
        found[f"{name}Accounting"] = ("b", True)
    return found


def of_resources(writes: list[Write], unified: bool = True, bfq: bool = False) -> Properties:
    """The limits that systemd knows, of the writes of `resources`; a later one wins there too.
    `bfq`: there is a file io.bfq.weight, into which systemd writes a smaller one of IOWeight."""
    found: Properties = {}
    quota: dict[str, str] = {}
    for _, _, choices, _ in writes:
        for file, value in choices:
            amount = value.removeprefix("default ")  # of io.weight
            if file == "io.bfq.weight" and bfq and amount.isdecimal():
                found["IOWeight"] = ("t", of_bfq(int(amount)))
                break  # it is written instead of io.weight
            if file in AMOUNTS and (amount in ("max", "-1") or amount.isdecimal()):
                most = amount in ("max", "-1")
                found[AMOUNTS[file]] = ("t", INFINITY if most else int(amount))
            elif file == "cpu.max":
                found |= _cpu_max(value)
            elif file in QUOTA:
                quota[file] = "max" if value == "-1" else value
                found |= _cpu_max(f"{quota.get(QUOTA[0], 'max')} {quota.get(QUOTA[1], '100000')}")
            elif file == "cpu.idle" and value == "1" and unified:
                found["CPUWeight"] = ("t", 0)
            elif file == "memory.oom.group":
                found["OOMPolicy"] = ("s", "kill" if value == "1" else "continue")
            elif file in SETS and unified and (mask := _mask(value)):
                found[SETS[file]] = ("ay", mask)
    return found


def of_bfq(weight: int) -> int:
    """The IOWeight (1…10000) of which systemd makes this io.bfq.weight (1…1000)."""
    return weight if weight <= 100 else 100 + (weight - 100) * 11


def _cpu_max(value: str) -> Properties:
    """Microseconds of CPU time a second, a little more rather than less than was asked for. A value
    that the kernel will not take is left to it."""
    quota, _, period = value.partition(" ")
    period = period or "100000"
    if not period.isdecimal() or not int(period) or not (quota == "max" or quota.isdecimal()):
        return {}
    each_second = INFINITY
    if quota != "max":
        steps = -(-(int(quota) * 1_000_000 // int(period)) // CPU_QUOTA_STEP)
        each_second = steps * CPU_QUOTA_STEP
    return {
        "CPUQuotaPerSecUSec": ("t", each_second),
        "CPUQuotaPeriodUSec": ("t", int(period)),
    }


def _mask(text: str) -> list[int]:
    """Such as "0-2,8" as bytes of a bit mask, the lowest first; [] for what is no such list."""
    mask = 0
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal() and int(last) < MOST_NUMBERS):
            return []
        for number in range(int(first), int(last) + 1):
            mask |= 1 << number
    return list(mask.to_bytes((mask.bit_length() + 7) // 8, "little"))


def of_devices(wanted: devices.Policy, majors: dict[str, str], apart: bool = True) -> Properties:
    """The device policy, where systemd has words for all of it. `majors` is {"c 136": "pts", ...}:
    the names that /proc/devices has for major numbers.

    On v2 (`apart`) the container's own filter is beside systemd's in any case, and an access needs
    both. On v1 there is one list, which systemd writes anew when it is reloaded: what it has no
    words for is not allowed any more then, and Error is raised where more would be.
    """
    default, exceptions = wanted
    if devices.allows_all(wanted):
        return {"DevicePolicy": ("s", "auto")}
    if default and not apart:
        raise Error(
            "systemd can't except devices from all that are allowed, and would allow these at its"
            " next reload",
            devices.BASE,
            "deny all, and allow some; or leave out --systemd-cgroup",
        )
    entries: list[tuple[str, str]] = []
    for (kind, major, minor), (bits, _) in exceptions.items():
        folder = {"c": "char", "b": "block"}[kind]
        if devices.ANY not in (major, minor):
            place = f"/dev/{folder}/{major}:{minor}"
        elif major == minor:
            place = f"{folder}-*"
        elif minor == devices.ANY and f"{kind} {major}" in majors:
            place = f"{folder}-{majors[f'{kind} {major}']}"
        elif apart:
            # A driver that is not there has no devices either, and comes with no name yet.
            return {}
        else:
            continue
        entries.append((place, "".join(c for c, bit in _ACCESS if bits & bit)))
    if default:  # systemd can't except a device from what it allows
        return {}
    return {"DevicePolicy": ("s", "strict"), "DeviceAllow": ("a(ss)", entries)}


_ACCESS = (("r", devices.READ), ("w", devices.WRITE), ("m", devices.MKNOD))


def majors(text: str) -> dict[str, str]:
    """/proc/devices as {"c 136": "pts", ...}: proc_devices(5)."""
    found: dict[str, str] = {}
    kind = "c"
    for line in text.splitlines():
        number, _, name = line.strip().partition(" ")
        if number.isdecimal():
            found.setdefault(f"{kind} {number}", name)
        elif line.startswith("Block"):
            kind = "b"
    return found


def of_annotations(annotations: dict[str, str]) -> Properties:
    """What `org.systemd.property.NAME` annotations set, in GVariant's text format. A name with the
    suffix Sec takes seconds, which systemd's USec has in microseconds. Raises Error."""
    found: Properties = {}
    for key, text in annotations.items():
        if not key.startswith(ANNOTATION):
            continue
        name = key.removeprefix(ANNOTATION)
        if len(name) < 3 or not (name.isascii() and name.isalpha()):
            raise Error(f'"{name}" is no name of a property', pointer(name), "such as CollectMode")
        if name in OURS:
            raise Error(f"{name} is the runtime's to set", pointer(name), "drop the annotation")
        try:
            value = gvariant.parse(text)
            if name.endswith("Sec") and name[-4].islower():
                name, value = f"{name[:-3]}USec", _microseconds(value)
        except ValueError as error:
            raise Error(
                f"{text!r}: {error}", pointer(name), "GVariant text: 'x', true, 5"
            ) from None
        found[name] = value
    return found


def pointer(name: str) -> str:
    """Of the annotation that sets a property."""
    return f"/annotations/{ANNOTATION}{name}"


def _microseconds(value: Value) -> Value:
    if value[0] not in (*gvariant.LIMITS, "d") or not 0 <= value[1] <= INFINITY // 1_000_000:
        raise ValueError("seconds are a number")
    return "t", int(value[1] * 1_000_000)
