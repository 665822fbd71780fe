# SPDX-License-Identifier: Apache-2.0
"""The forms of text that control files of cgroups have, and the members that both versions share in
runc's shape: cgroup-v1/*.rst, cgroup-v2.rst and accounting/psi.rst of the kernel."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, Protocol

    class Files(Protocol):
        """stats.ControlFiles, or a test's."""

        def text(self, controller: str, name: str) -> str: ...
        def names(self, controller: str) -> list[str]: ...


CPUSET_FLAGS = (
    "mem_hardwall",
    "mem_exclusive",
    "memory_migrate",
    "memory_spread_page",
    "memory_spread_slab",
    "memory_pressure",
    "sched_load_balance",
    "sched_relax_domain_level",
)
UNLIMITED = 2**64 - 1  # what runc writes for "max"


def given(members: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is 0 or empty."""
    return {name: value for name, value in members.items() if value}


def number(text: str) -> int:
    """A file of one number; 0 where there is no file, UNLIMITED for "max"."""
    text = text.strip()
    return UNLIMITED if text == "max" else int(text or 0)


def table(text: str) -> dict[str, int]:
    """Lines of a key and a number."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}


def numbers(text: str) -> list[int]:
    """A list with ranges: "0-2,5"."""
    found: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first:
            found += range(int(first), int(last or first) + 1)
    return found


def usage(limit: int, current: int, maximum: int, failures: int) -> dict[str, int]:
    """A kind of memory: bytes, and how often its limit was hit."""
    return {"limit": limit, **given({"usage": current, "max": maximum}), "failcnt": failures}


def cpuset(values: Callable[[str], int], cpus: list[int], mems: list[int]) -> dict[str, Any]:
    """`values` has each flag by its name in the files of version 1."""
    return {
        **given({"cpus": cpus}),
        "cpu_exclusive": values("cpu_exclusive"),
        **given({"mems": mems}),
        **{name: values(name) for name in CPUSET_FLAGS},
    }


def device(name: str) -> dict[str, int]:
    """The members of an entry of blkio for "major:minor"."""
    major, _, minor = name.partition(":")
    return given({"major": int(major), "minor": int(minor)})


def pressure(text: str) -> dict[str, dict[str, float]]:
    """A pressure file: of each kind (some, full) shares of the time in percent, and `total` in
    microseconds; {} where there is none."""
    found = {}
    for line in text.splitlines():
        kind, *pairs = line.split()
        values = (pair.split("=") for pair in pairs)
        found[kind] = {
            name: int(value) if name == "total" else float(value) for name, value in values
        }
    return found


def huge_page_sizes(names: Iterable[str], last: str) -> list[str]:
    """The sizes, as in "2MB", by the names of the files hugetlb.SIZE.`last`."""
    parts = (name.split(".", 2) for name in names)
    return [part[1] for part in parts if part[0] == "hugetlb" and part[2:] == [last]]


def whole(**members: Any) -> dict[str, Any]:
    """The data of an event, with the members that pyrun has nothing to say of."""
    return {**members, "intel_rdt": {}, "network_interfaces": None}
