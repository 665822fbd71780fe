# SPDX-License-Identifier: Apache-2.0
"""The schemas themselves: valid, in our subset, and as the full config has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from unit import configs

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = {name: ROOT / f"spec/{name}.schema.json" for name in ("config", "state", "features")}
KEYWORDS = {
    "type", "properties", "required", "items", "enum", "minimum", "maximum", "minItems",
    "minLength", "additionalProperties", "$ref",
}  # fmt: skip
TEXTS = {"$schema", "$comment", "title", "definitions"}


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
