# SPDX-License-Identifier: Apache-2.0
"""Help: every flag is in it, and its example is a command line that pyrun takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pyrun.cli import explain, hot
from pyrun.cli.verbs import PROGRAM, VERBS

if TYPE_CHECKING:
    from pyrun.cli.program import Verb

NAMES = [verb.name or "" for verb in VERBS]


@pytest.mark.parametrize("verb", VERBS, ids=NAMES)
def test_help_of_a_verb_has_every_flag(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain.parse(["pyrun", verb.name or "", "--help"]) == 0
    out = capsys.readouterr().out
    words = out.replace(",", " ").replace("=", " ").split()
    for option in verb.options():
        for name in option.opts:
            assert (name in words) is not option.hidden
    assert "--help" in words
    assert verb.short_help
    assert verb.short_help in " ".join(out.split())
    assert verb.example in out
    assert all(len(line) <= 80 for line in out.splitlines())


@pytest.mark.parametrize("verb", VERBS, ids=NAMES)
def test_the_example_is_right(verb: Verb) -> None:
    parsed = hot.parse(verb.example.split()[1:])
    assert parsed is not None
    assert parsed[0] == verb.name


def test_help_of_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain.parse(["pyrun", "--help"]) == 0
    text = capsys.readouterr().out
    words = text.replace(",", " ").split()
    for option in PROGRAM.options():
        assert (option.opts[0] in words) is not option.hidden
    for name in [*NAMES, "-h", "-?", "--help", "-v", "-V", "--version"]:
        assert name in words
    assert explain.parse(["pyrun"]) == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize("words", [["list", "-h"], ["help", "list"], ["list", "--foo=1", "-h"]])
def test_ways_to_ask(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    if "--foo=1" in words:
        assert explain.explain(["pyrun", *words]) == 1  # the mistake comes first
        return
    assert explain.parse(["pyrun", *words]) == 0
    assert capsys.readouterr().out.startswith("Usage: pyrun list ")
