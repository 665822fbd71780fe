# SPDX-License-Identifier: Apache-2.0
"""checkpoint and restore: a container that counts goes on counting, with all that it holds."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

import needs
from life.checkpoints import Saved, goes_on
from life.runtimes import eventually

pytestmark = needs.needs("criu")
with_peers = pytest.mark.with_peers
differs = pytest.mark.differs(crun="Debian's is built without CRIU")


@with_peers
@differs
@pytest.mark.parametrize("verb", ["count", "count-piped"])
def test_a_counter_goes_on(saved: Saved, verb: str) -> None:
    """Through its end, its deletion and its restore, with its output in pipes."""
    first = saved.start(verb)
    first.lines(3)
    saved.saved()
    saved.container.delete("--force")
    before = first.rest()
    second = saved.restored()
    assert goes_on(before, second.lines(3))
    assert saved.container.status() == "running"


@with_peers
@differs
def test_leave_running(saved: Saved) -> None:
    pipe = saved.start("count")
    pipe.lines(2)
    saved.saved("--leave-running", "--leave-running")  # podman passes it twice
    assert goes_on(pipe.lines(3))
    assert saved.container.status() == "running"


@with_peers
@differs
def test_it_is_gone_afterwards(saved: Saved) -> None:
    saved.start("count").lines(1)
    saved.saved()
    assert saved.container.runtime("state", saved.container.id).code != 0
    assert saved.container.delete("--force").code == 0


@with_peers
@differs
def test_exec(saved: Saved) -> None:
    """A process joins what was restored, confined as what was saved."""
    saved.container.bundle.process["noNewPrivileges"] = True
    saved.start("count").lines(2)
    saved.saved()
    pipe = saved.restored()
    container = saved.container
    hostname, privileges, ns = container.exec_ask("hostname", "nnp", "ns")
    assert (hostname, privileges) == ("box", "1")
    assert f"pid {os.readlink(f'/proc/{container.pid}/ns/pid')}" in ns
    assert container.kill().code == 0
    pipe.rest()


@with_peers
@differs
def test_what_the_other_verbs_see(saved: Saved) -> None:
    saved.start("count").lines(2)
    saved.saved()
    pipe = saved.restored()
    container = saved.container
    state = container.state()
    assert state["status"] == "running"
    assert state["pid"] == container.pid
    assert Path(f"/proc/{container.pid}/cmdline").read_bytes().startswith(b"/payload")
    assert container.runtime("pause", container.id).code == 0
    assert container.status() == "paused"
    assert container.runtime("resume", container.id).code == 0
    assert container.start().code != 0
    assert container.kill().code == 0
    pipe.rest()
    assert eventually(lambda: container.status() == "stopped")
    assert container.delete().code == 0


@with_peers
@differs
def test_work_path_is_made(saved: Saved) -> None:
    saved.start("count").lines(1)
    work = saved.container.bundle.path / "work"
    saved.saved("--work-path", work)
    assert (work / "dump.log").exists()
    assert not (saved.images / "dump.log").exists()
    assert saved.restored("--work-path", work).lines(1)
    assert (work / "restore.log").exists()


def test_output_in_a_file(saved: Saved) -> None:
    """A file of the host, on no mount of the container."""
    container = saved.container
    output = container.bundle.path / "numbers"

    def call(verb: str, *flags: str | Path) -> None:
        words = [verb, "--detach", "--bundle", container.bundle.path, *flags, container.id]
        with open(output, "ab") as file:
            process = container.runtime.popen(
                *words, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
            )
        assert process.wait(20) == 0, (output.read_text(), saved.log("restore.log"))

    def count() -> int:
        return output.read_text().count("\n")

    container.bundle.say("count")
    container.bundle.save()
    call("run")
    assert eventually(lambda: count() > 2)
    saved.saved()
    before = count()
    call("restore", "--image-path", saved.images)
    assert eventually(lambda: count() > before + 2)
    assert goes_on(output.read_text().splitlines())


def test_descriptors_of_the_images(saved: Saved) -> None:
    """As in runc's: what 0, 1 and 2 were."""
    saved.start("count").lines(1)
    inode = os.stat(f"/proc/{saved.container.pid}/fd/1").st_ino
    saved.saved()
    found = json.loads((saved.images / "descriptors.json").read_text())
    assert found[1] == f"pipe:[{inode}]"
