# SPDX-License-Identifier: Apache-2.0
"""The template that `exec` leaves: runtime/launcher/template.h draws it.

Its pattern is a text of the launcher's own making (runtime/launcher/exec.c): the container's
version of cgroups and its namespaces, the caller's umask, the container's record for `exec`, and
the arguments or the file of --process. The plan is compiled a second time, of that text alone, with
marks in place of what may differ; with the strings of this process put back it must be the one by
which that has joined.
"""

from __future__ import annotations

import os

from pyrun import exec_process, exec_record, jsonscan, shortcut, template_file
from pyrun.cgroup import procs
from pyrun.compile import exec_order, joining
from pyrun.living import FILES
from pyrun.template_shape import (
    ID,
    LONGEST,
    PID,
    TEXT,
    Shape,
    UnfitError,
    is_plain,
    mark,
    places,
    process_holes,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.execution import Execution
    from pyrun.types import Config, Facts, Step

TEXTS = 16  # enum template_text
PATTERN, TITLE, SCORE = 0, 3, 13


def make(execution: Execution) -> bytes:
    """The file for what is like this process. Raises UnfitError, Error, OSError."""
    record = execution.container.intent["cgroup"]
    if execution.entry.directories != procs.directories(record):
        raise UnfitError("it goes to another cgroup than the container's own")
    description = Description(execution)
    shape = description.shape
    config, facts, steps = description.compile()
    if shape.fill(steps) != execution.steps:
        raise UnfitError("the compiler has looked into a hole")
    donated = joining.donations(config, facts)
    joined = [entry[-1] for entry in donated if entry[0] == "namespace"]
    texts = [b""] * TEXTS
    score = config["process"].get("oomScoreAdj")
    texts[PATTERN] = os.fsencode(shape.text)
    texts[TITLE] = f"pyrun:exec {mark(ID)}".encode()
    texts[SCORE] = b"" if score is None else str(score).encode()
    return template_file.assemble(
        shape,
        texts,
        [],
        (joined, [], []),
        template_file.plan_of(steps, len(donated)),
        flags=template_file.EXEC | (template_file.INTO if execution.entry.unified else 0),
        capabilities=facts["capabilities"],
    )


class Description:
    """The text by which the launcher knows what is of the same shape, in four parts."""

    def __init__(self, execution: Execution) -> None:
        """Raises UnfitError, Error."""
        self.execution = execution
        frozen, legacy = shortcut.frozen_file(execution.container.intent["cgroup"])
        layout = "v1" if legacy else "v2" if frozen else "none"
        kinds = "".join(f" {FILES[entry['type']]}" for entry in execution.living.namespaces)
        self.head = f"{layout}{kinds}\n{execution.opts['umask']}\n"
        line, self.filter = map(os.fsdecode, exec_record.raw(execution.container))
        found = places(line, process_holes(execution.own, ("process",)), len(self.head))
        before = f"{self.head}{line}\n{self.filter}\n"
        if execution.opts["process"]:
            before += "process "
            file = execution.file.decode()
            found += places(file, process_holes(execution.config["process"]), len(before))
            text = before + file
        else:
            text, more = _words(f"{before}args", execution.config["process"]["args"])
            found += more
        if "Qz" in text:
            raise UnfitError("it has marks of its own")
        self.shape = Shape(text, found)
        values = {mark(ID): execution.container.id, mark(PID): str(execution.living.pid)}
        self.shape.values |= values

    def compile(self) -> tuple[Config, Facts, list[Step]]:
        """Config, facts and plan of the text, in which marks stand for what may differ."""
        execution, opts, file = self.execution, self.execution.opts, b""
        line, _, rest = self.shape.text.removeprefix(self.head).partition("\n")
        record: Any = jsonscan.loads(os.fsencode(line), "record")
        rest = rest.removeprefix(f"{self.filter}\n")
        if opts["process"]:
            file = rest.removeprefix("process ").encode()
        else:
            words = rest.removeprefix('args "').removesuffix('"').split('" "')
            opts = {**opts, "args": tuple(words)}
        config: Config = {
            "process": exec_process.wanted(opts, record["process"], file),
            "linux": {**record["linux"], "namespaces": _namespaces(execution)},
            "annotations": record["annotations"],
        }
        facts: Facts = {**execution.facts, "id": mark(ID)}
        return config, facts, exec_order.compile_exec(config, facts)


def _words(text: str, words: list[str]) -> tuple[str, list[tuple[int, int, int, int]]]:
    """`text` with the arguments behind it, and where all but the program are."""
    if not all(map(is_plain, words)) or words[0].startswith("-"):
        raise UnfitError("an argument that is not plain")
    found = []
    for word in words:
        found.append((len(text) + 2, len(text) + 2 + len(word), TEXT, LONGEST))
        text += f' "{word}"'
    return text, found[1:]


def _namespaces(execution: Execution) -> list[Config]:
    """As living.py has them, of any init."""
    return [
        {"type": entry["type"], "path": f"/proc/{mark(PID)}/ns/{FILES[entry['type']]}"}
        for entry in execution.living.namespaces
    ]
