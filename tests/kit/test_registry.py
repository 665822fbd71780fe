# SPDX-License-Identifier: Apache-2.0
"""The registry of requirements: complete, and each with a check or a reason."""

from __future__ import annotations

import importlib
import inspect
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from conformance import registry

from kit import spec_text
from needs import EXCUSED
from unit import runtime_spec

BUNDLE = ("required", "root", "name")
CHECKS = runtime_spec.ROOT / "conformance/checks"


def text(document: str) -> Path:
    if not runtime_spec.present():
        pytest.skip(f"{EXCUSED}no copy of the runtime-spec at {runtime_spec.COPY}")
    return runtime_spec.COPY / f"{document}.md"


@pytest.mark.parametrize("document", registry.DOCUMENTS)
def test_every_statement_of_the_text_is_listed(document: str) -> None:
    """In the order of the text, section by section and level by level."""
    theirs = [(found.section, found.level) for found in spec_text.statements(text(document))]
    ours = [
        (found.section, found.level)
        for found in registry.statements()
        if found.document == document
    ]
    assert Counter(ours) == Counter(theirs)
    assert ours == theirs


def test_how_statements_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "text.md"
    path.write_text(
        '# <a name="one" />One\nIt MUST, MUST NOT and (string, OPTIONAL) must.\n'
        "```\nMUST\n```\n## Example\nMAY\n## Two\nNOT RECOMMENDED, SHOULDER\n"
    )
    found = [(statement.section, statement.level) for statement in spec_text.statements(path)]
    assert found == [
        ("One", "MUST"), ("One", "MUST NOT"), ("One", "OPTIONAL"), ("One", "MAY"),
        ("Two", "NOT RECOMMENDED"),
    ]  # fmt: skip


def test_the_words_are_ours() -> None:
    """No row repeats seven words of the text one after the other, but for names of properties."""
    plain = re.compile(r"[^a-z ]+")
    for document in registry.DOCUMENTS:
        theirs = " ".join(plain.sub(" ", text(document).read_text().lower()).split())
        for row in registry.statements():
            words = plain.sub(" ", row.says.lower()).split()
            runs = [" ".join(words[start : start + 7]) for start in range(len(words) - 6)]
            assert not [run for run in runs if f" {run} " in theirs], row.id


def test_rows_are_whole() -> None:
    ids = [row.id for row in registry.statements()]
    assert len(ids) == len(set(ids))
    for row in registry.statements():
        assert row.says
        assert row.level in registry.STRENGTHS
        assert row.binds == "runtime" or row.binds in registry.OTHERS
        assert row.for_runtime or not row.unobservable, row.id
        assert row.unobservable == "" or row.unobservable.endswith("."), row.id


def marks(function: Any) -> Iterator[pytest.Mark]:
    for mark in getattr(function, "pytestmark", ()):
        if mark.name == "parametrize":
            for param in mark.args[1]:
                yield from (inner.mark for inner in param.marks)
        elif mark.name == "requirement":
            yield mark


def checks() -> Iterator[tuple[str, FunctionType]]:
    for path in sorted(CHECKS.glob("*.py")):
        module = importlib.import_module(f"conformance.checks.{path.stem}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if name.startswith("check_") and function.__module__ == module.__name__:
                yield f"{path.stem}.{name}", function


def test_every_requirement_has_a_check_or_a_reason() -> None:
    checked = {name for _, function in checks() for mark in marks(function) for name in mark.args}
    observable = {row.id for row in registry.requirements().values() if not row.unobservable}
    assert checked - observable == set(), "checks of what is none, or can't be observed"
    assert observable - checked == set(), "no check"


def test_every_check_says_what_it_does() -> None:
    found = dict(checks())
    assert len(found) > 100
    silent = [name for name, function in found.items() if not inspect.getdoc(function)]
    idle = [name for name, function in found.items() if not list(marks(function))]
    assert (silent, idle) == ([], [])


@pytest.mark.parametrize(
    ("patterns", "level", "wanted"),
    [
        (["runtime.state.id"], "", {"runtime.state.id"}),
        (["runtime.kill"], "", {"runtime.kill.no-id", "runtime.kill.stopped-no-effect",
                                "runtime.kill.stopped-error", "runtime.kill.sends"}),
        (["*.fds.*"], "", {"runtime-linux.fds.more", "runtime-linux.fds.devnull"}),
        (["bundle.config"], "MUST", {f"bundle.config.{end}" for end in BUNDLE}),
        (["bundle"], "MAY", set()),
        (["config.hostname", "config.domainname"], "MAY", {"config.hostname", "config.domainname"}),
    ],
)  # fmt: skip
def test_selection(patterns: list[str], level: str, wanted: set[str]) -> None:
    assert {row.id for row in registry.select(patterns, level)} == wanted


def test_selection_of_nothing() -> None:
    with pytest.raises(KeyError, match="config.hostnam"):
        registry.select(["config.hostnam"], "")
    assert len(registry.select([], "")) == len(registry.requirements())
