# SPDX-License-Identifier: Apache-2.0
"""pause and resume, and what the other verbs make of a paused container."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from life.bundles import Bundle
from life.runtimes import Container, eventually
from needs import needs

pytestmark = needs("root")
with_peers = pytest.mark.with_peers
differs = pytest.mark.differs
pyrun_only = pytest.mark.pyrun_only


def ticks(container: Container) -> int:
    """The processor time that the init has had: utime of proc_pid_stat(5)."""
    text = Path(f"/proc/{container.pid}/stat").read_text()
    return int(text.rpartition(")")[2].split()[11])


def verb(container: Container, name: str) -> tuple[int, str]:
    """A verb on it, its exit code and what it says."""
    result = container.runtime(name, container.id)
    return result.code, result.err


@with_peers
def test_a_paused_container_stands_still(container: Container) -> None:
    container.started("burn 60000")
    assert eventually(lambda: ticks(container) > 0)
    assert verb(container, "pause")[0] == 0
    assert container.status() == "paused"
    before = ticks(container)
    time.sleep(0.1)
    assert ticks(container) == before
    assert verb(container, "resume")[0] == 0
    assert container.status() == "running"
    assert eventually(lambda: ticks(container) > before)


@with_peers
def test_every_process_is_paused(container: Container) -> None:
    """Those that the init has started, too."""
    container.started("spawn 3", "sleep 100")
    assert eventually(lambda: container.answers() == ["ok"])
    assert verb(container, "pause")[0] == 0
    container.kill("TERM", *([] if container.runtime.name == "runc" else ["--all"]))
    time.sleep(0.05)
    assert Path(f"/proc/{container.pid}").exists()
    assert verb(container, "resume")[0] == 0


@differs(crun="1.8 says that it is created")
@with_peers
def test_a_container_that_is_not_started_can_be_paused(container: Container) -> None:
    container.created("print ran")
    assert verb(container, "pause")[0] == 0
    assert container.status() == "paused"
    code, text = verb(container, "start")
    assert code == 1
    assert "cannot start a container in the paused state" in text
    assert verb(container, "resume")[0] == 0
    assert container.status() == "created"
    assert container.start().code == 0
    assert eventually(lambda: container.answers() == ["ran"])


@differs(crun="1.8 pauses and resumes whatever state it is in")
@with_peers
def test_words_for_other_states(container: Container) -> None:
    container.started("sleep 100")
    code, text = verb(container, "resume")
    assert code == 1
    assert "container not paused" in text
    assert verb(container, "pause")[0] == 0
    code, text = verb(container, "pause")
    assert code == 1
    assert "container not running" in text
    assert container.delete().code == 1
    assert container.kill("KILL").code == 0
    container.wait()
    code, text = verb(container, "pause")
    assert code == 1
    assert "container not running" in text
    code, text = verb(container, "resume")
    assert code == 1
    assert "container not paused" in text


@differs(crun="leaves it frozen")
@with_peers
@needs("cgroup_v1_controllers")
def test_kill_reaches_a_paused_container(container: Container) -> None:
    kill_paused(container)


@with_peers
@needs("cgroup_v2")
def test_kill_reaches_a_paused_container_on_v2(container: Container) -> None:
    kill_paused(container)


def kill_paused(container: Container) -> None:
    """SIGKILL, after which it is there no more."""
    container.started("sleep 100")
    assert verb(container, "pause")[0] == 0
    assert container.kill("KILL").code == 0
    assert container.wait() == -signal.SIGKILL
    assert container.delete().code == 0


def test_another_signal_waits_for_resume(container: Container) -> None:
    container.started("trap")
    assert eventually(lambda: container.output.read_text() == "ready\n")
    assert verb(container, "pause")[0] == 0
    assert container.kill("USR1").code == 0
    time.sleep(0.05)
    assert container.output.read_text() == "ready\n"
    assert container.status() == "paused"
    assert verb(container, "resume")[0] == 0
    assert eventually(lambda: container.output.read_text() == "ready\nUSR1\n")


def test_delete_by_force_of_a_paused_container(container: Container, bundle: Bundle) -> None:
    bundle.namespaces("ipc", "uts", "mount", "network", "cgroup")
    container.started("spawn 3", "sleep 100")
    assert eventually(lambda: container.answers() == ["ok"])
    assert verb(container, "pause")[0] == 0
    assert container.delete("--force").code == 0


@with_peers
def test_verbs_on_a_container_in_the_foreground(container: Container, bundle: Bundle) -> None:
    """Whoever waits for it to end does not keep it from the others."""
    bundle.say("sleep 100")
    bundle.save()
    words = ("run", "--bundle", bundle.path, container.id)
    process = container.runtime.popen(*words, stdout=subprocess.DEVNULL)
    try:
        assert eventually(lambda: container.runtime("state", container.id).code == 0)
        assert eventually(lambda: container.status() == "running")
        assert verb(container, "pause")[0] == 0
        assert container.status() == "paused"
        assert verb(container, "resume")[0] == 0
        assert container.start().code == 1
        if container.runtime.name == "pyrun":  # crun then fails to do what is done
            assert container.delete("--force").code == 0
        else:
            assert container.kill("KILL").code == 0
        assert process.wait(10) == 128 + signal.SIGKILL
    finally:
        process.kill()
        process.wait()


@pyrun_only("its words")
@pytest.mark.parametrize("name", ["pause", "resume"])
def test_no_such_container(container: Container, name: str) -> None:
    assert verb(container, name) == (1, f"pyrun: container does not exist: {container.id}\n")


@pyrun_only("the flag, and the words")
def test_without_a_cgroup(container: Container, bundle: Bundle) -> None:
    bundle.linux.pop("cgroupsPath")
    bundle.linux.pop("resources")
    assert container.create("sleep 100", options=["--cgroup-manager", "disabled"]).code == 0
    assert container.start().code == 0
    code, text = verb(container, "pause")
    assert code == 1
    assert "has no freezer cgroup" in text
