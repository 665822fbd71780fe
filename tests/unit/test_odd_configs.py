# SPDX-License-Identifier: Apache-2.0
"""Whatever a config holds: `validate`, `create` and a reader of our own with jsonschema give the
same verdict, and a refusal is one line of text.
"""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import event, given
from jsonschema import Draft7Validator

from fuzzing import short
from pyrun import config as configs
from pyrun import jsonscan, log, plan, prepare
from pyrun.cgroup import devices, resources
from pyrun.cgroup.plan import plan as cgroup_plan
from pyrun.commands import validate as command
from pyrun.compile import checks, order, unsupported
from pyrun.compile import seccomp as profiles
from pyrun.errors import ConfigError, Error
from pyrun.schema_check import step
from unit.compile.rules import known_of
from unit.odd_configs import texts
from unit.runtime_spec import ROOT

SCHEMA = Draft7Validator(json.loads((ROOT / "spec/config.schema.json").read_text()))
V2 = {"layout": "v2", "mounts": {"": ["/cg", "/"]}, "own": {"": "/me"}}
TEXT = "no JSON that pyrun reads"


class Unread(ValueError):
    """What is no JSON to a runtime."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise Unread
    return {name: value for name, value in pairs if value is not None}


def _number(text: str) -> float:
    value = float(text)
    if abs(value) == float("inf") or (value.is_integer() and abs(value) >= 2**53):
        raise Unread
    return int(value) if value.is_integer() else value


def _never(text: str) -> NoReturn:
    raise Unread


def _walk(value: Any, depth: int = 1) -> None:
    """Refuses NUL, half pairs and what is too deep."""
    if isinstance(value, str) and (value.encode() and "\0" in value):
        raise Unread
    if isinstance(value, dict | list) and depth > jsonscan.DEPTH_LIMIT:
        raise Unread
    if isinstance(value, dict):
        for name in value:
            _walk(name)
    children = value.values() if isinstance(value, dict) else value
    for child in children if isinstance(value, dict | list) else ():
        _walk(child, depth + 1)


def expected(data: bytes) -> set[str]:
    """The pointers of all that is wrong, by the json module, jsonschema and our checks."""
    try:
        value = json.loads(
            data.decode(), object_pairs_hook=_pairs, parse_float=_number, parse_constant=_never
        )
        _walk(value)
    except (ValueError, RecursionError):
        return {TEXT}
    if not isinstance(value, dict):
        return {TEXT}
    if errors := list(SCHEMA.iter_errors(value)):
        return {pointer for error in errors for pointer in _pointers(error)}
    return {pointer for pointer, _ in checks.problems(value) + unsupported.problems(value)}


def _pointers(error: Any) -> list[str]:
    at = "".join(step(name) for name in error.absolute_path)
    if error.validator != "required":
        return [at]
    return [at + step(name) for name in error.schema["required"] if name not in error.instance]


def said_by_create(data: bytes) -> set[str]:
    """The pointers of what `create` refuses before it looks at the host."""
    try:
        prepare.check(configs.decode(data))
    except ConfigError as error:
        one_line(error)
        return {pointer for pointer, _ in error.problems}
    except Error as error:
        one_line(error)
        return {TEXT}
    return set()


def said_by_validate(data: bytes, bundle: Path) -> str:
    """The whole report, "" when there is none."""
    (bundle / "config.json").write_bytes(data)
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            code = command.run({"bundle": str(bundle)})
    except Error as error:
        one_line(error)
        return ""
    assert code == (1 if " problem" in out.getvalue().splitlines()[0] else 0)
    return out.getvalue()


def one_line(error: Error) -> None:
    line = log.printable(str(error))
    assert line.strip()
    assert line.isprintable()
    assert len(line.encode()) < 100_000


def compiles(config: Any) -> None:
    """All that is decided without the host: a plan or an Error."""
    linux = config.get("linux") or {}
    try:
        facts = known_of(config, {})
        profiles.profile(linux.get("seccomp"), facts["machine"])
        cgroup_plan(config, "box", V2)
        wanted = linux.get("resources") or {}
        devices.policy(wanted.get("devices") or [])
        if config.get("process"):
            plan.encode([op for _, op in order.compile_init(config, facts)], 0)
        for convert in (resources.v1, resources.v2):
            convert(wanted)
    except Error as error:
        event("refused by a rule")
        one_line(error)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundle")


@short(400)
@given(texts())
def test_one_verdict_and_one_line(bundle: Path, data: bytes) -> None:
    wrong = expected(data)
    assert said_by_create(data) == wrong
    report = said_by_validate(data, bundle)
    assert bool(report) == (wrong != {TEXT})
    for pointer in wrong - {TEXT}:
        assert f" {log.printable(pointer) or '/'}: " in report or "not supported" in report
    event("no JSON" if wrong == {TEXT} else "refused" if wrong else "taken")
    if not wrong:
        compiles(configs.decode(data))
