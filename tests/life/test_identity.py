# SPDX-License-Identifier: Apache-2.0
"""process: who the program is, what it may do, and what it is given."""

from __future__ import annotations

import pytest

from life.bundles import Bundle
from life.runtimes import Container

with_peers = pytest.mark.with_peers
differs = pytest.mark.differs

KILL, NET_BIND, AUDIT_WRITE, CHOWN = 1 << 5, 1 << 10, 1 << 29, 1 << 0


def sets(answer: str) -> dict[str, int]:
    """The payload's five sets."""
    return {name: int(value, 16) for name, value in map(str.split, answer.splitlines())}


@with_peers
def test_capabilities_of_root(container: Container, bundle: Bundle) -> None:
    bundle.process["capabilities"] = {
        "bounding": ["CAP_KILL", "CAP_CHOWN", "CAP_AUDIT_WRITE"],
        "permitted": ["CAP_KILL", "CAP_CHOWN"],
        "effective": ["CAP_KILL"],
        "inheritable": ["CAP_KILL"],
        "ambient": ["CAP_KILL"],
    }
    assert sets(container.ask("caps")[0]) == {
        "bounding": KILL | CHOWN | AUDIT_WRITE,
        "permitted": KILL | CHOWN,
        "effective": KILL | CHOWN,  # of root, execve(2) raises what is permitted
        "inheritable": KILL,
        "ambient": KILL,
    }


@with_peers
def test_umask(container: Container, bundle: Bundle) -> None:
    assert container.ask("umask")[0] == "0022"
    bundle.process["user"]["umask"] = 0o027
    assert container.ask("umask")[0] == "0027"
