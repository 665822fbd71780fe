# SPDX-License-Identifier: Apache-2.0
"""Grammar that the verbs of today do not use yet: repeated flags, and a rest of any length."""

from __future__ import annotations

from typing import Any

import click
import pytest

from pyrun.cli import grammar, hot
from pyrun.cli.program import Flag, Program, Verb, switch

EXEC = Verb(
    "exec",
    "Run a program.",
    section="Life",
    example="pyrun exec c ls",
    params=[
        Flag("-e", "--env", help="Set a variable.", multiple=True),
        switch("-t", "--tty", help="With a terminal."),
        click.Argument(["id"]),
        click.Argument(["args"], nargs=-1),
    ],
    stops=True,
)
PROGRAM = Program("pyrun", commands={"exec": EXEC})
TABLE = {
    "exec": (
        {"e": ("env", "texts"), "env": ("env", "texts"), "t": ("tty", "flag")},
        {"env": (), "tty": False, "args": ()},
        ("id", "args"),
        1,
        True,
        True,
    )
}


def by_click(words: list[str]) -> Any:
    with PROGRAM.make_context("pyrun", words) as ctx:
        return PROGRAM.invoke(ctx)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("exec c", {"env": (), "tty": False, "id": "c", "args": ()}),
        ("exec -e A=1 --env=B c", {"env": ("A=1", "B"), "tty": False, "id": "c", "args": ()}),
        ("exec -t c ls -t --", {"env": (), "tty": True, "id": "c", "args": ("ls", "-t", "--")}),
    ],
)
def test_rest_and_repeats(
    line: str, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot, "VERBS", TABLE)
    monkeypatch.setattr(hot, "DEFAULTS", {})
    assert hot.parse(line.split()) == ("exec", expected)
    assert by_click(line.split()) == ("exec", expected)


def test_the_id_is_required() -> None:
    with pytest.raises(grammar.WrongUsage, match="exec: ID is missing"):
        by_click(["exec"])
