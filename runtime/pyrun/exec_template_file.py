# SPDX-License-Identifier: Apache-2.0
"""The template that `exec` leaves in a container's folder: runtime/launcher/template.h draws it.

Its pattern is a text of the launcher's own making (runtime/launcher/exec.c): which init it is, the
caller's umask, and the arguments or the file of --process. The plan is compiled a second time, with
marks in place of what may differ; with the strings of this process put back it must be the one by
which that has joined.
"""

from __future__ import annotations

import os

from pyrun import exec_process, exec_template, template_file
from pyrun.compile import exec_order, joining
from pyrun.living import FILES
from pyrun.template_shape import (
    LONGEST,
    TEXT,
    Shape,
    UnfitError,
    is_plain,
    places,
    process_holes,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.execution import Execution
    from pyrun.types import Config, Step

TEXTS = 14  # enum template_text
PATTERN, TITLE, SCORE = 0, 3, 13


def store(execution: Execution) -> None:
    """Put it in place. Raises UnfitError, Error, OSError."""
    container = execution.container
    if container.gone():
        raise UnfitError("the container is gone")
    template_file.store(container.path, exec_template.NAME, exec_template.MOST, make(execution))


def make(execution: Execution) -> bytes:
    """The file for what is like this process. Raises UnfitError, Error, OSError."""
    process, unified = execution.config["process"], execution.entry.unified
    shape = _shape(execution)
    steps = _compile(execution, shape)
    if shape.fill(steps) != execution.steps:
        raise UnfitError("the compiler has looked into a hole")
    donated = joining.donations(execution.config, execution.facts)
    joined = [entry[-1] for entry in donated if entry[0] == "namespace"]
    texts = [b""] * TEXTS
    score = process.get("oomScoreAdj")
    texts[PATTERN] = shape.text.encode()
    texts[TITLE] = f"pyrun:exec {execution.container.id}".encode()
    texts[SCORE] = b"" if score is None else str(score).encode()
    directories = execution.entry.directories
    into = template_file.INTO if unified and directories else 0
    return template_file.assemble(
        shape,
        texts,
        _checks(execution),
        (joined, directories, []),
        template_file.plan_of(steps, len(donated)),
        flags=template_file.EXEC | into,
        capabilities=execution.facts["capabilities"],
    )


def _head(execution: Execution) -> str:
    state = execution.container.state
    head = f"init {state['init_process_pid']} {state['init_process_start']}\n"
    return f"{head}umask {execution.opts['umask']}\n"


def _shape(execution: Execution) -> Shape:
    head, process = _head(execution), execution.config["process"]
    if execution.opts["process"]:
        head, text = f"{head}process ", execution.file.decode()
        shape = Shape(head + text, places(text, process_holes(process), len(head)))
    else:
        words = process["args"]
        if not all(map(is_plain, words)) or words[0].startswith("-"):
            raise UnfitError("an argument that is not plain")
        text, found = f"{head}args", []
        for word in words:
            found.append((len(text) + 2, len(text) + 2 + len(word), TEXT, LONGEST))
            text += f' "{word}"'
        shape = Shape(text, found[1:])
    if "Qz" in text:
        raise UnfitError("it has marks of its own")
    return shape


def _compile(execution: Execution, shape: Shape) -> list[Step]:
    """The same again, with marks for what may differ."""
    opts, file = execution.opts, b""
    text = shape.text[len(_head(execution)) :]
    if opts["process"]:
        file = text.removeprefix("process ").encode()
    else:
        words = text.removeprefix('args "').removesuffix('"').split('" "')
        opts = {**opts, "args": tuple(words)}
    process: Config = exec_process.wanted(opts, execution.own, file)
    return exec_order.compile_exec({**execution.config, "process": process}, execution.facts)


def _checks(execution: Execution) -> list[bytes]:
    """What has to be so on the host: nobody is in other namespaces than when it was made, and the
    container is to have what it was made with."""
    pids = ("self", execution.living.pid)
    paths = [f"/proc/{pid}/ns/{file}" for file in FILES.values() for pid in pids]
    found = [template_file.check_same(path) for path in paths if os.path.exists(path)]
    return [*found, template_file.check_unchanged(f"{execution.container.path}/exec")]
