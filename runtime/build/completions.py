# SPDX-License-Identifier: Apache-2.0
"""The completions for bash, zsh and fish, from the click definitions.

What does not depend on the definitions is in the folder completions. They are static: to start
Python at each press of the Tab key would be felt. Only the ids of containers are asked for, of
`pyrun list -q`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

from surface import ANYWHERE, GLOBALS, VERBS, Option, Positional

from pyrun.linux import SIGNALS

TEMPLATES = Path(__file__).parent / "completions"
ONLY_BEFORE = [option for option in GLOBALS if option not in ANYWHERE]  # --version, --help


def kind(thing: Option | Positional) -> str:
    """What bash's _pyrun_offer() is asked for."""
    return f"words:{' '.join(thing.words)}" if thing.words else thing.offers


def visible(options: Iterable[Option]) -> list[Option]:
    return [option for option in options if not option.hidden]


def first_sentence(text: str) -> str:
    """The beginning of a flag's help, for the short line beside it."""
    return text.split("; ")[0].split(": ")[0].rstrip(".")


def fill(name: str, **places: str) -> str:
    """A template with the text for each of its places."""
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    for place, content in places.items():
        text = text.replace(f"@{place}@", content)
    return text


# ---- bash ----


def values() -> Iterator[tuple[str, Option]]:
    """("verb:flag", option) of every name of a flag that has a value; verb is "*" for any."""
    for verb in VERBS:
        yield from ((f"{verb.name}:{n}", o) for o in verb.options for n in o.bare)
    yield from ((f"*:{name}", option) for option in ANYWHERE for name in option.bare)


def bash() -> str:
    """pyrun.bash."""
    flags = [
        f"    {verb.name}) echo {shlex.quote(_names(verb.options))} ;;"
        for verb in VERBS
        if visible(verb.options)
    ]
    flags.append(f"    '') echo {shlex.quote(_names(GLOBALS))} ;;")
    places = [
        f"    {verb.name}:{'*' if word.rest else number}) echo {shlex.quote(kind(word))} ;;"
        for verb in VERBS
        for number, word in enumerate(verb.positionals)
        if kind(word)
    ]
    return fill(
        "pyrun.bash.in",
        FLAGS="\n".join(flags),
        VALUES="\n".join(
            f"    {name}) {f'echo {shlex.quote(kind(option))}' if option.value else 'return 1'} ;;"
            for name, option in values()
        ),
        POSITIONALS="\n".join(places),
        STOPS=" | ".join(verb.name for verb in VERBS if verb.stops),
        SIGNALS=" ".join(SIGNALS),
        VERBS=" ".join(verb.name for verb in VERBS),
    )


def _names(options: Iterable[Option]) -> str:
    return " ".join(name for option in visible(options) for name in option.names)


# ---- zsh ----


def zsh_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def zsh_action(thing: Option | Positional) -> str:
    if thing.words:
        return f"({' '.join(thing.words)})"
    signals = f"({' '.join(SIGNALS)})"
    actions = {"directory": "_files -/", "file": "_files", "container": "_pyrun_containers"}
    return {**actions, "signal": signals}.get(thing.offers, " ")


def zsh_options(options: Iterable[Option]) -> list[str]:
    """The arguments of _arguments for flags: one a name, each excluding the others."""
    found = []
    for option in visible(options):
        text = first_sentence(option.help).replace("[", "\\[").replace("]", "\\]")
        others = f"({' '.join(option.names)})" if len(option.names) > 1 else ""
        value = ""
        if option.value:
            value = f":{option.value.replace(':', chr(92) + ':')}:{zsh_action(option)}"
        for name in option.names:
            equals = "=" if value and name.startswith("--") else ""
            found.append(zsh_quoted(f"{others}{name}{equals}[{text}]{value}"))
    return found


def zsh() -> str:
    """_pyrun."""
    cases = []
    for verb in VERBS:
        words = [
            zsh_quoted(f"{'*' if p.rest else number}:{p.name}:{zsh_action(p)}")
            for number, p in enumerate(verb.positionals, 1)
        ]
        stops = "-A '-*' " if verb.stops else ""
        lines = " \\\n".join(f"        {line}" for line in [*zsh_options(verb.options), *words])
        cases.append(f"    {verb.name})\n      _arguments -S {stops}$globals \\\n{lines}\n      ;;")
    summaries = [
        f"    {zsh_quoted(f'{verb.name}:' + verb.summary.rstrip('.').replace(':', chr(92) + ':'))}"
        for verb in VERBS
    ]
    return fill(
        "_pyrun.in",
        VERBS="\n".join(summaries),
        GLOBALS="\n".join(f"    {line}" for line in zsh_options(ANYWHERE)),
        HELP="\n".join(f"    {line} \\" for line in zsh_options(ONLY_BEFORE)),
        CASES="\n".join(cases),
    )


# ---- fish ----


def fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def fish_offer(thing: Option | Positional) -> str:
    """The part of a `complete` that says what may stand there, "" when nobody can guess."""
    if thing.words:
        return f"-f -a {fish_quoted(' '.join(thing.words))}"
    return {
        "directory": "-f -a '(__fish_complete_directories (commandline -ct))'",
        "file": "-F",
        "container": "-a '(__pyrun_containers)'",
        "signal": f"-a {fish_quoted(' '.join(SIGNALS))}",
    }.get(thing.offers, "")


def fish_flags(options: Iterable[Option], condition: str) -> Iterator[str]:
    """A line for each flag, which is offered where the condition holds."""
    for option in visible(options):
        words = ["complete -c pyrun", f"-n {fish_quoted(condition)}"]
        for name in option.names:
            bare = name.lstrip("-")
            words.append(f"-l {bare}" if name.startswith("--") else f"-s {fish_quoted(bare)}")
        if option.value:
            words += ["-r", fish_offer(option) or "-f"]
        words.append(f"-d {fish_quoted(first_sentence(option.help))}")
        yield " ".join(words)


def fish() -> str:
    """pyrun.fish."""
    lines = [
        f"complete -c pyrun -n 'test (count (__pyrun_words)) -eq 0' -a {verb.name}"
        f" -d {fish_quoted(verb.summary.rstrip('.'))}"
        for verb in VERBS
    ]
    lines += fish_flags(GLOBALS, "__pyrun_flags")
    for verb in VERBS:
        lines += fish_flags(verb.options, f"__pyrun_flags {verb.name}")
        for number, word in enumerate(verb.positionals):
            if offer := fish_offer(word):
                lines.append(f"complete -c pyrun -n '__pyrun_at {number} {verb.name}' {offer}")
    with_value = [fish_quoted(name) for name, option in values() if option.value]
    return fill(
        "pyrun.fish.in",
        COMPLETE="\n".join(lines),
        VALUES=" ".join(with_value),
        STOPS=" ".join(verb.name for verb in VERBS if verb.stops),
    )


def files() -> dict[str, str]:
    """Name of the file -> its text."""
    return {"pyrun.bash": bash(), "_pyrun": zsh(), "pyrun.fish": fish()}
