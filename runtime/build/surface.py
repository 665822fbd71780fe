# SPDX-License-Identifier: Apache-2.0
"""The command line as its documents need it: every verb, flag and positional word, from click's
definitions, in plain values. The man pages and the completions are made of it."""

from __future__ import annotations

import re
from typing import NamedTuple

import click

from pyrun.cli.program import ContainerId, Flag, Verb
from pyrun.cli.verbs import PROGRAM

# What a shell offers for a value, by how help names it.
BY_METAVAR = {"DIR": "directory", "DIR[:DIR...]": "directory", "FILE": "file", "SOCKET": "file"}
BY_ARGUMENT = {"signal": "signal", "file": "file"}


class Option(NamedTuple):
    """A flag. `value`: how help names what follows it, "" for a switch; `words`: what that may be,
    where it is one of a few; `offers`: "directory", "file", or "" for what nobody can guess."""

    names: tuple[str, ...]
    value: str
    words: tuple[str, ...]
    offers: str
    help: str
    section: str
    hidden: bool

    @property
    def bare(self) -> list[str]:
        """Its names without dashes."""
        return [name.lstrip("-") for name in self.names]


class Positional(NamedTuple):
    """A word that is no flag. `offers`: "container", "signal", "file" or ""."""

    name: str
    words: tuple[str, ...]
    offers: str
    required: bool
    rest: bool


class Described(NamedTuple):
    """A verb. `stops`: the first positional word ends its flags."""

    name: str
    summary: str
    text: str
    section: str
    example: str
    usage: str
    options: list[Option]
    positionals: list[Positional]
    stops: bool


def _words(param: click.Parameter) -> tuple[str, ...]:
    """Those of its type; or of its name in help, where that is nothing but words."""
    if isinstance(param.type, click.Choice):
        return tuple(map(str, param.type.choices))
    named = param.metavar or ""
    return tuple(named.split("|")) if re.fullmatch(r"[a-z0-9-]+(\|[a-z0-9-]+)+", named) else ()


def _option(option: click.Option) -> Option:
    words = _words(option)
    value = "" if option.is_flag else option.metavar or "|".join(words) or "TEXT"
    section = option.section if isinstance(option, Flag) else "Help"
    return Option(
        tuple(option.opts),
        value,
        words,
        BY_METAVAR.get(value, ""),
        option.help or "",
        section,
        option.hidden,
    )


def _positional(argument: click.Argument) -> Positional:
    name = argument.name or ""
    offers = BY_ARGUMENT.get(name, "")
    if isinstance(argument, ContainerId) and not argument.new:
        offers = "container"
    return Positional(name, _words(argument), offers, argument.required, argument.nargs == -1)


def _context(command: click.Command) -> click.Context:
    return click.Context(command, info_name=command.name, **command.context_settings)


def _help_of(command: click.Command) -> list[Option]:
    option = command.get_help_option(_context(command))
    return [_option(option)] if option else []


def _verb(verb: Verb) -> Described:
    _, _, text = (verb.help or "").partition("\n\n")
    return Described(
        verb.name or "",
        verb.short_help or "",
        text,
        verb.section,
        verb.example,
        " ".join(verb.collect_usage_pieces(_context(verb))),
        [*map(_option, verb.options()), *_help_of(verb)],
        [_positional(argument) for argument in verb.arguments()],
        verb.stops,
    )


GLOBALS = [
    *(_option(param) for param in PROGRAM.params if isinstance(param, click.Option)),
    *_help_of(PROGRAM),
]
# The flags that are options of a verb's run, and so may stand behind it as well.
ANYWHERE = [_option(option) for option in PROGRAM.options()]
VERBS = [_verb(verb) for verb in PROGRAM.commands.values() if isinstance(verb, Verb)]
