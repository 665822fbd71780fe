# SPDX-License-Identifier: Apache-2.0
"""A real config with one thing in it that is odd: it runs, or one line says why not; and nothing of
it stays on the host. tests/unit/test_odd_configs.py has many more of them, without a host.
"""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from life.bundles import Bundle
from life.runtimes import Container
from pyrun import config as configs
from pyrun import prepare
from pyrun.errors import Error
from unit.odd_configs import NUMBERS, STRINGS, places

NUMBERED = range(60)
# Not these: they lead to the host's own files, and with a new root to its own root.
KEPT = ("path", "source", "cgroupsPath")


def enrich(bundle: Bundle) -> None:
    """More to be odd."""
    bundle.process.update(
        rlimits=[{"type": "RLIMIT_NOFILE", "soft": 64, "hard": 128}],
        oomScoreAdj=0,
        user={"uid": 5, "gid": 6, "umask": 18, "additionalGids": [7]},
    )
    bundle.config["annotations"] = {"org.example": "x"}
    bundle.linux.update(
        sysctl={"kernel.shmmax": "4096"},
        maskedPaths=["/proc/kcore"],
        readonlyPaths=["/proc/sys"],
        rootfsPropagation="private",
        devices=[{"path": "/dev/odd", "type": "c", "major": 1, "minor": 3, "fileMode": 420}],
        seccomp={
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["chmod"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}],
        },
    )
    bundle.linux["resources"].update(
        memory={"limit": 64 << 20}, pids={"limit": 20}, cpu={"shares": 512}
    )


def make_odd(config: Any, chance: random.Random) -> None:
    """Changes one value, to one of the same type more often than not."""
    paths = [path for path in places(config) if path[-1] not in KEPT]
    path = chance.choice(paths)
    place = config
    for name in path[:-1]:
        place = place[name]
    old = place[path[-1]]
    values: list[Any] = [None, True, {}, [], 1.5, "\0", "\ud800", -1, [[]], {"": {}}]
    if chance.random() < 0.7:
        values = STRINGS if isinstance(old, str) else NUMBERS
    if chance.random() < 0.15:
        del place[path[-1]]
    else:
        place[path[-1]] = chance.choice(values)


def accepted(bundle: Bundle) -> bool:
    """Whether the config alone is refused."""
    try:
        prepare.check(configs.load(str(bundle.path)))
    except Error:
        return False
    return True


@pytest.mark.pyrun_only("one line for every refusal")
@pytest.mark.parametrize("number", NUMBERED)
def test_odd(container: Container, bundle: Bundle, number: int) -> None:
    chance = random.Random(number)
    enrich(bundle)
    bundle.say("print x")
    make_odd(bundle.config, chance)
    if number % 2:
        result = container.run()
    else:
        result = container.create()
        if result.code == 0:
            assert container.delete("--force").code == 0
    ran = result.err.startswith("payload: ")  # and has its own view of odd arguments
    if (result.code and not ran) or not accepted(bundle):
        assert result.code == 1
        assert re.fullmatch(r"pyrun: [^\n]+\n", result.err)
        assert "internal error" not in result.err
        assert result.err.strip("\n").isprintable()
    assert container.runtime("state", container.id).code == 1
