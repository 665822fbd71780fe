# SPDX-License-Identifier: Apache-2.0
"""What the runtime opens for the executor, and what this version refuses."""

from __future__ import annotations

from typing import Any

import pytest

from pyrun.compile import unsupported
from pyrun.compile.donations import donations, opens_sources, slot_of
from unit.compile.rules import FACTS, Config, bind, mounts, spaces, with_facts
from unit.configs import FULL, minimal

FIFOS: list[tuple[str, ...]] = [("fifo",), ("result",)]
ROOT = ("tree", "/bundle/rootfs", "recursive", "/root/path")

CASES: list[tuple[Config, dict[str, Any], list[tuple[str, ...]]]] = [
    ({}, {"fifo": False}, []),
    ({}, {}, FIFOS),
    (spaces("mount", "pid"), {}, FIFOS),
    (
        spaces("network@/n", "pid@/p"),
        {},
        [("namespace", "network", "/n"), ("namespace", "pid", "/p"), *FIFOS],
    ),
    (mounts(bind("/m")), {}, FIFOS),  # the executor opens it itself
    (mounts(bind("/m"), kinds=("user", "mount")), {"privileged": False}, FIFOS),
    (
        mounts(
            bind("/a"),
            {"destination": "/p", "type": "proc"},
            bind("/b", "rel", "bind"),
            bind("/c"),
            kinds=("user", "mount"),
        ),
        {"device_sources": [("/dev/null", "/linux/devices")]},
        [
            *FIFOS,
            ROOT,
            ("tree", "/src", "recursive", "/mounts/0"),
            ("tree", "/bundle/rel", "", "/mounts/2"),
            ("tree", "/src", "recursive", "/mounts/3"),
            ("tree", "/dev/null", "", "/linux/devices"),
        ],
    ),
]


@pytest.mark.parametrize(("config", "unusual", "expected"), CASES)
def test_donations(
    config: Config, unusual: dict[str, Any], expected: list[tuple[str, ...]]
) -> None:
    facts = with_facts(config, **unusual)
    assert donations(config, {**FACTS, **unusual}) == expected
    assert [slot_of(facts, *donation) for donation in expected] == list(range(len(expected)))
    assert len(set(expected)) == len(expected)


@pytest.mark.parametrize("privileged", [False, True])
@pytest.mark.parametrize("kinds", [(), ("user",), ("user@/u",)])
def test_who_opens_the_sources(kinds: tuple[str, ...], privileged: bool) -> None:
    opened = opens_sources(spaces(*kinds), {**FACTS, "privileged": privileged})
    assert opened is (privileged and bool(kinds))


def test_what_is_refused() -> None:
    """FULL asks for everything: what is not refused has to have a rule or a place elsewhere."""
    refused = {pointer for pointer, _ in unsupported.problems(FULL)}
    assert refused == set()
    assert unsupported.problems(minimal()) == []
    assert unsupported.problems({"process": {}, "linux": {"intelRdt": {}}}) == []
