# SPDX-License-Identifier: Apache-2.0
"""The verbs for bundles, before there is a container."""

from __future__ import annotations

import click

from pyrun.cli.program import Flag, Verb, switch
from pyrun.cli.verbs.flags import bundle, config, layered_root

SECTION = "Bundles"

VERBS = [
    Verb(
        "features",
        "Print what this pyrun can do, as the specification's JSON document for engines.",
        section=SECTION,
        example="pyrun features",
        params=[],
    ),
    Verb(
        "doctor",
        "Tell what this host offers to containers and what it lacks.",
        "One line of advice goes with each gap. The exit code is 1 where no container can run at"
        " all, else 0. Nothing is changed.",
        section=SECTION,
        example="pyrun doctor",
        params=[switch("--json", help="The same as JSON.")],
    ),
    Verb(
        "spec",
        "Write a config.json to start from.",
        section=SECTION,
        example="pyrun spec --bundle /srv/web",
        params=[
            bundle("Folder for the new config.json; the current one by default."),
            Flag(
                "-f",
                "--file",
                metavar="FILE",
                help="Write this, in the same folder, in place of config.json; an old one is lost.",
            ),
            switch("--rootless", help="One that needs no privileges."),
        ],
    ),
    Verb(
        "validate",
        "Check a bundle's config.json and report every problem in it.",
        section=SECTION,
        example="pyrun validate --bundle /srv/web",
        params=[bundle(), config()],
    ),
    Verb(
        "plan",
        "Print what create would do with a bundle, operation by operation.",
        "Each operation stands with the field of config.json that asks for it. Nothing is made.",
        section=SECTION,
        example="pyrun plan --bundle /srv/web",
        params=[
            bundle(),
            config(),
            *layered_root(),
            switch("--json", help="Print the plan as JSON."),
            Flag(
                "--diff",
                metavar="DIR",
                help="Print what is otherwise in the plan of this bundle, as diff does: the exit"
                " code is 1 if anything is, 2 for an error.",
            ),
        ],
    ),
    Verb(
        "trace",
        "Print the ten slowest steps of what --trace has written.",
        "FILE is of create, run, exec or start (-: standard input). It opens in Perfetto, too.",
        section=SECTION,
        example="pyrun trace create.json",
        params=[click.Argument(["file"])],
    ),
]
