# SPDX-License-Identifier: Apache-2.0
"""How pyrun's verbs are click commands: what a verb declares, how help shows it, how it parses.

The outcome of a parse is (verb, options); nothing runs in here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pyrun.cli import grammar

if TYPE_CHECKING:
    from collections.abc import Sequence

SETTINGS = {"help_option_names": ["-h", "-?", "--help"]}


class Flag(click.Option):
    """An option of the command line, and the section of the help that it belongs to."""

    def __init__(self, *names: str, help: str, section: str = "Options", **rest: Any) -> None:  # noqa: A002
        if "default" not in rest:
            rest["default"] = _nothing(rest)
        super().__init__(list(names), help=help, **rest)
        self.section = section


if TYPE_CHECKING:
    Choice = click.Choice[str]
else:
    Choice = click.Choice  # 8.1 has no parameter for it


class Word(Choice):
    """One of a few words. `also`: other spellings that callers of runc use, and what they mean."""

    def __init__(self, words: Sequence[str], also: dict[str, str] | None = None) -> None:
        super().__init__(words)
        self.spellings = {**{word: word for word in words}, **(also or {})}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(self.spellings.get(value, value), param, ctx)


def switch(*names: str, help: str, **rest: Any) -> Flag:  # noqa: A002
    """A flag that is on when given: False by default."""
    return Flag(*names, help=help, is_flag=True, **rest)


def _nothing(rest: dict[str, Any]) -> Any:
    if rest.get("multiple"):
        return ()
    if rest.get("is_flag"):
        return False
    return 0 if isinstance(rest.get("type"), click.IntRange) else ""


class OptionalArgument(click.Argument):
    """A positional word that may be left out, and what it then is."""

    def __init__(self, name: str, missing: str) -> None:
        super().__init__([name], required=False)
        self.missing = missing


class ContainerId(click.Argument):
    """The id of a container: one that is there, or (`new`) one that the verb gives."""

    def __init__(self, *, new: bool = False) -> None:
        super().__init__(["id"])
        self.new = new


class Verb(click.Command):
    """One verb. `example` is a command line that works; `stops`: the first positional word ends
    the flags, because what follows may look like flags and belongs to something else.
    """

    def __init__(
        self,
        name: str,
        summary: str,
        text: str = "",
        *,
        section: str,
        example: str,
        params: list[click.Parameter],
        stops: bool = False,
    ) -> None:
        help_text = f"{summary}\n\n{text}" if text else summary
        super().__init__(
            name,
            params=params,
            help=help_text,
            short_help=summary,
            context_settings=SETTINGS,
        )
        self.section = section
        self.example = example
        self.stops = stops

    def options(self) -> list[click.Option]:
        """The verb's own flags, --help aside."""
        return [param for param in self.params if isinstance(param, click.Option)]

    def arguments(self) -> list[click.Argument]:
        """The positional words that the verb takes, in order."""
        return [param for param in self.params if isinstance(param, click.Argument)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        program = ctx.find_root()
        assert isinstance(program.command, Program)
        own = [*self.options(), USAGE, *_help_option(self, ctx)]
        known = {**grammar.names(program.command.options()), **grammar.names(own)}
        flags: dict[str, Any] = {}
        try:
            positionals = grammar.read(ctx, args, known, flags, self.stops)
        finally:
            # Also after a mistake: a --log behind the verb tells where to report it.
            before = dict(program.obj)
            program.obj.update(flags)
        ctx.obj = {
            **defaults(program.command.options()),
            **before,
            # A verb's own flag hides the global one of that name.
            **defaults([*self.options(), *self.arguments()]),
            **flags,
            **self._assign(ctx, positionals),
        }
        return []

    def invoke(self, ctx: click.Context) -> tuple[str, dict[str, Any]]:
        assert self.name is not None
        return self.name, ctx.obj

    def _assign(self, ctx: click.Context, positionals: list[str]) -> dict[str, Any]:
        words = list(positionals)
        taken: dict[str, Any] = {}
        for argument in self.arguments():
            assert argument.name is not None
            if argument.nargs == -1:
                taken[argument.name] = tuple(words)
                words = []
            elif words:
                taken[argument.name] = words.pop(0)
            elif argument.required:
                missing = f"{argument.name.upper()} is missing"
                raise grammar.WrongUsage(f"{self.name}: {missing}", ctx)
        if words:
            raise grammar.WrongUsage(f"{self.name}: unexpected argument {words[0]!r}", ctx)
        return taken

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_sections(ctx, formatter, [*self.options(), *_help_option(self, ctx)])
        with formatter.section("Example"):
            formatter.write_text(self.example)
        formatter.write_paragraph()
        formatter.write_text("Global flags work here too: see 'pyrun --help'.")


def _print_usage(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: ARG001
    click.echo(ctx.get_usage())
    ctx.exit(0)


USAGE = Flag(
    "--usage", is_flag=True, hidden=True, callback=_print_usage, help="Print a line, and exit."
)


class Program(click.Group):
    """All verbs, and the flags that go with any of them."""

    def options(self) -> list[click.Option]:
        """The global flags that are options of a verb's run: not --help, not --version."""
        return [
            param
            for param in self.params
            if isinstance(param, click.Option) and param.callback is None
        ]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.obj = {}
        every = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        ctx.args = grammar.read(ctx, args, grammar.names(every), ctx.obj, stops=True)
        return ctx.args

    def invoke(self, ctx: click.Context) -> Any:
        words = list(ctx.args)
        if words[:1] in (["help"], ["h"]):
            words = [*words[1:2], "--help"]
        if not words or words[0] == "--help":
            click.echo(ctx.get_help())
            ctx.exit(0)
        command = self.get_command(ctx, words[0])
        if command is None:
            near = grammar.did_you_mean(words[0], self.list_commands(ctx))
            text = f"unknown verb {words[0]!r}{near}"
            raise grammar.UnknownVerb(text, ctx)
        with command.make_context(words[0], words[1:], parent=ctx) as inner:
            return command.invoke(inner)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_commands(ctx, formatter)
        every = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        _write_sections(ctx, formatter, every)
        formatter.write_paragraph()
        formatter.write_text("See 'pyrun VERB --help' for the flags of a verb, and an example.")

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - as click defines it
        formatter: click.HelpFormatter,
    ) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for verb in self.commands.values():
            if isinstance(verb, Verb):
                row = (verb.name or "", verb.short_help or "")
                sections.setdefault(verb.section, []).append(row)
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def defaults(params: Sequence[click.Parameter]) -> dict[str, Any]:
    """What each option is when it is not given."""
    found: dict[str, Any] = {}
    for param in params:
        if isinstance(param, click.Option):
            found[param.name or ""] = param.default
        elif isinstance(param, OptionalArgument):
            found[param.name or ""] = param.missing
        elif not param.required:
            found[param.name or ""] = ()  # all the rest of the words, and there are none
    return found


def _help_option(command: click.Command, ctx: click.Context) -> list[click.Option]:
    option = command.get_help_option(ctx)
    return [option] if option is not None else []


def _write_sections(
    ctx: click.Context, formatter: click.HelpFormatter, options: list[click.Option]
) -> None:
    sections: dict[str, list[tuple[str, str]]] = {}
    for option in options:
        row = option.get_help_record(ctx)
        if row is not None:
            sections.setdefault(getattr(option, "section", "Help"), []).append(row)
    for title, rows in sections.items():
        with formatter.section(title):
            formatter.write_dl(rows)
