# SPDX-License-Identifier: Apache-2.0
"""Rules between fields of process: of the init, and of a process that `exec` brings in."""

from __future__ import annotations

from pyrun.linux import RLIMITS
from pyrun.schema_check import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrun.types import Config, Problem


def problems(process: Config) -> list[Problem]:
    """Every broken rule of a process whose shape is valid, as (JSON pointer, message)."""
    return [problem for rule in CHECKS for problem in rule({"process": process})]


def working_directory(config: Config) -> Iterator[Problem]:
    process = config.get("process")
    if process is not None and not process["cwd"].startswith("/"):
        yield "/process/cwd", f"must be absolute, not {shown(process['cwd'])}"


def arguments(config: Config) -> Iterator[Problem]:
    """There has to be a program to run; only Windows has commandLine for it."""
    process = config.get("process")
    if process is None:
        return
    if not process.get("args"):
        yield "/process/args", "needs at least one entry: the program to run"
    elif not process["args"][0]:
        yield "/process/args/0", "is the program to run and must not be empty"


def environment(config: Config) -> Iterator[Problem]:
    for index, entry in enumerate(config.get("process", {}).get("env", ())):
        if entry.find("=") < 1:  # none at all, or no name before it
            yield f"/process/env/{index}", f"must be NAME=VALUE, not {shown(entry)}"


def rlimits(config: Config) -> Iterator[Problem]:
    seen = set()
    for index, limit in enumerate(config.get("process", {}).get("rlimits", ())):
        at = f"/process/rlimits/{index}"
        kind = limit["type"]
        if kind not in RLIMITS:
            yield f"{at}/type", f"no such limit on Linux: {shown(kind)}"
        elif kind in seen:
            yield f"{at}/type", f"{kind} is given twice"
        seen.add(kind)
        if limit["soft"] > limit["hard"]:
            yield f"{at}/soft", f"{limit['soft']} is above the hard limit {limit['hard']}"


def console_size(config: Config) -> Iterator[Problem]:
    """The kernel has 16 bits for each (struct winsize); without a terminal the field is ignored."""
    process = config.get("process", {})
    if process.get("terminal"):
        for name, value in process.get("consoleSize", {}).items():
            if name in {"height", "width"} and value > 65535:
                yield f"/process/consoleSize/{name}", f"must be at most 65535, not {value}"


def scheduling(config: Config) -> Iterator[Problem]:
    """Rare fields, whose rules are loaded with the first of them."""
    process = config.get("process", {})
    if "scheduler" in process or "execCPUAffinity" in process:
        from pyrun.compile import scheduling as rules

        yield from rules.problems(config)


def command_line(config: Config) -> Iterator[Problem]:
    """A field that asks for a program to run is not to be passed over."""
    if config.get("process", {}).get("commandLine"):
        yield "/process/commandLine", "is for Windows: use args"


CHECKS = (
    working_directory,
    arguments,
    environment,
    rlimits,
    console_size,
    scheduling,
    command_line,
)
