# SPDX-License-Identifier: Apache-2.0
"""The grammar of the command line, as callers of runc know it, for click's definitions.

One dash or two before any flag name; `--flag value` and `--flag=value`; `--switch=false`; the last
of a repeated flag wins; "--" ends the flags. click's own parser knows neither single-dash long
flags nor a value for a switch. pyrun.cli.hot knows the same grammar; a test holds them together.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import click

from pyrun.errors import GENERIC

if TYPE_CHECKING:
    from collections.abc import Iterable

# What Go's strconv.ParseBool takes.
BOOLS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


class WrongUsage(click.UsageError):
    """A command line that cannot be understood: what is wrong, on one line."""

    exit_code = GENERIC


class UnknownVerb(WrongUsage):
    """A verb that pyrun does not have."""

    exit_code = 3  # as runc


def names(options: Iterable[click.Option]) -> dict[str, click.Option]:
    """The options by each of their names, without dashes."""
    return {word.lstrip("-"): option for option in options for word in option.opts}


def did_you_mean(word: str, known: Iterable[str], prefix: str = "") -> str:
    """A question to append to an error, or nothing when no known word is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.7)
    return f": did you mean {prefix}{near[0]}?" if near else ""


def read(
    ctx: click.Context,
    words: list[str],
    flags: dict[str, click.Option],
    given: dict[str, Any],
    stops: bool,
) -> list[str]:
    """Puts the flags of a command line into `given` one by one; returns the positional words.

    `stops`: the first positional word ends the flags. What was read before a mistake is in `given`
    already: it may name the log where the mistake is reported.
    """
    queue = list(words)
    positionals: list[str] = []
    while queue:
        word = queue.pop(0)
        if word == "--" or (stops and not _is_flag(word)):
            return positionals + queue if word == "--" else [*positionals, word, *queue]
        if not _is_flag(word):
            positionals.append(word)
            continue
        bare, equals, value = word.removeprefix("-").removeprefix("-").partition("=")
        option = flags.get(bare)
        if option is None or option.name is None:
            raise WrongUsage(_unknown(word, flags), ctx)
        if option.callback is not None:
            # --help, --version: does not return
            option.callback(ctx, option, True)  # noqa: FBT003 - click has no name for it
        if option.is_flag:
            given[option.name] = _switch(ctx, option, value if equals else "true")
            continue
        if not equals:
            if not queue:
                # podman probes for a flag by leaving out its value, and looks for these words.
                raise WrongUsage(f"flag needs an argument: {spelled(option)}", ctx)
            value = queue.pop(0)
        given[option.name] = _convert(ctx, option, value, given)
    return positionals


def spelled(option: click.Option) -> str:
    """The option's name as help shows it: its long form."""
    return max(option.opts, key=len)


def _is_flag(word: str) -> bool:
    return word.startswith("-") and word != "-"


def _switch(ctx: click.Context, option: click.Option, value: str) -> bool:
    if value not in BOOLS:
        raise WrongUsage(f"{spelled(option)}: {value!r} is neither true nor false", ctx)
    return BOOLS[value]


def _convert(ctx: click.Context, option: click.Option, value: str, given: dict[str, Any]) -> Any:
    try:
        converted = option.type.convert(value, option, ctx)
    except click.BadParameter as error:
        raise WrongUsage(f"{spelled(option)}: {error.message.rstrip('.')}", ctx) from None
    if option.multiple:
        return (*given.get(option.name or "", ()), converted)
    return converted


def _unknown(word: str, flags: dict[str, click.Option]) -> str:
    name = word.partition("=")[0]
    visible = [bare for bare, option in flags.items() if len(bare) > 1 and not option.hidden]
    return f"unknown flag {name}{did_you_mean(name.lstrip('-'), visible, '--')}"
