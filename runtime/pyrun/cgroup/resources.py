# SPDX-License-Identifier: Apache-2.0
"""linux.resources as values of control files, for v1 and v2: every conversion, pure.

A write is (pointer, controller, choices, optional): `choices` are pairs (file, value) of which the
first file that exists is written; `optional` says that none existing is no failure. The order of
the list is the order in which the kernel accepts the values in a fresh cgroup. A value of 0, an
empty string or an empty list means "unset" wherever engines send it for that.
"""

from __future__ import annotations

from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    from pyrun.types import Problem

    Write: TypeAlias = tuple[str, str, tuple[tuple[str, str], ...], bool]

BASE = "/linux/resources"
BACK_AT_0 = ("burst", "idle")  # of cpu: 0 takes it back; without the file there is nothing to take
# Files of a cgroup by which its processes are moved, stopped or killed: the init as well, so that a
# create would never end.
NO_LIMITS = ("cgroup.procs", "cgroup.threads", "cgroup.freeze", "cgroup.kill")
V1_ONLY = "this is a feature of cgroup v1 that v2 does not have"


def writes(resources: dict[str, Any], unified: bool) -> list[Write]:
    """The writes that set `resources` (without devices) on v2 (`unified`) or on v1.

    `resources` is config.json's linux.resources; fields that the spec does not know are ignored, as
    it asks. Raises Error, with the field, for a value that cannot be honoured.
    """
    return v2(resources) if unified else v1(resources)


def v1(resources: dict[str, Any]) -> list[Write]:
    """The writes for v1 hierarchies."""
    found = _cpu_v1(resources.get("cpu") or {})
    found += _memory_v1(resources.get("memory") or {})
    found += _pids(resources.get("pids") or {})
    found += _block(resources.get("blockIO"))
    found += _hugepages(
        resources.get("hugepageLimits") or [], ("limit_in_bytes", "rsvd.limit_in_bytes")
    )
    network = resources.get("network") or {}
    if network.get("classID"):
        pointer = f"{BASE}/network/classID"
        found.append(entry(pointer, "net_cls", "net_cls.classid", network["classID"]))
    for index, item in enumerate(network.get("priorities") or []):
        pointer = f"{BASE}/network/priorities/{index}"
        value = f"{item['name']} {item['priority']}"
        found.append(entry(pointer, "net_prio", "net_prio.ifpriomap", value))
    found += _rdma(resources.get("rdma") or {})
    if resources.get("unified"):
        raise Error(
            "this host has its controllers in cgroup v1, where `unified` has no meaning",
            f"{BASE}/unified",
            "use the fields memory, cpu, pids, …",
        )
    return found


def v2(resources: dict[str, Any]) -> list[Write]:
    """The writes for the unified hierarchy; `unified` comes last, so that it has the last word."""
    found = _cpu_v2(resources.get("cpu") or {})
    found += _memory_v2(resources.get("memory") or {})
    found += _pids(resources.get("pids") or {})
    found += _block(resources.get("blockIO"), "v2")
    found += _hugepages(resources.get("hugepageLimits") or [], ("max", "rsvd.max"))
    network = resources.get("network") or {}
    for field in ("classID", "priorities"):
        if network.get(field):
            raise Error(f"network {field}: {V1_ONLY}", f"{BASE}/network/{field}")
    found += _rdma(resources.get("rdma") or {})
    found += _unified(resources.get("unified") or {})
    return found


def left_out(resources: dict[str, Any]) -> list[Problem]:
    """(pointer, message) of limits that are "NOT RECOMMENDED" in config-linux.md and gone from the
    kernel: to be logged as a warning."""
    memory = resources.get("memory") or {}
    return [
        (f"{BASE}/memory/{name}", "is ignored: kernels count this memory in memory.limit")
        for name in ("kernel", "kernelTCP")
        if (memory.get(name) or 0) > 0
    ]


def entry(pointer: str, controller: str, file: str, value: object, optional: bool = False) -> Write:
    """The write of one value into one file."""
    return (pointer, controller, ((file, str(value)),), optional)


def cpu_weight(shares: int) -> int:
    """cpu.shares (2…262144) as cpu.weight (1…10000), 0 as 0 (unset).

    The curve is quadratic in log2: it maps the minimum, the default (1024 → 100) and the maximum
    of one scale to those of the other, which the linear formula of old did not.
    """
    if shares == 0:
        return 0
    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    log = _log2(shares)
    weight = 10 ** ((log * log + 125 * log) / 612 - 7 / 34)
    return int(weight) + (weight > int(weight))


def _log2(number: int) -> float:
    # By repeated squaring: importing math costs more than this on the hot path.
    whole = number.bit_length() - 1
    rest, result, bit = number / (1 << whole), float(whole), 0.5
    while bit > 1e-16:
        rest *= rest
        if rest >= 2:
            rest /= 2
            result += bit
        bit /= 2
    return result


def swap_max(swap: int, limit: int) -> str:
    """The value of memory.swap.max for `swap` (memory + swap) and `limit`; "" leaves it alone."""
    pointer = f"{BASE}/memory/swap"
    if limit == -1 and swap == 0:
        return "max"  # "unlimited memory" means unlimited swap too, as it does on v1
    if swap <= 0:
        return "max" if swap else ""
    if limit == -1:
        return str(swap)
    _check_swap(swap, limit, pointer)
    return str(swap - limit)


def _check_swap(swap: int, limit: int, pointer: str) -> None:
    if limit == 0:
        raise Error(
            "unable to set swap limit without memory limit", pointer, "set memory.limit as well"
        )
    if swap < limit:
        raise Error(
            f"memory+swap limit should be >= memory limit: {swap} < {limit}",
            pointer,
            "swap is the sum of memory and swap",
        )


def _cpu_v1(cpu: dict[str, Any]) -> list[Write]:
    base = f"{BASE}/cpu"
    _check_burst(cpu)
    found: list[Write] = []
    shares = cpu.get("shares") or 0
    if shares and not 2 <= shares <= 262144:
        edge = "minimum allowed cpu-shares is 2" if shares < 2 else ""
        raise Error(f"the {edge or 'maximum allowed cpu-shares is 262144'}", f"{base}/shares")
    for field, file in (
        ("shares", "cpu.shares"),
        ("period", "cpu.cfs_period_us"),
        ("quota", "cpu.cfs_quota_us"),
        ("burst", "cpu.cfs_burst_us"),  # not more than the quota, so after it
        ("realtimePeriod", "cpu.rt_period_us"),
        ("realtimeRuntime", "cpu.rt_runtime_us"),
        ("idle", "cpu.idle"),  # an idle group refuses a new cpu.shares, so last
    ):
        value = cpu.get(field)
        if value or (value == 0 and field in BACK_AT_0):
            found.append(entry(f"{base}/{field}", "cpu", file, value, optional=not value))
    return found + _cpuset(cpu)


def _cpu_v2(cpu: dict[str, Any]) -> list[Write]:
    base = f"{BASE}/cpu"
    _check_burst(cpu)
    found: list[Write] = []
    for field in ("realtimeRuntime", "realtimePeriod"):
        if cpu.get(field):
            raise Error(f"cpu {field}: {V1_ONLY}", f"{base}/{field}")
    weight = cpu_weight(cpu.get("shares") or 0)
    if weight:
        found.append(entry(f"{base}/shares", "cpu", "cpu.weight", weight))
    quota, period = cpu.get("quota") or 0, cpu.get("period") or 0
    if quota or period:
        value = f"{quota if quota > 0 else 'max'} {period or 100000}"
        pointer = f"{base}/{'quota' if quota else 'period'}"
        found.append(entry(pointer, "cpu", "cpu.max", value))
    # The burst is not more than the quota, so it comes after it; an idle group refuses a new
    # cpu.weight, so that is last.
    for field, file in (("burst", "cpu.max.burst"), ("idle", "cpu.idle")):
        amount = cpu.get(field)
        if amount is not None:
            found.append(entry(f"{base}/{field}", "cpu", file, amount, optional=not amount))
    return found + _cpuset(cpu)


def _check_burst(cpu: dict[str, Any]) -> None:
    burst, quota = cpu.get("burst") or 0, cpu.get("quota") or 0
    if burst > quota > 0:
        raise Error(
            f"burst is more than quota: {burst} > {quota}",
            f"{BASE}/cpu/burst",
            "quota is what may be used in each period, burst what may be saved up besides",
        )


def _cpuset(cpu: dict[str, Any]) -> list[Write]:
    return [
        entry(f"{BASE}/cpu/{field}", "cpuset", f"cpuset.{field}", cpu[field])
        for field in ("cpus", "mems")
        if cpu.get(field)
    ]


def _check_memory(memory: dict[str, Any]) -> None:
    for field in ("limit", "reservation", "swap"):
        if (memory.get(field) or 0) < -1:
            raise Error(
                f"{memory[field]} is no amount of memory", f"{BASE}/memory/{field}", "-1 = no limit"
            )
    if memory.get("useHierarchy") is False:
        raise Error(
            "no kernel since 5.11 can account a cgroup without those below it",
            f"{BASE}/memory/useHierarchy",
            "leave it out",
        )


def _memory_v1(memory: dict[str, Any]) -> list[Write]:
    # kernel and kernelTCP: see left_out(). checkBeforeUpdate is what the kernel does here anyway.
    base = f"{BASE}/memory"
    _check_memory(memory)
    found: list[Write] = []
    limit, swap = memory.get("limit") or 0, memory.get("swap") or 0
    if swap > 0 and limit != -1:
        _check_swap(swap, limit, f"{base}/swap")
    if limit:  # before memsw: the kernel keeps limit <= memsw
        found.append(entry(f"{base}/limit", "memory", "memory.limit_in_bytes", limit))
    if swap:
        found.append(entry(f"{base}/swap", "memory", "memory.memsw.limit_in_bytes", swap, swap < 0))
    elif limit == -1:
        found.append(
            entry(f"{base}/limit", "memory", "memory.memsw.limit_in_bytes", -1, optional=True)
        )
    if memory.get("reservation"):
        value = memory["reservation"]
        found.append(entry(f"{base}/reservation", "memory", "memory.soft_limit_in_bytes", value))
    if (
        disabled := memory.get("disableOOMKiller")
    ) is not None:  # false takes it back, in an update
        value = int(disabled)
        pointer = f"{base}/disableOOMKiller"
        found.append(entry(pointer, "memory", "memory.oom_control", value, not disabled))
    value = _swappiness(memory)
    if value is not None:
        found.append(entry(f"{base}/swappiness", "memory", "memory.swappiness", value))
    return found


def _swappiness(memory: dict[str, Any]) -> int | None:
    value: int | None = memory.get("swappiness")
    # -1, also as the uint64 that the field is, is how engines have long spelled "unset".
    if value is None or value in (-1, (1 << 64) - 1):
        return None
    if not 0 <= value <= 100:
        raise Error(
            f"swappiness {value} is not in 0…100",
            f"{BASE}/memory/swappiness",
            "leave it out to inherit the host's",
        )
    return value


def _memory_v2(memory: dict[str, Any]) -> list[Write]:
    base = f"{BASE}/memory"
    _check_memory(memory)
    asked = {
        "disableOOMKiller": memory.get("disableOOMKiller"),
        "swappiness": _swappiness(memory) is not None,
    }
    for field, value in asked.items():
        if value:
            raise Error(f"memory {field}: {V1_ONLY}", f"{base}/{field}", "leave it out")
    found: list[Write] = []
    limit = memory.get("limit") or 0
    swap = swap_max(memory.get("swap") or 0, limit)
    if swap:  # without swap accounting, "no swap" and "any swap" are already true
        pointer = f"{base}/{'swap' if memory.get('swap') else 'limit'}"
        found.append(entry(pointer, "memory", "memory.swap.max", swap, swap in ("0", "max")))
    if limit:
        found.append(entry(f"{base}/limit", "memory", "memory.max", _or_max(limit)))
    if memory.get("reservation"):
        value = _or_max(memory["reservation"])
        found.append(entry(f"{base}/reservation", "memory", "memory.low", value))
    return found


def _or_max(value: int) -> str:
    return "max" if value < 0 else str(value)


def _pids(pids: dict[str, Any]) -> list[Write]:
    limit = pids.get("limit")
    if limit is None:
        return []
    # 0 is a limit like any other (spec 1.3): no task but the init, and so the least that works.
    value = "max" if limit < 0 else str(limit or 1)
    return [entry(f"{BASE}/pids/limit", "pids", "pids.max", value)]


def _block(block: dict[str, Any] | None, layout: str = "v1") -> list[Write]:
    if not block:
        return []
    from pyrun.cgroup import block_io

    return block_io.v2(block) if layout == "v2" else block_io.v1(block)


def _hugepages(limits: list[dict[str, Any]], suffixes: tuple[str, str]) -> list[Write]:
    found: list[Write] = []
    for index, item in enumerate(limits):
        pointer, size = f"{BASE}/hugepageLimits/{index}", item["pageSize"]
        if not size.isalnum():
            raise Error(f'"{size}" is no size of a page', f"{pointer}/pageSize", "such as 2MB")
        for suffix in suffixes:  # reservations are accounted since 5.7, where configured
            file = f"hugetlb.{size}.{suffix}"
            found.append(entry(pointer, "hugetlb", file, item["limit"], "rsvd" in suffix))
    return found


def _rdma(devices: dict[str, dict[str, Any]]) -> list[Write]:
    found: list[Write] = []
    for device, limits in devices.items():
        words = [device]
        for field, key in (("hcaHandles", "hca_handle"), ("hcaObjects", "hca_object")):
            if limits.get(field) is not None:
                words.append(f"{key}={limits[field]}")
        found.append(entry(f"{BASE}/rdma/{_token(device)}", "rdma", "rdma.max", " ".join(words)))
    return found


def _unified(unified: dict[str, str]) -> list[Write]:
    found: list[Write] = []
    for file, text in unified.items():
        pointer = f"{BASE}/unified/{_token(file)}"
        # A file of this cgroup, never of another one (GHSA-5g49-rx9x-qfc6).
        if "/" in file or "\0" in file or file.startswith(".") or "." not in file:
            raise Error(f'"{file}" is no name of a cgroup file', pointer, "such as memory.high")
        if file in NO_LIMITS:
            raise Error(f"{file} is no limit: it acts on processes", pointer, "drop it")
        controller = file.partition(".")[0]
        for line in text.split("\n"):
            if line:
                found.append(
                    entry(pointer, "" if controller == "cgroup" else controller, file, line)
                )
    return found


def _token(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
