# SPDX-License-Identifier: Apache-2.0
"""The flags of update as linux.resources."""

from __future__ import annotations

from typing import Any

import pytest

from pyrun import _flags, schema_check
from pyrun._schema import CONFIG
from pyrun.commands import update
from pyrun.errors import Error

RESOURCES = CONFIG["properties"]["linux"]["properties"]["resources"]


def options(**given: str) -> dict[str, Any]:
    return {**_flags.VERBS["update"][1], **given}


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("123", 123),
        ("64b", 64),
        ("1k", 1024),
        ("512M", 512 << 20),
        ("512m", 512 << 20),
        ("512MB", 512 << 20),
        ("512 MiB", 512 << 20),
        ("1.5g", 3 << 29),
        ("2Gi", 2 << 30),
        ("1t", 1 << 40),
        ("1P", 1 << 50),
        ("9007199254740993", 9007199254740993),
        ("", None),
        ("-1", None),
        ("M", None),
        ("1.M", None),
        ("1e3", None),
        ("1 2", None),
        ("1x", None),
        ("0x10", None),
        ("٣", None),
        ("1ib", None),
    ],
)
def test_sizes(text: str, size: int | None) -> None:
    assert update.size_of(text) == size


def test_every_flag_has_a_place_in_the_schema() -> None:
    known = set(_flags.VERBS["update"][1]) - {"resources", *update.RDT_FLAGS, *update.IGNORED}
    assert known == set(update.FLAGS)
    for option, (pointer, kind) in update.FLAGS.items():
        _, group, name = pointer.split("/")
        node = RESOURCES["properties"][group]["properties"][name]
        assert node["type"] == ("string" if kind == "text" else "integer"), option
    names = CONFIG["properties"]["linux"]["properties"]["intelRdt"]["properties"]
    assert set(update.RDT_FLAGS.values()) <= set(names)


def test_flags_as_resources() -> None:
    given = options(
        memory="512M", memory_swap="-1", cpu_share="300", cpuset_cpus="0-1", cpu_idle="0"
    )
    assert update.from_flags(given) == {
        "memory": {"limit": 512 << 20, "swap": -1},
        "cpu": {"shares": 300, "cpus": "0-1", "idle": 0},
    }
    assert update.from_flags(options()) == {}
    assert schema_check.check(update.from_flags(given), RESOURCES) == []


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("memory", "lots", "--memory: 'lots' is no size"),
        ("memory_swap", "--5", "--memory-swap: '--5' is no size"),
        ("pids_limit", "5M", "--pids-limit: '5M' is no number"),
        ("cpu_period", "0x10", "--cpu-period: '0x10' is no number"),
    ],
)
def test_what_is_no_number(option: str, text: str, message: str) -> None:
    with pytest.raises(Error) as caught:
        update.from_flags(options(**{option: text}))
    assert caught.value.message == message
