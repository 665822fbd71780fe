# SPDX-License-Identifier: Apache-2.0
"""The flags of update: limits, in the words of runc."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyrun.cli.program import Flag

if TYPE_CHECKING:
    import click


def _text(name: str, metavar: str, section: str, why: str) -> Flag:
    return Flag(f"--{name}", metavar=metavar, section=section, help=why)


def limits() -> list[click.Parameter]:
    """The flags of update; it reads numbers and sizes itself, to say what is wrong with them."""
    cpu, memory, rest = "Processors", "Memory", "Other limits"
    return [
        Flag(
            "-r",
            "--resources",
            metavar="FILE",
            section="Resources",
            help="Take them from FILE (-: standard input), JSON as linux.resources is in"
            " config.json; all other flags are ignored.",
        ),
        _text("cpu-share", "N", cpu, "Weight among others, 2 to 262144; 1024 is the usual one."),
        _text("cpu-period", "MICROSECONDS", cpu, "Length of the period that a quota is for."),
        _text("cpu-quota", "MICROSECONDS", cpu, "Time that may be used in a period; -1: any."),
        _text("cpu-burst", "MICROSECONDS", cpu, "Time that may be saved up beyond the quota."),
        _text("cpu-idle", "0|1", cpu, "1: run when nobody else wants to."),
        _text("cpu-rt-period", "MICROSECONDS", cpu, "Period of realtime tasks (cgroup v1)."),
        _text("cpu-rt-runtime", "MICROSECONDS", cpu, "Time of realtime tasks (cgroup v1)."),
        _text("cpuset-cpus", "LIST", cpu, "Processors to run on, such as 0-3,7."),
        _text("cpuset-mems", "LIST", cpu, "Memory nodes to allocate from."),
        _text("memory", "SIZE", memory, "Limit, such as 512M; -1 is none, for swap as well."),
        _text("memory-reservation", "SIZE", memory, "What is spared when memory is short."),
        _text("memory-swap", "SIZE", memory, "Limit of memory and swap together; -1: none."),
        Flag("--kernel-memory", hidden=True, help="Ignored: no kernel has it any more."),
        Flag("--kernel-memory-tcp", hidden=True, help="Ignored: no kernel has it any more."),
        _text("pids-limit", "N", rest, "How many tasks there may be; -1: any number."),
        _text("blkio-weight", "N", rest, "Weight of block I/O, 10 to 1000."),
        _text("l3-cache-schema", "SCHEMA", rest, "Its part of the L3 cache (resctrl)."),
        _text("mem-bw-schema", "SCHEMA", rest, "Its part of the memory bandwidth (resctrl)."),
    ]
