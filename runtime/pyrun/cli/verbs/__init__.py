# SPDX-License-Identifier: Apache-2.0
"""Every verb of pyrun and every flag: the one place where they are defined, a module a section.

The flags' names are those of runc, with crun's where runc has none, so that engines may call pyrun
in place of either. The build makes the hot path's table from these (runtime/build/flags_module.py).
An option arrives in pyrun.commands.<verb>.run() by its long name with "_" for "-"; a text that is
not given is "", a number 0, a switch False.
"""

from __future__ import annotations

from pyrun.cli.program import SETTINGS, Program
from pyrun.cli.verbs import bundles, checkpoints, life, look
from pyrun.cli.verbs.flags import GLOBALS

VERBS = [*life.VERBS, *checkpoints.VERBS, *look.VERBS, *bundles.VERBS]

PROGRAM = Program(
    "pyrun",
    params=GLOBALS,
    commands={verb.name or "": verb for verb in VERBS},
    help="Run OCI containers: each is compiled to a plan, and the plan is executed.",
    context_settings=SETTINGS,
    subcommand_metavar="VERB [ARGS]...",
)
