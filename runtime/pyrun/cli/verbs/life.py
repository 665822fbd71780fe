# SPDX-License-Identifier: Apache-2.0
"""The verbs that make a container, change it and end it."""

from __future__ import annotations

import click

from pyrun.cli.program import Flag, OptionalArgument, Verb, switch
from pyrun.cli.verbs.entering import EXEC
from pyrun.cli.verbs.flags import NUMBER, container_id, making, new_id, regex, trace
from pyrun.cli.verbs.limits import limits

SECTION = "Life of a container"

VERBS = [
    Verb(
        "create",
        "Create a container: everything up to its own program, which waits for start.",
        section=SECTION,
        example="pyrun create --bundle /srv/web web",
        params=[*making(), new_id()],
    ),
    Verb(
        "start",
        "Start the program of a created container.",
        section=SECTION,
        example="pyrun start web",
        params=[trace(), container_id()],
    ),
    Verb(
        "run",
        "Create a container, start it, and wait for it to end.",
        "The exit code is that of the container's program, or 128 and the number of the signal"
        " that killed it.",
        section=SECTION,
        example="pyrun run --bundle /srv/web web",
        params=[
            *making(),
            switch(
                "-d", "--detach", section="Running", help="Do not wait: return once it has started."
            ),
            switch("--keep", section="Running", help="Do not delete the container after it ends."),
            new_id(),
        ],
    ),
    Verb(
        "wait",
        "Wait for a container to end, whoever started it.",
        "The exit code is that of the container's program, or 128 and the number of the signal"
        " that killed it; 125 when that is not known, or the container is not. What it finds is on"
        " record for who asks again.",
        section=SECTION,
        example="pyrun wait web",
        params=[
            switch("--json", help="Print it, as {id, code, signal}; null for the unknown."),
            container_id(),
        ],
    ),
    EXEC,
    Verb(
        "kill",
        "Send a signal to a container's init: TERM, unless another is named.",
        "SIGNAL is a name, with or without SIG, or a number.",
        section=SECTION,
        example="pyrun kill web HUP",
        params=[
            switch("-a", "--all", help="Signal every process of the container."),
            regex(),
            container_id(),
            OptionalArgument("signal", "SIGTERM"),
        ],
        stops=True,
    ),
    Verb(
        "delete",
        "Delete a container that has stopped, and all that was made for it.",
        section=SECTION,
        example="pyrun delete --force web",
        params=[
            switch(
                "-f", "--force", help="Kill it first; no error when there is no such container."
            ),
            Flag(
                "--init",
                metavar="PID",
                type=NUMBER,
                hidden=True,
                help="Only if that was its init: what `run` gives, which deletes at the end.",
            ),
            regex(),
            container_id(),
        ],
    ),
    Verb(
        "pause",
        "Freeze all processes of a container where they are.",
        section=SECTION,
        example="pyrun pause web",
        params=[container_id()],
    ),
    Verb(
        "resume",
        "Let the processes of a paused container go on.",
        section=SECTION,
        example="pyrun resume web",
        params=[container_id()],
    ),
    Verb(
        "update",
        "Change the limits of a container; what is not named stays as it is.",
        "When one cannot be set, all are as they were before.",
        section=SECTION,
        example="pyrun update --memory 512M --pids-limit 100 web",
        params=[*limits(), container_id()],
    ),
    Verb(
        "mounts",
        "Mount into a container that runs, or take that away again.",
        "FILE (-: standard input) has a JSON array of mounts, as in config.json: all of them are"
        " made, or none. remove takes away what add has put at their destinations.",
        section=SECTION,
        example="pyrun mounts add web mounts.json",
        params=[
            click.Argument(["action"], metavar="add|remove"),
            container_id(),
            click.Argument(["file"]),
        ],
    ),
]
