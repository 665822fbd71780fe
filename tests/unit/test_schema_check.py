# SPDX-License-Identifier: Apache-2.0
"""The checker of every create, alone and against jsonschema."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrun import _schema, schema_check, validate
from unit import configs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """The build script that makes pyrun._schema."""
    path = ROOT / "runtime/build/schema_module.py"
    spec = importlib.util.spec_from_file_location("schema_module", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_valid_config_has_no_problem() -> None:
    assert schema_check.check(configs.FULL) == []
    assert schema_check.check(configs.minimal()) == []


UID = "must be an integer from 0 to 4294967294, not "


@pytest.mark.parametrize(
    ("path", "value", "pointer", "message"),
    [
        # -1 as an unsigned number means "leave unchanged" to setresuid: the payload would be root
        ("process/user/uid", 2**32 - 1, "/process/user/uid", UID + "4294967295"),
        ("process/user/uid", -1, "/process/user/uid", UID + "-1"),
        ("process/user/uid", 2**63, "/process/user/uid", UID + "9223372036854775808"),
        ("process/user/uid", 1.5, "/process/user/uid", UID + "1.5"),
        ("process/user/uid", "0", "/process/user/uid", UID + '"0"'),
        ("process/user/uid", True, "/process/user/uid", UID + "true"),
        ("process/user/gid", 2**32 - 1, "/process/user/gid", UID + "4294967295"),
        ("process/user", {"uid": 0}, "/process/user/gid", "is required"),
        ("process/user/additionalGids", [0, "a"], "/process/user/additionalGids/1", UID + '"a"'),
        ("process/args", "sh", "/process/args", 'must be a list, not "sh"'),
        ("process/args", ["a", 1], "/process/args/1", "must be a string, not 1"),
        ("process/args", ["a", None], "/process/args/1", "must be a string, not null"),
        ("process/terminal", 1, "/process/terminal", "must be true or false, not 1"),
        ("process/cwd", "", "/process/cwd", 'must be a string that is not empty, not ""'),
        ("root", [], "/root", "must be an object, not an empty list"),
        ("root", {}, "/root/path", "is required"),
        ("hostname", {}, "/hostname", "must be a string, not an object"),
        ("annotations", {"a/b~": 1}, "/annotations/a~1b~0", "must be a string, not 1"),
        (
            "linux/personality",
            {"domain": "BSD"},
            "/linux/personality/domain",
            'must be one of LINUX, LINUX32, not "BSD"',
        ),
        (
            "linux/namespaces",
            [{"type": "pid"}, {"type": "net"}],
            "/linux/namespaces/1/type",
            "must be one of pid, network, mount, ipc, uts, user, cgroup, time, not" + ' "net"',
        ),
        (
            "linux/seccomp",
            {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [], "action": "x"}]},
            "/linux/seccomp/syscalls/0/names",
            "must be a list of at least 1 item, not an empty list",
        ),
        (
            "hooks",
            {"poststop": [{"path": "/x", "timeout": 0}]},
            "/hooks/poststop/0/timeout",
            "must be an integer from 1 to 2147483647, not 0",
        ),
    ],
)
def test_a_problem_is_placed_and_worded(
    path: str, value: object, pointer: str, message: str
) -> None:
    config = configs.with_(path, value)
    assert (pointer, message) in schema_check.check(config)
    assert (pointer, message) in validate.shape_problems(config)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("process/user/uid", 2**32 - 2),
        ("process/user/uid", 1.0),
        ("unheardOf", {"of": [1, None]}),
        ("process/unheardOf", None),
        ("windows", {"layerFolders": 5}),
        ("annotations", {}),
    ],
)
def test_what_is_allowed(path: str, value: object) -> None:
    assert schema_check.check(configs.with_(path, value)) == []


def test_all_problems_are_reported_at_once() -> None:
    found = schema_check.check({"root": 1, "process": {"args": [1]}, "linux": {"devices": [{}]}})
    assert [pointer for pointer, _ in found] == [
        "/ociVersion",
        "/root",
        "/process/cwd",
        "/process/args/0",
        "/linux/devices/0/type",
        "/linux/devices/0/path",
    ]


def test_a_part_can_be_checked_alone() -> None:
    process = _schema.DEFINITIONS["Process"]
    assert schema_check.check({"cwd": "/"}, process) == []
    assert schema_check.check({}, process) == [("/cwd", "is required")]


def test_a_message_repeats_only_the_start_of_a_long_value() -> None:
    [(_, message)] = schema_check.check(configs.with_("process/terminal", "x" * 10_000))
    assert len(message) < 100
    assert message.endswith("...")


def places(value: object, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The path of every value in a config."""
    children: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    return [at, *(path for name, child in children for path in places(child, (*at, name)))]


PLACES = [path for path in places(configs.FULL) if path]
NUMBERS = [edge + d for edge in (0, 2**15, 2**16, 2**31, 2**32, 2**63, 2**64) for d in (-2, -1, 0)]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.sampled_from([*NUMBERS, *(-number for number in NUMBERS), 1.0, -0.0, 1e300]),
    st.sampled_from(["pid", "SCMP_ACT_ALLOW", "c", "rshared", "SCHED_RR"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)
CHANGES = st.lists(
    st.tuples(st.sampled_from(PLACES), st.sampled_from(["set", "drop", "add"]), VALUES),
    min_size=1,
    max_size=4,
)


def change(config: Any, path: tuple[str | int, ...], how: str, value: object) -> None:
    """Do one thing to a value in a config, if it is still there."""
    place = config
    for name in path[:-1]:
        if not isinstance(place, dict | list):
            return
        try:
            place = place[name]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return
    name = path[-1]
    known = isinstance(place, dict) and name in place
    if not known and not (isinstance(place, list) and isinstance(name, int) and name < len(place)):
        return
    if how == "set":
        place[name] = value
    elif how == "drop":
        del place[name]
    elif isinstance(place[name], list):
        place[name].append(value)
    elif isinstance(place[name], dict):
        place[name]["added"] = value


@given(CHANGES)
def test_the_checker_and_jsonschema_find_the_same_problems(
    changes: list[tuple[tuple[str | int, ...], str, object]],
) -> None:
    config = copy.deepcopy(configs.FULL)
    for path, how, value in changes:
        change(config, path, how, value)
    assert set(schema_check.check(config)) == set(validate.shape_problems(config))


@given(VALUES)
def test_any_value_at_all_gets_the_same_verdict(value: object) -> None:
    assert set(schema_check.check(value)) == set(validate.shape_problems(value))


def test_the_generated_schema_is_the_file(generator: ModuleType) -> None:
    import json

    namespace: dict[str, Any] = {}
    schema = json.loads((ROOT / "spec/config.schema.json").read_text())
    exec(generator.module(schema), namespace)
    assert namespace["CONFIG"] == _schema.CONFIG
    assert namespace["DEFINITIONS"] == _schema.DEFINITIONS


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}}, "pattern"),
        ({"type": "object", "properties": {"a": {}}}, "one type"),
        ({"type": ["string", "null"]}, "one type"),
        ({"$ref": "#/definitions/a", "type": "object"}, r"beside a \$ref"),
        (
            {
                "type": "object",
                "definitions": {"a": {"$ref": "#/definitions/b"}, "b": {"$ref": "#/definitions/a"}},
            },
            "refer to each other",
        ),
    ],
)
def test_the_generator_refuses_what_the_checker_would_pass_over(
    generator: ModuleType, schema: dict[str, Any], words: str
) -> None:
    with pytest.raises((SystemExit, TypeError), match=words):
        generator.module(schema)
