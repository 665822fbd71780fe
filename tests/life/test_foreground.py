# SPDX-License-Identifier: Apache-2.0
"""What waits in the foreground is a process of a few pages, and what it takes away at the end is
the container that it has waited for, not another of the same name."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from life.runtimes import Container, eventually

with_peers = pytest.mark.with_peers
pyrun_only = pytest.mark.pyrun_only

NULL = subprocess.DEVNULL
MOST = 2048  # KiB


def runs(container: Container) -> bool:
    return '"running"' in container.runtime("state", container.id).out


@contextmanager
def waiting(container: Container, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
    """`run` of a long sleep, which runs by now."""
    container.bundle.say("sleep 100")
    container.bundle.save()
    pid_file = ["--pid-file", container.pid_file]
    words = ["run", "--bundle", container.bundle.path, *pid_file, *flags, container.id]
    process = container.runtime.popen(*words, stdin=NULL, stdout=NULL, stderr=subprocess.PIPE)
    try:
        assert eventually(lambda: runs(container), 30)
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.communicate()


def has_become_the_launcher(process: subprocess.Popen[bytes]) -> bool:
    """It was that at its very beginning, too, but not by this name."""
    return Path(f"/proc/{process.pid}/cmdline").read_bytes().startswith(b"pyrun:wait\0")


def kib(process: subprocess.Popen[bytes]) -> int:
    """What it holds in memory, shared pages in proportion (Pss of proc_pid_smaps(5))."""
    text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss: +(\d+) kB", text, re.MULTILINE)
    assert found
    return int(found[1])


@pyrun_only("the peers wait as what they are")
@pytest.mark.parametrize("verb", ["run", "exec"])
def test_memory(container: Container, verb: str) -> None:
    with waiting(container) as process:
        if verb == "run":
            assert eventually(lambda: has_become_the_launcher(process))
            assert kib(process) <= MOST
            assert container.delete("--force").code == 0
            return
        words = ["exec", container.id, "/payload", "sleep", "100"]
        inner = container.runtime.popen(*words, stdin=NULL, stdout=NULL)
        try:
            assert eventually(lambda: has_become_the_launcher(inner))
            assert eventually(lambda: kib(inner) <= MOST)
        finally:
            assert container.delete("--force").code == 0
        assert inner.wait(20) == 128 + signal.SIGKILL


@with_peers
def test_the_container_goes_with_its_end(container: Container) -> None:
    with waiting(container) as process:
        assert container.kill("KILL").code == 0
        assert process.wait(20) == 128 + signal.SIGKILL
        assert container.runtime("state", container.id).code != 0


@pyrun_only("the peers delete whatever has the name by then")
def test_another_of_the_same_name_stays(container: Container) -> None:
    """Somebody deletes the container and makes it anew while who waits for it can't look."""
    with waiting(container) as process:
        assert eventually(lambda: has_become_the_launcher(process))
        process.send_signal(signal.SIGSTOP)
        assert container.delete("--force").code == 0
        container.started("sleep 100")
        pid = container.state()["pid"]
        process.send_signal(signal.SIGCONT)
        assert process.wait(20) == 128 + signal.SIGKILL
        assert (container.status(), container.state()["pid"]) == ("running", pid)
        assert container.delete("--force").code == 0


@pyrun_only("the flag is between `run` and `delete`")
def test_delete_of_the_one_that_had_this_init(container: Container) -> None:
    container.started("sleep 100")
    other = container.pid + 1
    assert container.delete("--force", "--init", str(other)).code == 0
    assert container.status() == "running"
    assert container.delete("--force", "--init", str(container.pid)).code == 0
    assert container.runtime("state", container.id).code != 0


@pyrun_only("--keep is crun's, whose record nobody reads")
def test_what_stays_is_on_record(container: Container) -> None:
    container.bundle.say("exit 7")
    container.bundle.save()
    words = ["run", "--keep", "--bundle", container.bundle.path, container.id]
    assert container.runtime(*words).code == 7
    assert container.runtime("wait", container.id).code == 7
    assert container.delete().code == 0


@pyrun_only("its folder")
@pytest.mark.parametrize("name", ["", "wait"], ids=["", "called as a verb"])
def test_a_failed_end_is_told(container: Container, name: str) -> None:
    """The container's exit code would hide that it is there still."""
    container.id = name or container.id
    with waiting(container) as process:
        place = container.runtime.root / container.id / "busy"
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
        try:
            assert container.kill("KILL").code == 0
            _, said = process.communicate(timeout=20)
        finally:
            subprocess.run(["umount", place], check=True)
        assert process.returncode == 1
        assert b"busy" in said
    assert container.delete("--force").code == 0


@pyrun_only("the launcher waits, and Python takes the container away")
def test_standard_input_stays_open(container: Container, tmp_path: Path) -> None:
    """Python's half that poststop hooks need found a directory in its place, and gave up."""
    mark = tmp_path / "mark"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"echo > {mark}"], "env": ["PATH=/bin"]}
    container.bundle.config["hooks"] = {"poststop": [hook]}
    result = container.run("print x", env={})
    assert (result.code, result.answers()) == (0, ["x"])
    assert mark.exists()
