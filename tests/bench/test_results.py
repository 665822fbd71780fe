# SPDX-License-Identifier: Apache-2.0
"""What becomes of measured times."""

from __future__ import annotations

import json

import pytest
import results

from .figures import NAMES, made_up


def test_hyperfine() -> None:
    entry = results.hyperfine("pyrun run", [1_000_000, 2_000_000, 6_000_000], {"mounts": "3"})
    assert entry == {
        "command": "pyrun run",
        "mean": 0.003,
        "stddev": pytest.approx(0.002646),
        "median": 0.002,
        "min": 0.001,
        "max": 0.006,
        "times": [0.001, 0.002, 0.006],
        "exit_codes": [0, 0, 0],
        "parameters": {"mounts": "3"},
    }


def test_one_time_has_no_deviation() -> None:
    entry = results.hyperfine("pyrun run", [1_000_000])
    assert entry["stddev"] is None
    assert "parameters" not in entry


def test_ratios_are_ours_by_theirs() -> None:
    found = made_up()
    assert found["ratios"]["runc"]["run"]["median"] == 0.5
    assert found["ratios"]["crun"]["run"]["median"] == 2
    assert list(found["ratios"]) == ["runc", "crun"]
    assert found["growth"]["mounts"]["ratios"]["runc"]["10"]["median"] == 0.5
    assert found["at once"]["ratios"]["runc"]["median"] == 2


def test_every_time_is_there() -> None:
    commands = [entry["command"] for entry in made_up()["results"]]
    for name in NAMES:
        assert f"{name} run" in commands
    assert "floor run, 30 mounts + seccomp" not in commands
    assert commands.count("pyrun mounts") == 2


def test_dump_is_the_same_in_fewer_lines() -> None:
    found = made_up()
    text = results.dump(found)
    assert json.loads(text) == found
    assert text.count("\n") < json.dumps(found, indent=1).count("\n") / 2
