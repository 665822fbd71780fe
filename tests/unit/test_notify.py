# SPDX-License-Identifier: Apache-2.0
"""NOTIFY_SOCKET in the config: which containers get one."""

from __future__ import annotations

import os
from pathlib import Path
from socket import AF_UNIX, SOCK_DGRAM, socket
from typing import Any

import pytest

from pyrun import notify, state

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


def test_flood_after_the_end_of_the_init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that outlives it, and never stops to send, does not hold `start`."""
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    box = state.Container(str(tmp_path.parent), -1, tmp_path.name, folder)
    notify.make_folder(box)
    proxy = notify.Proxy(box)
    ended, init = os.pipe()
    os.close(init)  # an event, as of the pidfd of a process that has ended
    looks: list[bool] = []

    def look(_proxy: notify.Proxy) -> bool:
        looks.append(False)
        assert len(looks) < 3, "it waits for ever"
        return False  # and there is more

    monkeypatch.setattr(notify.Proxy, "is_ready", look)
    with socket(AF_UNIX, SOCK_DGRAM) as sender:
        sender.connect(str(tmp_path / notify.FOLDER / notify.NAME))
        sender.send(b"STATUS=1")
        proxy.wait(ended, 1)
    proxy.socket.close()
    for fd in (ended, folder):
        os.close(fd)
    assert looks == [False]
