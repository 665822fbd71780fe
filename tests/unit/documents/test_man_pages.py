# SPDX-License-Identifier: Apache-2.0
"""The man pages as they are installed: complete, and without a fault that a checker knows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

import pyrun
from needs import needs
from pyrun.cli.program import Verb
from pyrun.cli.verbs import PROGRAM, VERBS

PAGES = Path(sys.prefix) / "share/man/man8"
NAMES = ["pyrun", *(f"pyrun-{verb.name}" for verb in VERBS)]


def shown(page: str) -> str:
    """A page as a reader sees it, on one line."""
    command = ["mandoc", "-T", "utf8", "-O", "width=1000", PAGES / f"{page}.8"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return " ".join(re.sub(".\b", "", done.stdout).split())


def test_one_page_a_verb() -> None:
    assert sorted(path.stem for path in PAGES.glob("pyrun*")) == sorted(NAMES)


@needs("mandoc")
@pytest.mark.parametrize("page", NAMES)
def test_mandoc_finds_no_fault(page: str) -> None:
    command = ["mandoc", "-T", "lint", "-W", "style", PAGES / f"{page}.8"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")


@needs("man")
@pytest.mark.parametrize("page", NAMES)
def test_man_warns_of_nothing(page: str) -> None:
    command = ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", PAGES / f"{page}.8"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@needs("mandoc")
@pytest.mark.parametrize("verb", VERBS, ids=NAMES[1:])
def test_page_of_a_verb(verb: Verb) -> None:
    """All that --help tells, and the flags that it does not show."""
    text = shown(f"pyrun-{verb.name}")
    for option in verb.options():
        spelled = ", ".join(option.opts)
        assert f" {spelled} " in text
        assert " ".join((option.help or "").split()) in text
        if isinstance(option.type, click.Choice):
            assert f"{spelled} {'|'.join(map(str, option.type.choices))} " in text
    for argument in verb.arguments():
        assert (argument.metavar or (argument.name or "").upper()) in text
    assert f" {verb.example} " in text
    for paragraph in (verb.help or "").split("\n\n"):
        assert paragraph in text


@needs("mandoc")
def test_page_of_the_program() -> None:
    text = shown("pyrun")
    for verb in VERBS:
        assert f" pyrun-{verb.name}(8) {verb.short_help} " in text
    for option in PROGRAM.options():
        assert f" {', '.join(option.opts)} " in text
        assert " ".join((option.help or "").split()) in text
    assert f" pyrun {pyrun.__version__} " in text
    assert "@" not in text
