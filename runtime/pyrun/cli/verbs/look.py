# SPDX-License-Identifier: Apache-2.0
"""The verbs that show what containers are and do."""

from __future__ import annotations

import click

from pyrun.cli.program import Flag, Verb, Word, switch
from pyrun.cli.verbs.flags import container_id

SECTION = "Looking at containers"

VERBS = [
    Verb(
        "state",
        "Print a container's state as JSON.",
        section=SECTION,
        example="pyrun state web",
        params=[container_id()],
    ),
    Verb(
        "list",
        "List the containers under the root folder.",
        section=SECTION,
        example="pyrun list --format json",
        params=[
            Flag(
                "-f",
                "--format",
                type=Word(["table", "json"]),
                default="table",
                help="Form of the list.",
            ),
            switch("-q", "--quiet", help="Print ids alone."),
        ],
    ),
    Verb(
        "events",
        "Print what a container uses, and when it runs out of memory, as JSON lines.",
        "Ends with the container. Times have a unit: 5s, 1m30s, 100ms.",
        section=SECTION,
        example="pyrun events --interval 10s web",
        params=[
            Flag("--interval", metavar="TIME", default="5s", help="Time between two lines (5s)."),
            switch("--stats", help="Print what it uses now, and return."),
            container_id(),
        ],
    ),
    Verb(
        "top",
        "Show what all containers use, on a screen that is kept up to date.",
        "Ends by q or Ctrl-C. Pressure is the share of the last 10 seconds in which some process"
        " waited for cpu, memory or io.",
        section=SECTION,
        example="pyrun top",
        params=[
            Flag(
                "--interval",
                metavar="TIME",
                default="2s",
                help="Time between two looks, of which the cpu's share is taken (2s).",
            ),
            switch(
                "--once", help="Print one table, and return; so it is where there is no terminal."
            ),
            switch("--json", help="The same as JSON: bytes, percent, and null for the unknown."),
        ],
    ),
    Verb(
        "ps",
        "List the processes of a container.",
        "As a table, they are the lines of the host's ps; words behind ID are options for it.",
        section=SECTION,
        example="pyrun ps web -o pid,comm",
        params=[
            Flag(
                "-f",
                "--format",
                type=Word(["table", "json"]),
                default="table",
                help="Form of the list; json has the pids alone.",
            ),
            container_id(),
            click.Argument(["options"], nargs=-1, required=False),
        ],
        stops=True,
    ),
]
