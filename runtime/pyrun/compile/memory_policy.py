# SPDX-License-Identifier: Apache-2.0
"""linux.memoryPolicy: set_mempolicy(2). Loaded for a config that has it."""

from __future__ import annotations

from pyrun import ops
from pyrun.compile.number_list import NODES, mask, numbers
from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts, Problem, Steps

POINTER = "/linux/memoryPolicy"

# linux/mempolicy.h
MODES = {
    "MPOL_DEFAULT": 0,
    "MPOL_PREFERRED": 1,
    "MPOL_BIND": 2,
    "MPOL_INTERLEAVE": 3,
    "MPOL_LOCAL": 4,
    "MPOL_PREFERRED_MANY": 5,
    "MPOL_WEIGHTED_INTERLEAVE": 6,
}
FLAGS = {
    "MPOL_F_STATIC_NODES": 1 << 15,
    "MPOL_F_RELATIVE_NODES": 1 << 14,
    "MPOL_F_NUMA_BALANCING": 1 << 13,
}
WITHOUT_NODES = ("MPOL_DEFAULT", "MPOL_LOCAL")
BALANCED = ("MPOL_BIND", "MPOL_PREFERRED_MANY")


def problems(policy: Config) -> list[Problem]:
    """(pointer, message) of each broken rule between the members: set_mempolicy(2)."""
    mode, flags = policy["mode"], policy.get("flags", ())
    try:
        nodes = numbers(policy.get("nodes", ""), NODES)
    except ValueError as error:
        return [(f"{POINTER}/nodes", str(error))]
    found = []
    if nodes and mode in WITHOUT_NODES:
        found.append((f"{POINTER}/nodes", f"must not be given for {mode}"))
    if not nodes and mode not in (*WITHOUT_NODES, "MPOL_PREFERRED"):
        found.append((f"{POINTER}/nodes", f"must name a node for {mode}"))
    for flag in flags:
        if flag == "MPOL_F_NUMA_BALANCING":
            if mode not in BALANCED:
                text = f"{flag} is for {' and '.join(BALANCED)}"
                found.append((f"{POINTER}/flags", text))
        elif not nodes:
            found.append((f"{POINTER}/flags", f"{flag} needs nodes"))
    if {"MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"} <= set(flags):
        text = "MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other"
        found.append((f"{POINTER}/flags", text))
    return found


def apply(config: Config, facts: Facts) -> Steps:
    """Kept across execve(2) and inherited by every process of the container. Raises Error for
    nodes that the host has not: the kernel would pass over them as long as it has one."""
    policy = config["linux"]["memoryPolicy"]
    flags = policy.get("flags") or ()
    nodes = numbers(policy.get("nodes") or "", NODES)
    known = facts["memory_nodes"]
    missing = sorted(set(nodes) - set(numbers(known, NODES)))
    # relative ones are counted within what the cpuset allows, and wrap around
    if known and missing and "MPOL_F_RELATIVE_NODES" not in flags:
        words = ", ".join(map(str, missing))
        raise Error(
            f"no such memory node on this host: {words}",
            f"{POINTER}/nodes",
            f"it has {known.strip()}",
        )
    mode = MODES[policy["mode"]] | sum({FLAGS[name] for name in flags})
    yield POINTER, ops.set_mempolicy(mode, mask(nodes, facts["byteorder"]))
