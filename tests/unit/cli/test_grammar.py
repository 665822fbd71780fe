# SPDX-License-Identifier: Apache-2.0
"""Grammar that the verbs of today do not use yet: repeated flags, and a rest of any length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import pytest

from pyrun.cli import grammar, hot
from pyrun.cli.program import Flag, Program, Verb, switch

if TYPE_CHECKING:
    from types import ModuleType

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
    line: str,
    expected: dict[str, Any],
    generator: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hot, "VERBS", {"exec": generator.verb_entry(EXEC)})
    monkeypatch.setattr(hot, "DEFAULTS", {})
    assert hot.parse(line.split()) == ("exec", expected)
    assert by_click(line.split()) == ("exec", expected)


def test_the_id_is_required() -> None:
    with pytest.raises(grammar.WrongUsage, match="exec: ID is missing"):
        by_click(["exec"])


def test_a_type_that_the_fast_parser_cannot_read_fails_the_build(generator: ModuleType) -> None:
    with pytest.raises(TypeError, match=r"--ratio.*the hot path has no kind for"):
        generator.kind(Flag("--ratio", help="A ratio.", type=click.FLOAT, default=0.0))
