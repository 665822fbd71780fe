# SPDX-License-Identifier: Apache-2.0
"""Our schemas and the specification's: one mind on every property and every example, but for what
is listed here with its reason.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from needs import EXCUSED
from pyrun import validate
from pyrun.errors import Error
from unit import runtime_spec
from unit.runtime_spec import COPY, ROOT, Example

if not runtime_spec.present():
    pytest.skip(f"{EXCUSED}no copy of the runtime-spec at {COPY}", allow_module_level=True)

OURS, THEIRS = "ours", "theirs"  # whose schema alone demands it

# (document, whose, pattern of demands, why)
DIFFERENCES: list[tuple[str, str, str, str]] = [
    # required by the text of the specification, not by its schemas
    ("config", OURS, r"process\.user: requires [ug]id", "config.md, POSIX-platform User: REQUIRED"),
    ("config", OURS, r"process\.ioPriority: requires priority", "config.md, Linux Process"),
    ("config", OURS, r"linux\.memoryPolicy: requires mode", "config-linux.md, Memory policy"),
    ("config", OURS, r"linux\.personality: requires domain", "config-linux.md, Personality"),
    ("config", OURS, r".*\.throttle\w+\[\]: requires rate", "config-linux.md, Block IO: REQUIRED"),
    # required by the schema, not by the text
    (
        "config",
        THEIRS,
        r"linux\.resources\.pids: requires limit",
        "config-linux.md, PIDs: OPTIONAL since 1.3",
    ),
    ("config", THEIRS, "windows: requires layerFolders|vm: requires kernel", "of other platforms"),
    # values that the kernel, or the text, does not have
    (
        "config",
        OURS,
        r".*[ug]id: maximum 4294967294|process.user.additionalGids\[\]: maximum 4294967294",
        "the next one is (uid_t)-1: leave unchanged",
    ),
    (
        "config",
        THEIRS,
        r".*[ug]id: maximum 4294967295|process.user.additionalGids\[\]: maximum 4294967295",
        "see ours",
    ),
    ("config", OURS, r"process\.ioPriority\.priority: (min|max)imum [07]", "config.md: 0 to 7"),
    ("config", THEIRS, r"process\.ioPriority\.priority: (min|max)imum .*", "see ours"),
    ("config", OURS, r"process\.oomScoreAdj: (min|max)imum -?1000", "proc(5); config.md names it"),
    ("config", OURS, r"hooks\..*\.timeout: maximum 2147483647", "an int to every runtime"),
    ("config", OURS, r"(.*[pP]ath|.*destination|.*cwd): minLength 1", "an empty path is none"),
    ("config", OURS, r"linux\.resources\.devices\[\]\.type: may be [acb]", "config-linux.md"),
    ("config", OURS, r"linux\.devices\[\]\.type: may be [cbup]", "the pattern, as a list"),
    ("config", THEIRS, r"linux\.devices\[\]\.type: pattern .*", "the list, as a pattern"),
    # what engines send
    (
        "config",
        OURS,
        r"linux\.devices\[\]\.fileMode: maximum 4294967295",
        "docker and podman send the S_IFMT bits of st_mode too",
    ),
    ("config", THEIRS, r"linux\.devices\[\]\.fileMode: maximum 511", "see ours"),
    ("config", OURS, r"linux\.rootfsPropagation: may be r\w+", "engines send the recursive forms"),
    # rules that pyrun.compile.checks or the field's rule has in words
    ("config", OURS, r"linux\.timeOffsets\.\*.*", "checks_linux.time_offsets knows the clocks"),
    ("config", THEIRS, r"linux\.timeOffsets\.(boottime|monotonic).*", "the same, by name"),
    ("config", THEIRS, r"linux\.intelRdt\.memBwSchema: pattern .*", "checks_linux.intel_rdt"),
    ("config", THEIRS, r".*\.pageSize: pattern .*", "checks_linux.cgroup_names"),
    (
        "config",
        THEIRS,
        r"process\.rlimits\[\]\.type: pattern .*",
        "checks_process.rlimits: known names",
    ),
    ("config", THEIRS, r"process\.execCPUAffinity\.\w+: pattern .*", "refused, or read as a list"),
    # documents that pyrun writes: other runtimes' may say more
    (".*", OURS, r"(ociVersion(Min|Max)?|id|bundle): minLength 1", "an empty one names nothing"),
    ("state", OURS, r"status: may be paused", "runtime.md: a runtime MAY define more"),
    ("state", OURS, r"pid: maximum 4194304", "PID_MAX_LIMIT of the kernel"),
    (
        "features",
        OURS,
        r"linux\.(intelRdt\.(schemata|monitoring)|memoryPolicy).*",
        "features-linux.md",
    ),
    ("features", THEIRS, r"linux\..*\[\]: (may be|pattern) .*", "names of one's own are allowed"),
]


def demands(document: str) -> tuple[set[str], set[str]]:
    """Of our schema, and of the specification's."""
    ours = runtime_spec.demands(ROOT / f"spec/{document}.schema.json")
    return ours, runtime_spec.demanded(document)


@pytest.mark.parametrize("document", runtime_spec.DOCUMENTS)
def test_the_schemas_demand_the_same(document: str) -> None:
    ours, theirs = demands(document)
    assert len(ours & theirs) > 10
    for whose, alone in ((OURS, ours - theirs), (THEIRS, theirs - ours)):
        known = [p for d, w, p, _ in DIFFERENCES if w == whose and re.fullmatch(d, document)]
        found = {line for line in alone if not any(re.fullmatch(p, line) for p in known)}
        assert found == set(), f"{document}: of {whose} alone"


@pytest.mark.parametrize(("document", "whose", "pattern", "why"), DIFFERENCES)
def test_each_difference_is_one(document: str, whose: str, pattern: str, why: str) -> None:
    assert why
    matching = [name for name in runtime_spec.DOCUMENTS if re.fullmatch(document, name)]
    for name in matching:
        ours, theirs = demands(name)
        alone = ours - theirs if whose == OURS else theirs - ours
        assert any(re.fullmatch(pattern, line) for line in alone)


def test_schemas_that_are_written_differently(tmp_path: Path) -> None:
    path = {"type": "string", "minLength": 1}
    rest = {"d": {"type": "array", "items": {"type": "boolean"}}}
    one = {"required": ["a"], "properties": {"a": path, **rest}}
    parts = {"x": {"path": path}, "y": {"properties": {"a": {"$ref": "#/x/path"}}}}
    two = {"allOf": [{"$ref": "parts.json#/y"}, {"required": ["a"]}], "properties": rest}
    less = {"required": ["a"], "properties": rest}
    written = {"one": one, "two": two, "less": less, "parts": parts}
    for name, schema in written.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(schema))
    first, second, third = (
        runtime_spec.demands(tmp_path / f"{name}.json") for name in ("one", "two", "less")
    )
    assert first == second
    assert first - third == {"a: type string", "a: minLength 1"}


# Bad examples that our schema takes, and why: both are refused or ignored elsewhere.
SHAPE_IS_FINE = {
    "freebsd-vnet-disable.json": "other platforms are any object to a Linux runtime",
    "linux-hugepage.json": "the form of a page size is a rule of pyrun.compile.checks_linux",
}


def chosen(verdict: str, *documents: str) -> list[Any]:
    return [
        pytest.param(example, id=f"{example.document}-{example.name}")
        for example in runtime_spec.examples()
        if example.verdict == verdict and example.document in documents
    ]


def validator(document: str) -> Draft7Validator:
    return Draft7Validator(json.loads((ROOT / f"spec/{document}.schema.json").read_text()))


@pytest.mark.parametrize("example", chosen("good", *runtime_spec.DOCUMENTS))
def test_good_example(example: Example) -> None:
    errors = validator(example.document).iter_errors(json.loads(example.text))
    assert [error.message for error in errors] == []


@pytest.mark.parametrize("example", chosen("bad", *runtime_spec.DOCUMENTS))
def test_bad_example(example: Example) -> None:
    try:
        value = json.loads(example.text)
    except ValueError:
        assert example.name == "invalid-json.json"  # no JSON at all: refused before any schema
        return
    assert validator(example.document).is_valid(value) == (example.name in SHAPE_IS_FINE)


def complaints(example: Example) -> set[str]:
    """The pointers that the whole of `pyrun validate` names: of text, shape and rules."""
    try:
        return {pointer for pointer, _ in validate.full_report(example.text.encode())}
    except Error:
        return {"text"}


@pytest.mark.parametrize("example", chosen("bad", "config"))
def test_bad_config_is_refused_as_a_whole(example: Example) -> None:
    assert bool(complaints(example)) == (example.name != "freebsd-vnet-disable.json")


# Good by the schema, and yet no config for this runtime: a version of before 1.0, which is another
# format; of other platforms, what would change the host on Linux; and devices for a network that is
# not given.
REFUSED = {
    "spec-example.json": {"/ociVersion"},
    "zos-example.json": {"/ociVersion", "/mounts", "/hostname"},
    "freebsd-example.json": {"/mounts", "/hostname"},
    "linux-netdevice.json": {"/linux/netDevices"},
}


@pytest.mark.parametrize("example", chosen("good", "config"))
def test_good_config_is_taken_as_a_whole(example: Example) -> None:
    assert complaints(example) == REFUSED.get(example.name, set())


def test_there_are_examples_of_each_kind() -> None:
    kinds = {(example.document, example.verdict) for example in runtime_spec.examples()}
    assert len(kinds) == 6
