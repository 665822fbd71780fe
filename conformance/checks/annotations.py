# SPDX-License-Identifier: Apache-2.0
"""config.md: annotations, unknown properties, and values that are no valid ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance.bundle import Config
from conformance.case import Case
from conformance.plugin import check, each


@check("config.annotations")
def check_kept(case: Case) -> None:
    """Any text, in state."""
    wanted = {"com.example.one": '{"a": [1, 2]}', "two words": "\u00e9\n"}
    case.box.config["annotations"] = wanted
    seen = case.box.created().state().get("annotations") or {}
    case.expect("annotations", wanted, {key: seen.get(key) for key in wanted})


@each(
    {
        "config.annotations-none": [None, {}],
        "config.annotations.value-empty": [{"com.example.a": ""}],
        "config.annotations.unknown": [{"com.example.unknown": "1", "org.example.x.": "y"}],
    }
)
def check_taken(case: Case, row: list[Any]) -> None:
    """The container runs."""
    for value in row:
        box = case.new()
        if value is not None:
            box.config["annotations"] = value
        case.expect(f"with {value}", ["ran"], box.ask("print ran"))


@each({"config.annotations-map": ["com.example.one"], "config.annotations.key-empty": {"": "value"},
       "config.annotations.value-string": {"com.example.one": 1}})  # fmt: skip
def check_refused(case: Case, row: Any) -> None:
    """A list; an empty key; a number."""
    case.box.config["annotations"] = row
    case.refused(case.box, f"create with annotations {row!r}")


@check("config.ociVersion-form")
def check_version_form(case: Case) -> None:
    """A word; a version of two numbers."""
    for value in ("latest", "1.0"):
        box = case.new()
        box.config["ociVersion"] = value
        case.refused(box, f"create with ociVersion {value}")


@check("config.extensibility.ignore")
def check_unknown_properties(case: Case) -> None:
    """In every part of the config, of every type."""
    config = case.box.config
    places: list[Config] = [
        config,
        config["process"],
        config["root"],
        config["linux"],
        config["process"]["user"],
        config["mounts"][0],
        config["linux"]["resources"],
        config["linux"]["namespaces"][0],
    ]
    values: list[Any] = ["text", 1, True, None, [1], {"a": {}}, "", {}]
    for place, value in zip(places, values, strict=True):
        place["comExampleUnknown"] = value
    case.expect("what the program printed", ["ran"], case.box.ask("print ran"))


def _set(*path: str | int, value: Any) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        place: Any = config
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


# what is wrong, and how the config gets it: of types, of words, of numbers
INVALID: dict[str, Callable[[Config], None]] = {
    "a process.user.uid of -1": _set("process", "user", "uid", value=-1),
    "process.args that is a string": _set("process", "args", value="/payload"),
    "a namespace of type nonsense": _set("linux", "namespaces", 0, "type", value="nonsense"),
    "root.readonly that is a string": _set("root", "readonly", value="yes"),
    "rootfsPropagation nonsense": _set("linux", "rootfsPropagation", value="nonsense"),
    "a device of type x": _set("linux", "devices", value=[
        {"type": "x", "path": "/dev/conformance", "major": 1, "minor": 3}]),
    "a seccomp action SCMP_ACT_NONSENSE": _set("linux", "seccomp", value={
        "defaultAction": "SCMP_ACT_NONSENSE"}),
    "a mount of a type that no kernel has": _set("mounts", 3, "type", value="nonsensefs"),
}  # fmt: skip


@each({f"config.values.invalid#{what}": what for what in INVALID})
def check_invalid(case: Case, row: str) -> None:
    """One that the specification or the kernel does not have."""
    INVALID[row](case.box.config)
    case.refused(case.box, f"create with {row}")


@check("config.values.invalid")
def check_no_json(case: Case) -> None:
    """config.json that is no JSON at all."""
    case.box.bundle.save()
    (case.box.bundle.path / "config.json").write_text('{"ociVersion": "1.0.2", ')
    words = ("create", "--bundle", case.box.bundle.path, case.box.id)
    case.error("create with half a config", case.runtime(*words))
