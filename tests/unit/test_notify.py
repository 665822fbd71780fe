# SPDX-License-Identifier: Apache-2.0
"""NOTIFY_SOCKET in the config: which containers get one."""

from __future__ import annotations

from typing import Any

import pytest

from pyrun import notify

MOUNT = {"type": "mount"}
ELSEWHERE = {"destination": "/run", "type": "tmpfs"}


def arranged(*namespaces: dict[str, str], mounts: Any = None) -> tuple[Any, dict[str, Any]]:
    """(mounts, facts) of a config with these."""
    facts: dict[str, Any] = {"sources": {}, "extra_env": [], "notify": False}
    config = {"linux": {"namespaces": list(namespaces)}, "mounts": mounts}
    notify.arrange(config, facts, "/state/box")
    return config["mounts"], facts


@pytest.mark.parametrize("before", [None, [], [ELSEWHERE]])
def test_mounted_last(before: list[Any] | None) -> None:
    """Behind whatever the config mounts at /run."""
    mounts, facts = arranged(MOUNT, mounts=before)
    assert mounts[:-1] == (before or [])
    assert mounts[-1] == {
        "destination": "/run/notify",
        "type": "bind",
        "source": "/state/box/notify",
        "options": ["bind", "ro", "nosuid", "nodev", "noexec"],
    }
    assert facts == {
        "sources": {"/state/box/notify": "directory"},
        "extra_env": [("NOTIFY_SOCKET", "/run/notify/notify.sock")],
        "notify": True,
    }


@pytest.mark.parametrize(
    ("namespaces", "mounts"),
    [
        ([{"type": "pid"}], None),
        ([MOUNT], [{"destination": "/run/./notify/", "type": "tmpfs"}]),
    ],
)
def test_left_alone(namespaces: list[dict[str, str]], mounts: Any) -> None:
    """Without a mount namespace, or where the config mounts something there itself."""
    found, facts = arranged(*namespaces, mounts=mounts)
    assert found == mounts
    assert facts == {"sources": {}, "extra_env": [], "notify": False}
