# SPDX-License-Identifier: Apache-2.0
"""The next exec of a shape takes no Python, and brings in the same process as one that did. (The
tests that are marked `again` ask the same of everything that exec does.)"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from life.bundles import Bundle
from life.exec_steps import NOT_STARTED, cgroup_of, end, process_file
from life.runtimes import Container, eventually
from life.templates import LOOK, MOST, Joiner, damage, with_hooks, without_numbers
from life.test_exec_crash import child_of
from needs import needs

pytestmark = [
    needs("root", "strace"),
    pytest.mark.pyrun_only("no peer has templates"),
    pytest.mark.one_way("templates are the launcher's"),
]


def test_the_same_process(joiner: Joiner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its namespaces, identity, confinement, limits, descriptors."""
    joiner.prime(*LOOK)
    found, python = joiner.exec(*LOOK)
    assert not python
    assert (found.code, found.err) == (0, "")
    monkeypatch.setenv("PYRUN_NO_FAST", "1")
    by_python, python = joiner.exec(*LOOK)
    assert python
    assert without_numbers(found) == without_numbers(by_python)
    assert len(found.answers()) == len(LOOK)


def test_what_may_differ(joiner: Joiner) -> None:
    """Arguments, and values of the environment in a file of --process."""
    assert joiner.prime("hostname").answers() == ["box"]
    result, python = joiner.exec("umask")
    assert not python
    assert result.answers() == ["0022"] or result.answers()[0].endswith("22")
    for number, value in enumerate(("a", "b c", "x=y", "%")):
        path = process_file(joiner.container, "env", env=["PATH=/", f"ONE={value}", "TWO=2"])
        if not number:
            joiner.prime(flags=["--process", path])
            continue
        result, python = joiner.exec(flags=["--process", path])
        assert not python, value
        assert f"ONE={value}" in result.answers()[0], value


@pytest.mark.parametrize(
    "members",
    [
        {"env": ["PATH=/", "ONE=1", "THREE=3"]},
        {"env": ["PATH=/x", "ONE=1"]},
        {"env": ["PATH=/", 'ONE="']},
        {"env": ["PATH=/", "ONE=\n"]},
        {"env": ["PATH=/", "ONE="]},
        {"env": ["PATH=/", "ONE=1"], "cwd": "/tmp"},
        {"env": ["PATH=/", "ONE=1"], "user": {"uid": 5, "gid": 0}},
        {"env": ["PATH=/", "ONE=1"], "noNewPrivileges": True},
        {"env": ["PATH=/", "ONE=1"], "capabilities": {}},
    ],
)
def test_what_is_another_shape(joiner: Joiner, members: dict[str, Any]) -> None:
    path = process_file(joiner.container, "env", env=["PATH=/", "ONE=1"])
    joiner.prime(flags=["--process", path])
    assert not joiner.exec(flags=["--process", path])[1]
    path = process_file(joiner.container, "env", **members)
    result, python = joiner.exec(flags=["--process", path])
    assert python
    assert result.code == 0


def test_other_arguments_are_another_shape(joiner: Joiner) -> None:
    joiner.prime("hostname")
    for words in (("hostname", "id"), ('print "x"',)):
        assert joiner.exec(*words)[1], words
    flags = ["--cwd", "/"]
    assert joiner.exec("hostname", flags=flags)[1]
    before = os.umask(0o77)
    try:
        assert joiner.exec("umask")[0].answers()[0].endswith("77")
    finally:
        os.umask(before)


def test_detached_with_a_pid_file(joiner: Joiner, bundle: Bundle) -> None:
    flags = ["--detach", "--pid-file", bundle.path / "exec.pid"]
    joiner.prime("sleep 1000", flags=flags)
    first = int((bundle.path / "exec.pid").read_text())
    result, python = joiner.exec("sleep 1001", flags=flags)
    assert (result, python) == ((0, "", ""), False)
    second = int((bundle.path / "exec.pid").read_text())
    assert (bundle.path / "exec.pid").stat().st_mode & 0o777 == 0o644
    assert cgroup_of(first) == cgroup_of(second) != cgroup_of("self")
    assert Path(f"/proc/{second}/cmdline").read_bytes().split(b"\0")[2] == b"1001"
    assert [end(pid) for pid in (first, second)] == [-signal.SIGKILL] * 2


def test_exit_codes(joiner: Joiner) -> None:
    joiner.prime("exit 3")
    for code in (0, 7, 255):
        result, python = joiner.exec(f"exit {code}")
        assert (result.code, python) == (code, False)


def test_signals_are_forwarded(joiner: Joiner) -> None:
    container = joiner.container
    joiner.prime("umask")
    words = container.runtime.command("exec", container.id, "/payload", "trap")
    prefix = ["strace", "-qq", "-e", "trace=execve", "-o", str(joiner.trace)]
    process = subprocess.Popen([*prefix, *words], stdout=subprocess.PIPE)
    assert process.stdout
    with process.stdout as out:
        assert out.readline() == b"ready\n"
        os.kill(child_of(process), signal.SIGUSR1)
        assert out.readline() == b"USR1\n"
        os.kill(child_of(process), signal.SIGTERM)
        assert out.readline() == b"TERM\n"
    assert process.wait(10) == 0
    assert "/interpreter" not in joiner.trace.read_text()


def test_python_explains(joiner: Joiner) -> None:
    """A program that is not there, whoever looks first."""
    path = process_file(joiner.container, "hostname")
    joiner.prime(flags=["--process", path])
    rootfs = joiner.container.bundle.path / "rootfs"
    (rootfs / "payload").rename(rootfs / "elsewhere")
    try:
        result, python = joiner.exec(flags=["--process", path])
        assert (result.code, result.out, python) == (NOT_STARTED, "", True)
        assert "/payload" in result.err
        assert result.err.count("\n") == 1
    finally:
        (rootfs / "elsewhere").rename(rootfs / "payload")


def test_paused(joiner: Joiner) -> None:
    joiner.prime("hostname")
    assert joiner.container.runtime("pause", joiner.container.id).code == 0
    result, python = joiner.exec("hostname")
    assert (result.code, python) == (NOT_STARTED, True)
    assert "paused" in result.err
    assert joiner.container.runtime("resume", joiner.container.id).code == 0
    assert not joiner.exec("hostname")[1]


def test_stopped(joiner: Joiner) -> None:
    joiner.prime("hostname")
    os.kill(joiner.container.pid, signal.SIGKILL)
    assert eventually(lambda: joiner.container.status() == "stopped")
    result, python = joiner.exec("hostname")
    assert (result.code, python) == (NOT_STARTED, True)
    assert "stopped" in result.err


@pytest.mark.parametrize("name", ["intent.json", "state.json"])
def test_records_that_were_replaced(joiner: Joiner, name: str) -> None:
    joiner.prime("hostname")
    path = joiner.container.runtime.root / joiner.container.id / name
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    path.chmod(0o600)
    result, python = joiner.exec("hostname")
    assert (result.answers(), python) == (["box"], True)


def test_damaged(joiner: Joiner) -> None:
    joiner.prime("hostname")
    (path,) = joiner.folder.iterdir()
    data = path.read_bytes()
    for at in (0, 5, 13, 17, 21, 60, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data)
        damage(path, at)
        result, python = joiner.exec("hostname", env={**os.environ, "PYRUN_NO_FAST": ""})
        assert result.answers() == ["box"]
        assert python, at
        path.write_bytes(data)
        damage(path, at)
        assert joiner.exec("hostname")[0].answers() == ["box"], at


def test_a_caller_elsewhere(joiner: Joiner) -> None:
    """Who shares other namespaces with the container joins by another plan."""
    joiner.prime("hostname")
    container = joiner.container
    prefix = ["nsenter", f"--uts=/proc/{container.pid}/ns/uts"]
    prefix += ["strace", "-qq", "-e", "trace=execve", "-o", str(joiner.trace)]
    assert container.exec("hostname", prefix=prefix).answers() == ["box"]
    assert "/interpreter" in joiner.trace.read_text()
    assert not joiner.exec("hostname")[1]


def test_the_idle_one_makes_room(joiner: Joiner) -> None:
    for count in range(1, MOST + 1):
        joiner.prime(*["hostname"] * count)
    assert not joiner.exec("hostname")[1]  # the first one is of use again
    joiner.prime(*["hostname"] * (MOST + 1))
    assert set(joiner.templates()) == {str(number) for number in range(MOST)}
    assert not joiner.exec(*["hostname"] * (MOST + 1))[1]
    assert not joiner.exec("hostname")[1]
    assert joiner.exec("hostname", "hostname")[1]


def test_at_once_that_are_never_the_same(joiner: Joiner) -> None:
    """What changes each time leaves no template each time."""
    began = time.monotonic()
    for count in range(1, 6):
        joiner.container.exec(*["umask"] * count)
    assert len(joiner.templates()) <= 2 + (time.monotonic() - began) / 0.1


def user_namespace(bundle: Bundle) -> None:
    bundle.map_ids()


def affinity(bundle: Bundle) -> None:
    bundle.process["execCPUAffinity"] = {"initial": "0"}


@pytest.mark.parametrize(
    ("kind", "leaves"), [(with_hooks, True), (user_namespace, False), (affinity, False)]
)
def test_which_containers(
    container: Container, bundle: Bundle, kind: Callable[[Bundle], None], leaves: bool
) -> None:
    kind(bundle)
    container.started("sleep 1000")
    joiner = Joiner(container)
    assert container.exec_ask("hostname") == ["box"]
    assert bool(joiner.templates()) == leaves
    result, python = joiner.exec("hostname")
    assert (result.answers(), python) == (["box"], not leaves)


def test_deleted_with_the_container_without_python(joiner: Joiner) -> None:
    joiner.prime("hostname")
    container = joiner.container
    os.kill(container.pid, signal.SIGKILL)
    assert eventually(lambda: container.status() == "stopped")
    end(container.pid)
    prefix = ["strace", "-qq", "-e", "trace=execve", "-o", str(joiner.trace)]
    assert container.delete(prefix=prefix) == (0, "", "")
    assert "/interpreter" not in joiner.trace.read_text()
    assert not (container.runtime.root / container.id).exists()
