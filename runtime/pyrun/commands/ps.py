# SPDX-License-Identifier: Apache-2.0
"""ps: the processes of a container's cgroup, as lines of the host's ps or as a JSON list."""

from __future__ import annotations

import os
import subprocess

from pyrun import init, state
from pyrun.cgroup import procs
from pyrun.errors import Error, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.types import Options

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def run(opts: Options) -> int:
    """Prints them: none is "null" in JSON, as in runc."""
    container = state.require(opts, opts["id"])
    alive = init.is_of_this_boot(container)
    pids = procs.processes(container.intent["cgroup"]) if alive else []
    if opts["format"] == "json":
        text = f"[{','.join(map(str, pids))}]\n" if pids else "null\n"
    else:
        text = lines_of(_table(opts["options"] or ("-ef",)), pids)
    os.write(1, text.encode("utf-8", "surrogateescape"))
    return 0


def _table(options: Sequence[str]) -> str:
    """What the host's ps prints. Raises Error."""
    environment = {**os.environ, "PATH": os.environ.get("PATH") or PATH}
    try:
        found = subprocess.run(
            ["ps", *options],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise from_os(error, "run ps", hint="--format json does without it") from None
    said = found.stderr.decode("utf-8", "replace").strip()
    # Without a word, no process of the host fits the options.
    if found.returncode and said:
        raise Error(f"ps {' '.join(options)}: exit code {found.returncode}: {said}")
    return found.stdout.decode("utf-8", "surrogateescape")


def lines_of(table: str, pids: Sequence[int]) -> str:
    """The heading, and the lines with one of `pids` in the column PID. Raises Error."""
    heading, *lines = table.removesuffix("\n").split("\n")
    if "PID" not in heading.split():
        raise Error("ps prints no column PID", hint="its options must not leave it out")
    column = heading.split().index("PID")
    wanted = set(map(str, pids))
    # A slice: some line may have fewer columns.
    kept = [line for line in lines if wanted.intersection(line.split()[column : column + 1])]
    return "".join(f"{line}\n" for line in [heading, *kept])
