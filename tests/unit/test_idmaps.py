# SPDX-License-Identifier: Apache-2.0
"""What is written about a process from outside: its id maps, time offsets and OOM score."""

from __future__ import annotations

from typing import Any

import pytest

from pyrun import idmaps, process_limits

MAPS = [
    {"containerID": 0, "hostID": 1000, "size": 1},
    {"containerID": 1, "hostID": 100000, "size": 65535},
]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Text by path."""
    found: dict[str, str] = {}

    def note(path: str, text: str, pointer: str, hint: str = "") -> None:
        assert pointer.startswith(("/linux/", "/process/"))
        found[path] = text

    monkeypatch.setattr(idmaps, "write", note)
    return found


def test_maps(written: dict[str, str]) -> None:
    idmaps.write_maps(7, {"linux": {"uidMappings": MAPS, "gidMappings": MAPS[:1]}}, privileged=True)
    assert written == {
        "/proc/7/uid_map": "0 1000 1\n1 100000 65535\n",
        "/proc/7/gid_map": "0 1000 1\n",
    }


def test_a_map_of_ones_own_without_privileges(
    written: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """setgroups(2) has to be given up before a group is mapped: user_namespaces(7)."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("os.getegid", lambda: 1000)
    own = {"linux": {"uidMappings": MAPS[:1], "gidMappings": MAPS[:1]}}
    idmaps.write_maps(7, own, privileged=False)
    assert list(written.items()) == [
        ("/proc/7/uid_map", "0 1000 1\n"),
        ("/proc/7/setgroups", "deny"),
        ("/proc/7/gid_map", "0 1000 1\n"),
    ]


def test_time_offsets(written: dict[str, str]) -> None:
    clocks = {"monotonic": {"secs": -5, "nanosecs": 6}, "boottime": {"secs": 7}}
    idmaps.write_time_offsets(7, {"linux": {"timeOffsets": clocks}})
    assert written == {"/proc/7/timens_offsets": "monotonic -5 6\nboottime 7 0\n"}


@pytest.mark.parametrize(
    ("process", "expected"),
    [
        ({"oomScoreAdj": -998}, {"/proc/7/oom_score_adj": "-998"}),
        ({"oomScoreAdj": 0}, {"/proc/7/oom_score_adj": "0"}),
        ({}, {}),
        (None, {}),
    ],
)
def test_oom_score(written: dict[str, str], process: Any, expected: dict[str, str]) -> None:
    process_limits.write_oom_score(7, {"process": process})
    assert written == expected
