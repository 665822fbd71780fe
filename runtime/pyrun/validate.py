# SPDX-License-Identifier: Apache-2.0
"""Everything that is wrong or odd about a config at once, for a person: the slow path.

The shape is judged by jsonschema, a judge independent of the checker that runs at every create;
both have their words from pyrun.schema_check.
"""

from __future__ import annotations

import difflib
import os

from jsonschema import Draft7Validator

from pyrun import _schema, allowed_annotations, jsonscan, schema_check
from pyrun.cgroup import resources
from pyrun.compile import (
    acting_annotations,
    checks,
    layers,
    mount_maps,
    mount_options,
    unsupported,
    unusual_mounts,
)
from pyrun.config import NAME
from pyrun.errors import Error
from pyrun.linux import CAPABILITIES
from pyrun.schema_check import step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from jsonschema import ValidationError

    from pyrun.types import Config, Problem, Schema

CAPABILITY_SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")


def full_report(data: bytes, what: str = NAME) -> list[Problem]:
    """All problems of the text of a config, as (JSON pointer, what is expected and what is there).

    Raises Error when the text is no JSON that pyrun reads: there is nothing to point at.
    """
    value = jsonscan.loads(data, what, drop_null=True)
    return [*shape_problems(value), *rule_problems(value)]


def shape_problems(value: object, schema: Schema | None = None) -> list[Problem]:
    """What jsonschema finds, in the words of pyrun.schema_check."""
    validator = Draft7Validator(_schema.CONFIG if schema is None else schema)
    # One sentence describes all that a node asks for, so two broken keywords make one problem.
    return list(dict.fromkeys(_problem(error) for error in validator.iter_errors(value)))


def rule_problems(value: object) -> list[Problem]:
    """The broken rules between fields; a rule that trips over a broken shape stays silent."""
    found: list[Problem] = []
    if isinstance(value, dict):
        for rule in (*checks.CHECKS, _mount_options):
            found += _guarded(rule, value)
    return found


def _mount_options(config: Config) -> Iterator[Problem]:
    """What the compiler would stumble over: there, it ends with the first."""
    for index, mount in enumerate(config.get("mounts", ())):
        pointer = f"/mounts/{index}"
        try:
            options = mount_options.parse(mount, pointer)
            rare = options["rare"]
            if rare:
                unusual_mounts.check(mount, options, pointer)
            if "idmap" in rare or "ridmap" in rare:
                mount_maps.wanted(mount, rare, pointer, config)
        except Error as error:
            last = error.pointer.rpartition("/options/")[2]
            meant = _meant(mount["options"][int(last)]) if last.isdigit() else ""
            yield error.pointer, error.message + meant


def _meant(option: str) -> str:
    near = difflib.get_close_matches(option, mount_options.KNOWN, 1)
    return f": did you mean {near[0]}?" if near else ""


def notices(config: object, bundle: str) -> list[Problem]:
    """What is allowed and yet likely a mistake, as (JSON pointer, message)."""
    if not isinstance(config, dict):
        return []
    return [
        *_unknown_names(config, _schema.CONFIG, ""),
        *_guarded(unsupported.problems, config),
        *_guarded(_unknown_capabilities, config),
        *_guarded(lambda known: resources.left_out(known["linux"]["resources"]), config),
        *_guarded(lambda known: _rootfs(known, bundle), config),
        *_guarded(lambda known: _layers(known, bundle), config),
        *_guarded(_annotations, config),
    ]


def _guarded(rule: Callable[[Config], Iterable[Problem]], config: Config) -> list[Problem]:
    """What a rule for valid shapes says of any config: it stops where the shape is broken, and the
    report on the shape has that place already.
    """
    found: list[Problem] = []
    try:
        found.extend(rule(config))
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    return found


def _annotations(config: Config) -> Iterator[Problem]:
    where = allowed_annotations.FILE
    for key, value in config["annotations"].items():
        if acting_annotations.needs_leave(key, value):
            yield f"/annotations{step(key)}", f"is an error unless root allows it in {where}"


def _problem(error: ValidationError) -> Problem:
    assert isinstance(error.schema, dict)
    pointer = "".join(step(name) for name in error.absolute_path)
    if error.validator == "required":
        # jsonschema reports each missing name on its own, and names it in its message alone.
        names: tuple[str, ...] = error.schema["required"]
        name = next(name for name in names if error.message.startswith(repr(name)))
        below, text = schema_check.missing(name)
        return pointer + below, text
    return pointer, schema_check.complaint(error.instance, error.schema)


def _unknown_names(value: object, node: Schema, at: str) -> Iterator[Problem]:
    """Members that no schema knows: extensions, or names mistyped. Free-form objects have none."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown_names(item, node.get("items", {}), at + step(index))
    elif isinstance(value, dict):
        known = node.get("properties", {})
        other = node.get("additionalProperties")
        for name, member in value.items():
            child = known.get(name, other)
            if child is not None:
                yield from _unknown_names(member, child, at + step(name))
            elif known:
                near = difflib.get_close_matches(name, known, 1)
                near += [word for word in known if name.startswith(word)]
                meant = f": did you mean {near[0]}?" if near else ""
                yield at + step(name), f"is unknown and ignored{meant}"


def _unknown_capabilities(config: Config) -> Iterator[Problem]:
    for kind in CAPABILITY_SETS:
        names = config.get("process", {}).get("capabilities", {}).get(kind, ())
        for index, name in enumerate(names):
            if name not in CAPABILITIES:
                at = f"/process/capabilities/{kind}/{index}"
                yield at, f"no such capability, so it is ignored: {schema_check.shown(name)}"


def _rootfs(config: Config, bundle: str) -> Iterator[Problem]:
    yield from _directory(os.path.join(bundle, config["root"]["path"]), "/root/path")


def _layers(config: Config, bundle: str) -> Iterator[Problem]:
    text = config["annotations"][layers.OVERLAY]
    for path in layers.split(text) if not layers.lower_problem(text) else ():
        yield from _directory(os.path.join(bundle, path), f"/annotations/{layers.OVERLAY}")


def _directory(path: str, pointer: str) -> Iterator[Problem]:
    if not os.path.isdir(path):
        why = "is not a directory" if os.path.exists(path) else "does not exist"
        yield pointer, f"{path} {why}"
