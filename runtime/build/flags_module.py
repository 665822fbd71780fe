# SPDX-License-Identifier: Apache-2.0
"""Writes pyrun/_flags.py, the table by which pyrun.cli.hot parses, from the click definitions.

Usage: flags_module.py OUT.py, with PYTHONPATH at the folder of the package and click installed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from pprint import pformat
from typing import Any

import click

from pyrun.cli.grammar import BOOLS
from pyrun.cli.program import Verb, Word, defaults
from pyrun.cli.verbs import PROGRAM
from pyrun.cli.verbs.flags import NUMBER

HEADER = '''\
# SPDX-License-Identifier: Apache-2.0
"""Made by flags_module.py from pyrun/cli/verbs: do not edit.

GLOBALS, and the flags of a verb: name -> (option, kind), where kind is "flag", "text", "texts",
"count" or what each allowed word stands for. VERBS: verb -> (flags, defaults, positionals, how many
of them are required, whether the last takes all the rest, whether the first ends the flags).
"""
'''


def kind(option: click.Option) -> str | dict[str, str]:
    """How the hot path reads the option's value."""
    if option.is_flag:
        return "flag"
    if isinstance(option.type, Word) and not option.multiple:
        return option.type.spellings
    if option.type is NUMBER and not option.multiple:
        return "count"
    if option.type is click.STRING:
        return "texts" if option.multiple else "text"
    raise TypeError(f"{option.opts}: the hot path has no kind for {option.type!r}")


def flags(options: list[click.Option]) -> dict[str, tuple[str, str | dict[str, str]]]:
    """The options by each of their names, without dashes."""
    return {
        word.lstrip("-"): (option.name or "", kind(option))
        for option in options
        for word in option.opts
    }


def verb_entry(verb: Verb) -> tuple[Any, ...]:
    """What VERBS says of one verb."""
    arguments = verb.arguments()
    return (
        flags(verb.options()),
        defaults([*verb.options(), *arguments]),
        tuple(argument.name or "" for argument in arguments),
        sum(argument.required for argument in arguments),
        any(argument.nargs == -1 for argument in arguments),
        verb.stops,
    )


def render() -> str:
    """The text of the module."""
    tables: dict[str, Any] = {
        "BOOLS": BOOLS,
        "DEFAULTS": defaults(PROGRAM.options()),
        "GLOBALS": flags(PROGRAM.options()),
        "VERBS": {
            name: verb_entry(verb)
            for name, verb in PROGRAM.commands.items()
            if isinstance(verb, Verb)
        },
    }
    parts = [f"{name} = {pformat(table, width=96)}\n" for name, table in tables.items()]
    return HEADER + "\n" + "\n".join(parts)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")
