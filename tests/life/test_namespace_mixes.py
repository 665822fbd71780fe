# SPDX-License-Identifier: Apache-2.0
"""linux.namespaces: all eight kinds new, joined by path and absent, in any mix.

The rows are a covering array: each two kinds meet in each two ways. One pair can't be had: in a
joined mount namespace, nothing can be mounted by root of a new user namespace.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from life.bundles import Bundle, mount
from life.runtimes import Container, eventually

differs = pytest.mark.differs

FILES = {"network": "net", "mount": "mnt"}
KINDS = ("user", "mount", "pid", "network", "ipc", "uts", "cgroup", "time")
NEW, JOINED, ABSENT = "NJ-"
ROWS = (
    "N--NJ-J-", "JNJJ--NN", "-JN-NJ-J", "--JJJNNJ", "NNN--NJ-", "JJ-N-N-N", "J-N-JJJN", "NN-JNJN-",
    "-JJNN-JJ", "-NJNJJ--", "-------J", "JJNJJ-N-", "N-J-N-NN", "JNNJNN-J", "N-NN-J-J", "-NNNNJNN",
    "-J-JJJJN", "JJJJJJJJ", "NNNNNNNN", "--------",
)  # fmt: skip
# The same without what runc 1.1 and crun 1.8 know nothing of, or refuse: time namespaces, and a
# joined user namespace without maps.
FOR_PEERS = ("-N-JNJN", "-NJNJJ-", "NNNNNNN", "-NNJ-NJ", "-NJ-NNN", "NNNJNJN", "-N---NN")


def links(pid: int | str) -> dict[str, str]:
    """The namespaces of a process, by the kind's name in config.json."""
    return {kind: os.readlink(f"/proc/{pid}/ns/{FILES.get(kind, kind)}") for kind in KINDS}


def mix(bundle: Bundle, row: str, pod: int) -> None:
    """A config with these namespaces; without what is another namespace's to mount or to name."""
    ways = dict(zip(KINDS, row, strict=False))
    del bundle.config["hostname"]
    bundle.config["mounts"] = []
    if ways["mount"] != ABSENT:
        bundle.config["mounts"] = [mount("/dev", "tmpfs", "nosuid", "mode=755")]
    if ways["mount"] == NEW and (ways["user"] == ABSENT or ways["pid"] == NEW):
        bundle.config["mounts"].append(mount("/proc", "proc"))
    if ways["user"] != ABSENT:
        bundle.map_ids()
    new = [kind for kind, way in ways.items() if way == NEW]
    joined = {k: f"/proc/{pod}/ns/{FILES.get(k, k)}" for k, way in ways.items() if way == JOINED}
    bundle.namespaces(*new, **joined)
    if ways["user"] == JOINED:
        del bundle.linux["uidMappings"], bundle.linux["gidMappings"]


def check(container: Container, row: str, pod: int) -> None:
    """Start it, compare from outside, where every kind can be seen, and end it."""
    container.created("id", "clock 7", "sleep 100")
    waiting = links(container.pid)
    assert container.start().code == 0
    ours, theirs, inside = links("self"), links(pod), links(container.pid)
    assert waiting == inside, "nothing of it changes at start"
    for kind, way in zip(KINDS, row, strict=False):
        if way == ABSENT:
            assert inside[kind] == ours[kind], kind
        elif way == JOINED:
            assert inside[kind] == theirs[kind], kind
        else:
            assert inside[kind] not in (ours[kind], theirs[kind]), kind
    assert eventually(lambda: len(container.answers()) == 2)
    assert container.answers()[0].startswith("0 0")
    # Not left to the fixtures: a pid namespace ends when everything in it was waited for.
    assert container.kill().code == 0
    container.wait()


@pytest.mark.pyrun_only("time namespaces and joined user namespaces without maps")
@pytest.mark.parametrize("row", ROWS)
def test_mix(container: Container, bundle: Bundle, pod: int, row: str) -> None:
    mix(bundle, row, pod)
    check(container, row, pod)
    if row[-1] == JOINED:
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        assert 4900 < int(container.answers()[1]) - uptime < 5100


@pytest.mark.with_peers
@pytest.mark.parametrize("row", FOR_PEERS)
def test_mix_of_the_older_kinds(container: Container, bundle: Bundle, pod: int, row: str) -> None:
    mix(bundle, row, pod)
    check(container, row, pod)


@pytest.mark.pyrun_only("time namespaces")
@pytest.mark.parametrize("row", ["NNNNNNNN", "-NNNNNNN", "JNNJNNNN", "N-JJJJJN", "-------N"])
def test_time_offsets_in_a_mix(container: Container, bundle: Bundle, pod: int, row: str) -> None:
    """Written by the runtime, whoever owns the other namespaces."""
    mix(bundle, row, pod)
    bundle.linux["timeOffsets"] = {
        "boottime": {"secs": 500000, "nanosecs": 5},
        "monotonic": {"secs": 1000},
    }
    check(container, row, pod)
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    assert 499900 < int(container.answers()[1]) - uptime < 500100


@pytest.mark.with_peers
@differs(runc="1.1 wants the maps too")
def test_joined_of_two_owners(container: Container, bundle: Bundle, pod: int) -> None:
    """The caller may enter what is the host's, root of the joined user namespace may not."""
    mix(bundle, "JN-JJJN-", pod)
    with subprocess.Popen(["unshare", "--net", "--ipc", "--uts", "sleep", "100"]) as other:
        comm = Path(f"/proc/{other.pid}/comm")
        assert eventually(lambda: comm.read_text() == "sleep\n")
        for entry in bundle.linux["namespaces"]:
            if entry["type"] in ("network", "ipc", "uts"):
                entry["path"] = entry["path"].replace(str(pod), str(other.pid))
        try:
            container.created("sleep 100")
            theirs, owners, inside = links(other.pid), links(pod), links(container.pid)
        finally:
            other.kill()
    assert inside["user"] == owners["user"]
    for kind in ("network", "ipc", "uts"):
        assert inside[kind] == theirs[kind], kind


@pytest.mark.pyrun_only("the text")
def test_mount_namespace_of_another_user_namespace(
    container: Container, bundle: Bundle, pod: int
) -> None:
    mix(bundle, "NJ------", pod)
    result = container.run("print x")
    assert result.code == 1
    assert "operation not permitted" in result.err or "permission denied" in result.err
    assert "print" not in result.out
