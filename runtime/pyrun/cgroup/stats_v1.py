# SPDX-License-Identifier: Apache-2.0
"""Statistics of cgroup v1 in runc's shape: cgroup-v1/{cpuacct,memory,blkio-controller}.rst.

On a hybrid host the pressure comes from the v2 tree.
"""

from __future__ import annotations

from pyrun.cgroup.stats_text import (
    cpuset,
    device,
    given,
    huge_page_sizes,
    number,
    numbers,
    pressure,
    table,
    usage,
    whole,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cgroup.stats_text import Files

TICK = 10_000_000  # nanoseconds: USER_HZ, which is 100 for all that reach user space
# Member of blkio -> the last part of its files' names, which may stand for all below with
# "_recursive".
BLKIO = {
    "ioServiceBytesRecursive": "io_service_bytes",
    "ioServicedRecursive": "io_serviced",
    "ioQueueRecursive": "io_queued",
    "ioServiceTimeRecursive": "io_service_time",
    "ioWaitTimeRecursive": "io_wait_time",
    "ioMergedRecursive": "io_merged",
    "ioTimeRecursive": "time",
    "sectorsRecursive": "sectors",
}
# Who counts, the most telling first: each counts only what goes through it.
BLKIO_COUNTERS = ("bfq.{}_recursive", "{}_recursive", "throttle.{}_recursive", "throttle.{}")


def data(files: Files) -> dict[str, Any]:
    """All of them. Raises OSError as `files` does."""
    limit = files.text("pids", "pids.max").strip()
    pids = {
        "current": number(files.text("pids", "pids.current")),
        "limit": 0 if limit == "max" else number(limit),
    }
    return whole(
        cpu=_cpu(files),
        cpuset=_cpuset(files),
        memory=_memory(files),
        pids=given(pids),
        blkio=_blkio(files),
        hugetlb=_hugetlb(files),
    )


def _psi(files: Files, name: str) -> dict[str, Any]:
    return given({"psi": pressure(files.text("", f"{name}.pressure"))})


def _cpu(files: Files) -> dict[str, Any]:
    ticks = table(files.text("cpuacct", "cpuacct.stat"))
    each = [line.split() for line in files.text("cpuacct", "cpuacct.usage_all").splitlines()]
    columns = each[0] if each else []
    spent = {
        name: [int(row[columns.index(name)]) for row in each[1:]]
        for name in ("system", "user")
        if name in columns
    }
    throttling = table(files.text("cpu", "cpu.stat"))
    return {
        "usage": {
            **given(
                {
                    "total": number(files.text("cpuacct", "cpuacct.usage")),
                    "percpu": [
                        int(n) for n in files.text("cpuacct", "cpuacct.usage_percpu").split()
                    ],
                    "percpu_kernel": spent.get("system"),
                    "percpu_user": spent.get("user"),
                }
            ),
            "kernel": ticks.get("system", 0) * TICK,
            "user": ticks.get("user", 0) * TICK,
        },
        "throttling": given(
            {
                "periods": throttling.get("nr_periods"),
                "throttledPeriods": throttling.get("nr_throttled"),
                "throttledTime": throttling.get("throttled_time"),
            }
        ),
        **_psi(files, "cpu"),
    }


def _cpuset(files: Files) -> dict[str, Any]:
    def value(name: str) -> int:
        return number(files.text("cpuset", f"cpuset.{name}"))

    cpus, mems = (numbers(files.text("cpuset", f"cpuset.{name}")) for name in ("cpus", "mems"))
    return cpuset(value, cpus, mems)


def _memory(files: Files) -> dict[str, Any]:
    def kind(prefix: str) -> dict[str, int]:
        names = ("limit_in_bytes", "usage_in_bytes", "max_usage_in_bytes", "failcnt")
        return usage(*(number(files.text("memory", f"memory.{prefix}{name}")) for name in names))

    raw = table(files.text("memory", "memory.stat"))
    return {
        **given({"cache": raw.get("cache")}),
        "usage": kind(""),
        "swap": kind("memsw."),
        "kernel": kind("kmem."),
        "kernelTCP": kind("kmem.tcp."),
        **given({"raw": raw}),
        **_psi(files, "memory"),
    }


def _blkio(files: Files) -> dict[str, Any]:
    found = {}
    for member, last in BLKIO.items():
        for counter in BLKIO_COUNTERS:
            found[member] = entries(files.text("blkio", f"blkio.{counter.format(last)}"))
            if found[member]:
                break
    return {**given(found), **_psi(files, "io")}


def entries(text: str) -> list[dict[str, Any]]:
    """Lines "8:0 Read 4096", or "8:0 4096"; the sum of all devices is left out."""
    found = []
    for line in text.splitlines():
        name, *rest = line.split()
        if ":" in name:
            op = rest[0] if len(rest) > 1 else ""
            found.append({**device(name), **given({"op": op, "value": int(rest[-1])})})
    return found


def _hugetlb(files: Files) -> dict[str, Any]:
    found = {}
    for size in huge_page_sizes(files.names("hugetlb"), "usage_in_bytes"):
        names = ("usage_in_bytes", "max_usage_in_bytes", "failcnt")
        current, most, failures = (
            number(files.text("hugetlb", f"hugetlb.{size}.{name}")) for name in names
        )
        found[size] = {**given({"usage": current, "max": most}), "failcnt": failures}
    return found
