# SPDX-License-Identifier: Apache-2.0
"""The man pages, pyrun(8) and one a verb, from the click definitions.
What pyrun(8) says besides is docs/man/pyrun.8.in.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from pathlib import Path

from surface import GLOBALS, VERBS, Described, Option

from pyrun.cli.grammar import UnknownVerb, WrongUsage
from pyrun.errors import EXEC_FAILURE, GENERIC

PROSE = Path(__file__).parents[2] / "docs/man/pyrun.8.in"
WIDTH = 72
TITLE = "OCI container runtime"


def escaped(text: str) -> str:
    """Text as roff takes it: its own characters are not commands, and a dash is a dash."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("...", "\\&...")
    return f"\\&{text}" if text.startswith((".", "'")) else text


def paragraphs(text: str) -> str:
    """Each sentence begins a line, as roff wants it, and no line is long."""
    lines: list[str] = []
    for paragraph in text.split("\n\n"):
        if lines:
            lines.append(".PP")
        for sentence in re.split(r"(?<=\.) +", paragraph.replace("\n", " ")):
            wrapped = textwrap.wrap(sentence, WIDTH, break_on_hyphens=False)
            lines += map(escaped, wrapped)
    return "\n".join(lines)


def spelled(option: Option) -> str:
    """A flag's names in bold, and what follows them."""
    names = ", ".join(f"\\fB{escaped(name)}\\fR" for name in option.names)
    return f"{names} \\fI{escaped(option.value)}\\fR" if option.value else names


def option_list(options: Iterable[Option]) -> str:
    """The flags by their sections, in the order of the help."""
    sections: dict[str, list[Option]] = {}
    for option in options:
        if not option.hidden:
            sections.setdefault(option.section, []).append(option)
    lines = []
    for title, members in sections.items():
        if len(sections) > 1:
            lines.append(f".SS {title}")
        for option in members:
            lines += [".TP", spelled(option), paragraphs(option.help)]
    return "\n".join(lines)


def compatibility(options: Iterable[Option]) -> str:
    """The flags that help does not show, if there are any."""
    hidden = [option for option in options if option.hidden]
    if not hidden:
        return ""
    lines = [".SH COMPATIBILITY", "Taken for the sake of callers of runc and crun:"]
    for option in hidden:
        lines += [".TP", spelled(option), paragraphs(option.help)]
    return "\n".join(lines) + "\n"


def head(name: str, version: str, date: str) -> str:
    title = escaped(name.upper())
    return (
        '.\\" Made by man_pages.py from the definitions of the command line: do not edit.\n'
        f'.TH {title} 8 {date} "pyrun {version}" "{TITLE}"\n.SH NAME\n'
    )


def verb_page(verb: Described, version: str, date: str) -> str:
    """pyrun-VERB(8)."""
    name = f"pyrun-{verb.name}"
    summary = verb.summary[:1].lower() + verb.summary[1:].rstrip(".")
    words = " ".join(f"\\fI{escaped(word)}\\fR" for word in verb.usage.split())
    text = f"\n.PP\n{paragraphs(verb.text)}" if verb.text else ""
    return (
        head(name, version, date)
        + f"{escaped(name)} \\-\n{paragraphs(summary)}\n"
        + f".SH SYNOPSIS\n\\fBpyrun {verb.name}\\fR {words}\n"
        + f".SH DESCRIPTION\n{paragraphs(verb.summary)}{text}\n"
        + f".SH OPTIONS\n{option_list(verb.options)}\n.PP\n"
        + "The global flags of\n.BR pyrun (8)\nmay stand behind the verb as well.\n"
        + compatibility(verb.options)
        + ".SH EXIT STATUS\nAs told in\n.BR pyrun (8).\n"
        + f".SH EXAMPLE\n.EX\n{escaped(verb.example)}\n.EE\n"
        + ".SH SEE ALSO\n.BR pyrun (8)\n"
    )


def verb_list() -> str:
    """The verbs by their sections, with their pages."""
    lines: list[str] = []
    section = ""
    for verb in VERBS:
        if verb.section != section:
            section = verb.section
            lines.append(f".SS {section}")
        lines += [".TP", f".BR pyrun\\-{verb.name} (8)", paragraphs(verb.summary)]
    return "\n".join(lines)


def program_page(version: str, date: str) -> str:
    """pyrun(8)."""
    places = {
        "@VERBS@": verb_list(),
        "@FLAGS@": option_list(GLOBALS),
        "@COMPATIBILITY@": compatibility(GLOBALS).rstrip("\n"),
        "@GENERIC@": str(GENERIC),
        "@USAGE@": str(WrongUsage.exit_code),
        "@UNKNOWN@": str(UnknownVerb.exit_code),
        "@EXEC@": str(EXEC_FAILURE),
        "@PAGES@": ",\n".join(f".BR pyrun\\-{verb.name} (8)" for verb in VERBS),
    }
    text = PROSE.read_text(encoding="utf-8")
    for place, content in places.items():
        text = text.replace(place, content)
    return head("pyrun", version, date) + text


def pages(version: str, date: str) -> dict[str, str]:
    """Name of the file -> its text. `date`: YYYY-MM-DD."""
    found = {"pyrun.8": program_page(version, date)}
    for verb in VERBS:
        found[f"pyrun-{verb.name}.8"] = verb_page(verb, version, date)
    return found
