# SPDX-License-Identifier: Apache-2.0
"""The schemas themselves: valid, complete, and of one mind with the specification's examples."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from pyrun import validate
from pyrun.errors import Error
from unit import configs

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = {name: ROOT / f"spec/{name}.schema.json" for name in ("config", "state", "features")}
KEYWORDS = {
    "type", "properties", "required", "items", "enum", "minimum", "maximum", "minItems",
    "minLength", "additionalProperties", "$ref",
}  # fmt: skip
TEXTS = {"$schema", "$comment", "title", "definitions"}

# The specification's folder, where someone keeps a copy beside this project.
OFFICIAL = Path(os.environ.get("PYRUN_OCI_SPEC", ROOT.parent / "shared/oci-runtime-spec"))
needs_official = pytest.mark.skipif(
    not (OFFICIAL / "schema/test").is_dir(),
    reason=f"this machine: no copy of the runtime-spec at {OFFICIAL} (or PYRUN_OCI_SPEC)",
)

# Bad examples that our schema takes, and why: both are refused or ignored elsewhere.
SHAPE_IS_FINE = {
    "freebsd-vnet-disable.json": "other platforms are any object to a Linux runtime",
    "linux-hugepage.json": "the form of a page size is a rule of pyrun.compile.checks_linux",
}


def read(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(SCHEMAS[name].read_text())
    return schema


def validator(name: str) -> Draft7Validator:
    return Draft7Validator(read(name))


def nodes(node: dict[str, Any]) -> list[dict[str, Any]]:
    """A schema node and all below it."""
    below = [*node.get("properties", {}).values(), *node.get("definitions", {}).values()]
    below += [node[keyword] for keyword in ("items", "additionalProperties") if keyword in node]
    return [node, *(deeper for child in below for deeper in nodes(child))]


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_draft_07_in_our_subset(name: str) -> None:
    schema = read(name)
    Draft7Validator.check_schema(schema)
    for node in nodes(schema):
        assert set(node) <= KEYWORDS | TEXTS, node
        assert "$ref" in node or "type" in node, node
        if "$ref" in node:
            assert node["$ref"].removeprefix("#/definitions/") in schema["definitions"]


def property_paths(value: object, at: str = "") -> set[str]:
    if isinstance(value, dict):
        return {at}.union(*(property_paths(m, f"{at}/{n}") for n, m in value.items()))
    if isinstance(value, list):
        return {at}.union(*(property_paths(item, f"{at}[]") for item in value))
    return {at}


def schema_paths(node: dict[str, Any], definitions: dict[str, Any], at: str = "") -> set[str]:
    node = definitions[node["$ref"].removeprefix("#/definitions/")] if "$ref" in node else node
    paths = {at}
    for name, child in node.get("properties", {}).items():
        paths |= schema_paths(child, definitions, f"{at}/{name}")
    if "items" in node:
        paths |= schema_paths(node["items"], definitions, f"{at}[]")
    return paths


def test_the_full_config_is_valid_and_uses_every_property() -> None:
    assert list(validator("config").iter_errors(configs.FULL)) == []
    schema = read("config")
    unused = schema_paths(schema, schema["definitions"]) - property_paths(configs.FULL)
    # Lists that are empty in the full config, because a value would break a rule.
    assert {path for path in unused if not path.endswith("[]")} == set()


def official_properties(file: str, node: dict[str, Any], at: str = "") -> set[str]:
    """Every property path of an official schema, its $refs across files resolved."""
    while "$ref" in node:
        target, _, inner = node["$ref"].partition("#")
        file = target or file
        node = json.loads((OFFICIAL / "schema" / file).read_text())
        for name in inner.strip("/").split("/"):
            node = node[name]
    paths = {at}
    for name, child in node.get("properties", {}).items():
        paths |= official_properties(file, child, f"{at}/{name}")
    for part in node.get("allOf", ()):
        paths |= official_properties(file, part, at)
    if "items" in node:
        paths |= official_properties(file, node["items"], f"{at}[]")
    return paths


@needs_official
@pytest.mark.parametrize("name", SCHEMAS)
def test_no_property_of_the_official_schema_is_unknown_to_ours(name: str) -> None:
    file = f"{name}-schema.json"
    official = official_properties(file, json.loads((OFFICIAL / "schema" / file).read_text()))
    platforms = ("/windows/", "/solaris/", "/vm/", "/zos/", "/freebsd/")
    clocks = "/linux/timeOffsets/"  # free names in ours; pyrun.compile.checks_linux knows the two
    ours = read(name)
    missing = official - schema_paths(ours, ours.get("definitions", {}))
    assert {path for path in missing if not path.startswith((*platforms, clocks))} == set()


def examples(verdict: str) -> list[Any]:
    paths = sorted(OFFICIAL.glob(f"schema/test/*/{verdict}/*.json"))
    return [pytest.param(path, id=f"{path.parts[-3]}-{path.name}") for path in paths]


@needs_official
@pytest.mark.parametrize("path", examples("good"))
def test_good_example_of_the_specification(path: Path) -> None:
    errors = validator(path.parts[-3]).iter_errors(json.loads(path.read_text()))
    assert [error.message for error in errors] == []


@needs_official
@pytest.mark.parametrize("path", examples("bad"))
def test_bad_example_of_the_specification(path: Path) -> None:
    try:
        value = json.loads(path.read_text())
    except ValueError:
        return  # no JSON at all: refused before any schema
    assert validator(path.parts[-3]).is_valid(value) == (path.name in SHAPE_IS_FINE)


@needs_official
@pytest.mark.parametrize("path", [p for p in examples("bad") if "config-" in str(p.id)])
def test_bad_config_of_the_specification_is_refused_as_a_whole(path: Path) -> None:
    try:
        refused = validate.full_report(path.read_bytes()) != []
    except Error:
        refused = True
    assert refused == (path.name != "freebsd-vnet-disable.json")


STATE = {"ociVersion": "1.3.0", "id": "a", "status": "running", "pid": 7, "bundle": "/b"}
FEATURES = {"ociVersionMin": "1.0.0", "ociVersionMax": "1.3.0"}


@pytest.mark.parametrize(
    ("name", "value", "valid"),
    [
        ("state", STATE, True),
        ("state", STATE | {"status": "paused", "annotations": {"a": ""}, "owner": ""}, True),
        ("state", STATE | {"status": "dead"}, False),
        ("state", STATE | {"pid": -1}, False),
        ("state", STATE | {"annotations": {"a": 1}}, False),
        ("state", {"ociVersion": "1.3.0", "id": "a", "status": "running"}, False),
        ("features", FEATURES, True),
        ("features", FEATURES | {"linux": {"cgroup": {"v1": "yes"}}}, False),
        ("features", FEATURES | {"linux": {"mountExtensions": {"idmap": {"enabled": True}}}}, True),
        ("features", FEATURES | {"hooks": "prestart"}, False),
        ("features", {"ociVersionMin": "1.0.0"}, False),
    ],
)
def test_examples_of_our_own(name: str, value: object, valid: bool) -> None:
    assert validator(name).is_valid(value) == valid
