# SPDX-License-Identifier: Apache-2.0
"""org.pyrun.landlock: an annotation with Landlock rules for the container's processes, as JSON in
the kernel's words (landlock(7)):

    {"handledAccessFS": ["write_file", "make_reg"],
     "pathBeneath": [{"paths": ["/tmp"], "allowedAccess": ["write_file", "make_reg"]}],
     "handledAccessNet": ["connect_tcp"],
     "netPort": [{"ports": [443], "allowedAccess": ["connect_tcp"]}],
     "scoped": ["signal"]}

What is handled is denied but where a rule allows it. Loaded only where it is asked for.
"""

from __future__ import annotations

from pyrun import jsonscan, ops, schema_check
from pyrun.compile import capabilities
from pyrun.compile.capabilities import LANDLOCK
from pyrun.compile.slots import RULESET
from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pyrun.types import Config, Facts, Problem, Schema, Steps

POINTER = f"/annotations/{LANDLOCK}"
# name: (bit, the ABI that brought it), as in linux/landlock.h without LANDLOCK_ACCESS_FS_
FS = {
    "execute": (1 << 0, 1),
    "write_file": (1 << 1, 1),
    "read_file": (1 << 2, 1),
    "read_dir": (1 << 3, 1),
    "remove_dir": (1 << 4, 1),
    "remove_file": (1 << 5, 1),
    "make_char": (1 << 6, 1),
    "make_dir": (1 << 7, 1),
    "make_reg": (1 << 8, 1),
    "make_sock": (1 << 9, 1),
    "make_fifo": (1 << 10, 1),
    "make_block": (1 << 11, 1),
    "make_sym": (1 << 12, 1),
    "refer": (1 << 13, 2),
    "truncate": (1 << 14, 3),
    "ioctl_dev": (1 << 15, 5),
}
NET = {"bind_tcp": (1 << 0, 4), "connect_tcp": (1 << 1, 4)}
SCOPED = {"abstract_unix_socket": (1 << 0, 6), "signal": (1 << 1, 6)}
KERNELS = {1: "5.13", 2: "5.19", 3: "6.2", 4: "6.7", 5: "6.10", 6: "6.12"}


def _words(table: dict[str, tuple[int, int]]) -> Schema:
    return {"type": "array", "items": {"type": "string", "enum": list(table)}}


def _rules(key: str, item: Schema, table: dict[str, tuple[int, int]]) -> Schema:
    members = {
        key: {"type": "array", "minItems": 1, "items": item},
        "allowedAccess": {**_words(table), "minItems": 1},
    }
    return {
        "type": "array",
        "items": {"type": "object", "required": list(members), "properties": members},
    }


SCHEMA: Schema = {
    "type": "object",
    "properties": {
        "handledAccessFS": _words(FS),
        "pathBeneath": _rules("paths", {"type": "string"}, FS),
        "handledAccessNet": _words(NET),
        "netPort": _rules("ports", {"type": "integer", "minimum": 0, "maximum": 65535}, NET),
        "scoped": _words(SCOPED),
    },
}
# (what is handled, its rules, the items of a rule)
KINDS = (
    ("handledAccessFS", "pathBeneath", "paths", FS),
    ("handledAccessNet", "netPort", "ports", NET),
)


def document(config: Config) -> Config:
    """The annotation's value. Raises Error where it is no JSON."""
    value: Any = jsonscan.loads(config["annotations"][LANDLOCK].encode(), "its value")
    found: Config = value
    return found


def problems(config: Config) -> Iterator[Problem]:
    """Of the annotation alone: see compile.checks. Places in its value are in the messages."""
    try:
        value = document(config)
    except Error as error:
        yield POINTER, error.message
        return
    found = schema_check.check(value, SCHEMA)
    found = found or [*_unknown(value, SCHEMA), *_broken(value)]
    for place, text in found:
        yield POINTER, f"{place} {text}" if place else text


def _unknown(value: object, node: Schema) -> Iterator[Problem]:
    """Members that mean nothing: a rule that is passed over by a slip would be a hole."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            for place, text in _unknown(item, node["items"]):
                yield f"/{index}{place}", text
    elif isinstance(value, dict):
        for name, member in value.items():
            known = node["properties"].get(name)
            if known is None:
                yield (
                    schema_check.step(name),
                    f"is unknown: there are {', '.join(node['properties'])}",
                )
                continue
            for place, text in _unknown(member, known):
                yield f"{schema_check.step(name)}{place}", text


def _broken(value: Config) -> Iterator[Problem]:
    if not any(value.get(name) for name in ("handledAccessFS", "handledAccessNet", "scoped")):
        yield "", "handles nothing, so it would restrict nothing"
    for handled, rules, _, _ in KINDS:
        for index, rule in enumerate(value.get(rules) or ()):
            for word in rule["allowedAccess"]:
                if word not in (value.get(handled) or ()):
                    yield f"/{rules}/{index}/allowedAccess", f"{word} is not in {handled}"
    for index, rule in enumerate(value.get("pathBeneath") or ()):
        for number, path in enumerate(rule["paths"]):
            if not path.startswith("/") or "\0" in path:
                place = f"/pathBeneath/{index}/paths/{number}"
                yield place, f"must be an absolute path, not {schema_check.shown(path)}"


def _bits(words: list[str], table: dict[str, tuple[int, int]]) -> int:
    return sum({table[word][0] for word in words})


def _require(value: Config, abi: int) -> None:
    """That this kernel has all of it. Raises Error."""
    if abi < 1:
        raise Error(
            "this kernel has no Landlock",
            POINTER,
            "it takes CONFIG_SECURITY_LANDLOCK, and landlock in the boot option lsm=",
        )
    tables = {"handledAccessFS": FS, "handledAccessNet": NET, "scoped": SCOPED}
    wanted = [
        (table[word][1], word) for name, table in tables.items() for word in value.get(name) or ()
    ]
    needed, word = max(wanted)
    if needed > abi:
        takes = f"ABI {needed} of Landlock (Linux {KERNELS[needed]})"
        raise Error(f"{word} takes {takes}, this kernel has {abi}", POINTER)


def prepare(config: Config, facts: Facts) -> Steps:
    """The rules, while we are root and may open what they name: by what is there now. Raises
    Error."""
    value = document(config)
    _require(value, facts["landlock_abi"])
    handled = (
        _bits(value.get("handledAccessFS") or [], FS),
        _bits(value.get("handledAccessNet") or [], NET),
        _bits(value.get("scoped") or [], SCOPED),
    )
    yield POINTER, ops.landlock_ruleset(*handled, RULESET)
    for rule in value.get("pathBeneath") or ():
        for path in rule["paths"]:
            yield POINTER, ops.landlock_path(RULESET, path, _bits(rule["allowedAccess"], FS))
    for rule in value.get("netPort") or ():
        for port in rule["ports"]:
            yield POINTER, ops.landlock_port(RULESET, port, _bits(rule["allowedAccess"], NET))


def restrict(config: Config, facts: Facts) -> Steps:
    """From here on. Without no_new_privs it takes CAP_SYS_ADMIN, as a filter does, which is loaded
    after this."""
    yield POINTER, ops.landlock_restrict(RULESET)
    yield POINTER, ops.close_slot(RULESET)
    if not facts["seccomp"]:
        yield from capabilities.settle(config, facts)
