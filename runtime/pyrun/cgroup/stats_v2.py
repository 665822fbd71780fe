# SPDX-License-Identifier: Apache-2.0
"""Statistics of cgroup v2 (cgroup-v2.rst) in the shape that runc has for version 1: microseconds
become nanoseconds, and swap is counted with the memory."""

from __future__ import annotations

from pyrun.cgroup.stats_text import (
    UNLIMITED,
    cpuset,
    device,
    given,
    huge_page_sizes,
    number,
    pressure,
    table,
    usage,
    whole,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cgroup.stats_text import Files

# Keys of io.stat -> member of blkio, operation.
IO = {
    "rbytes": ("ioServiceBytesRecursive", "Read"),
    "wbytes": ("ioServiceBytesRecursive", "Write"),
    "rios": ("ioServicedRecursive", "Read"),
    "wios": ("ioServicedRecursive", "Write"),
}


def data(files: Files) -> dict[str, Any]:
    """All of them. Raises OSError as `files` does."""
    limit = _number(files, "pids.max")
    pids = {"current": _number(files, "pids.current"), "limit": 0 if limit == UNLIMITED else limit}
    return whole(
        cpu=_cpu(files),
        cpuset=cpuset(lambda _: 0, [], []),  # as runc, whose members are flags of version 1
        memory=_memory(files),
        pids=given(pids),
        blkio={**given(io(files.text("", "io.stat"))), **_psi(files, "io")},
        hugetlb=_hugetlb(files),
    )


def _number(files: Files, name: str) -> int:
    return number(files.text("", name))


def _psi(files: Files, name: str) -> dict[str, Any]:
    return given({"psi": pressure(files.text("", f"{name}.pressure"))})


def _cpu(files: Files) -> dict[str, Any]:
    stat = table(files.text("", "cpu.stat"))
    return {
        "usage": {
            **given({"total": stat.get("usage_usec", 0) * 1000}),
            "kernel": stat.get("system_usec", 0) * 1000,
            "user": stat.get("user_usec", 0) * 1000,
        },
        "throttling": given(
            {
                "periods": stat.get("nr_periods"),
                "throttledPeriods": stat.get("nr_throttled"),
                "throttledTime": stat.get("throttled_usec", 0) * 1000,
            }
        ),
        **_psi(files, "cpu"),
    }


def _memory(files: Files) -> dict[str, Any]:
    raw = table(files.text("", "memory.stat"))
    limit, current = _number(files, "memory.max"), _number(files, "memory.current")
    swap_limit = _number(files, "memory.swap.max")
    swap = 0
    # Without swap accounting there are no such files, and nothing to add to.
    if swap_limit or files.text("", "memory.swap.max"):
        swap = _number(files, "memory.swap.current") + current
        swap_limit = UNLIMITED if UNLIMITED in (swap_limit, limit) else swap_limit + limit
    return {
        **given({"cache": raw.get("file")}),
        "usage": usage(limit, current, _number(files, "memory.peak"), 0),
        "swap": usage(swap_limit, swap, 0, 0),
        "kernel": usage(0, 0, 0, 0),
        "kernelTCP": usage(0, 0, 0, 0),
        **given({"raw": raw}),
        **_psi(files, "memory"),
    }


def io(text: str) -> dict[str, list[dict[str, Any]]]:
    """io.stat: lines "8:0 rbytes=4096 wbytes=0 ..."."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in text.splitlines():
        name, *pairs = line.split()
        for pair in pairs:
            key, _, value = pair.partition("=")
            if key in IO:
                member, op = IO[key]
                entry = {**device(name), "op": op, **given({"value": int(value)})}
                found.setdefault(member, []).append(entry)
    return found


def _hugetlb(files: Files) -> dict[str, Any]:
    found = {}
    for size in huge_page_sizes(files.names(""), "current"):
        failures = table(files.text("", f"hugetlb.{size}.events")).get("max", 0)
        current = _number(files, f"hugetlb.{size}.current")
        found[size] = {**given({"usage": current}), "failcnt": failures}
    return found
