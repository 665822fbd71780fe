# SPDX-License-Identifier: Apache-2.0
"""What a network device may be called, on the host and in the container."""

from __future__ import annotations

import pytest

from pyrun.compile.net_device_names import inside, problem

NAME, LONG, BAD, PERCENT = (
    "must be the name",
    "longer than 15",
    "spaces, / or :",
    "must not contain %",
)
NAMES = [
    # name, why it is none, why it is none that a device could get
    ("eth0", "", ""),
    ("a" * 15, "", ""),
    ("a" * 16, LONG, LONG),
    ("ä" * 8, LONG, LONG),  # the kernel counts bytes
    ("ä" * 7, "", ""),
    ("...", "", ""),
    ("", NAME, NAME),
    (".", NAME, NAME),
    ("..", NAME, NAME),
    ("a/b", BAD, BAD),
    ("eth0:1", BAD, BAD),
    ("a b", BAD, BAD),
    ("a\n", BAD, BAD),
    ("a\u00a0", BAD, BAD),
    ("eth%d", PERCENT, ""),
    ("%d", PERCENT, ""),
    ("a" * 13 + "%d", PERCENT, ""),
    ("a" * 14 + "%d", LONG, LONG),
    ("eth%d0", PERCENT, PERCENT),
    ("eth%d%d", PERCENT, PERCENT),
    ("eth%s", PERCENT, PERCENT),
    ("100%", PERCENT, PERCENT),
]


@pytest.mark.parametrize(("name", "on_host", "in_container"), NAMES)
def test_names(name: str, on_host: str, in_container: str) -> None:
    assert on_host in problem(name)
    assert in_container in problem(name, template=True)
    assert bool(problem(name)) == bool(on_host)
    assert bool(problem(name, template=True)) == bool(in_container)


def test_the_name_in_the_container() -> None:
    assert inside("eth0", {}) == inside("eth0", {"name": ""}) == "eth0"
    assert inside("eth0", {"name": "net%d"}) == "net%d"
