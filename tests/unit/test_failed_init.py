# SPDX-License-Identifier: Apache-2.0
"""What is said of an init that could not be started, or that died."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from pyrun import failed_init, launch
from pyrun.errors import Error

FACTS: Any = {"seccomp_flags": 0, "seccomp": b""}
LIMIT = "/linux/resources/memory/limit"
M = 1 << 20


def config(**resources: Any) -> dict[str, Any]:
    return {"linux": {"resources": resources}}


@pytest.mark.parametrize(
    ("found", "pointer"),
    [
        ({}, ""),
        (config(), ""),
        (config(memory={"limit": -1}), ""),
        (config(memory={"limit": M}), LIMIT),
        (config(memory=None, unified={"memory.max": "5"}), "/linux/resources/unified/memory.max"),
    ],
)
def test_the_field_that_limits_memory(found: dict[str, Any], pointer: str) -> None:
    assert failed_init.memory_limit(found) == pointer


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.E2BIG])
def test_a_call_that_fails_for_it(number: int) -> None:
    error = launch._no_spawn(number, 0)
    failed_init.explain(error, {"paths": {}}, config(memory={"limit": M}), FACTS)
    assert error.pointer == LIMIT
    assert error.message.startswith("container init was OOM-killed (memory limit too low?): clone3")


def test_without_a_limit_it_is_the_hosts_memory() -> None:
    error = launch._no_spawn(errno.ENOMEM, 0)
    failed_init.explain(error, {"paths": {}}, config(), FACTS)
    assert str(error) == "clone3: cannot allocate memory: there is no memory left"


EVENTS = "low 0\nhigh 0\nmax 9\noom {}\noom_kill {}\n"


@pytest.mark.parametrize(
    ("files", "starved"),
    [
        ({}, False),
        ({"memory.events": EVENTS.format(0, 0)}, False),
        ({"memory.events": EVENTS.format(1, 0)}, True),
        ({"memory.events": EVENTS.format(1, 1)}, True),
        ({"v1/memory.oom_control": "under_oom 0\noom_kill 1\n"}, True),
        ({"v1/memory.oom_control": "oom_kill 0\n", "v1/memory.failcnt": "0\n"}, False),
        ({"v1/memory.oom_control": "oom_kill 0\n", "v1/memory.failcnt": "3\n"}, True),
    ],
)
def test_one_that_died(tmp_path: Path, files: dict[str, str], starved: bool) -> None:
    (tmp_path / "v1").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    legacy = any(name.startswith("v1/") for name in files)
    paths = {"memory": str(tmp_path / "v1")} if legacy else {"": str(tmp_path)}
    error = launch.DiedError("the container's init died")
    failed_init.explain(error, {"paths": paths}, config(memory={"limit": M}), FACTS)
    if starved:
        assert error.message == "container init was OOM-killed (memory limit too low?)"
        assert error.pointer == LIMIT
    else:
        assert str(error) == "the container's init died"


def test_another_failure_keeps_its_words() -> None:
    error = Error("x", "/y", "z")
    failed_init.explain(error, {"paths": {}}, config(memory={"limit": M}), FACTS)
    assert str(error) == "config.json /y: x: z"
