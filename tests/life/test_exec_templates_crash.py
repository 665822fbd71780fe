# SPDX-License-Identifier: Apache-2.0
"""An exec by a template that is killed, interrupted, or refused a system call."""

from __future__ import annotations

import errno
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from faults import verbs
from faults.kinds import Kind
from faults.stops import Stop
from life.bundles import Bundle, sentence
from life.exec_steps import end
from life.templates import PAUSE, Joiner
from life.test_crash import Victim, points
from life.test_exec_crash import FAILURES, check, processes
from needs import needs

pytestmark = [
    needs("root", "strace"),
    pytest.mark.pyrun_only("no peer has templates"),
    pytest.mark.one_way("templates are the launcher's"),
]


@pytest.fixture
def traced(joiner: Joiner, bundle: Bundle) -> tuple[Victim, list[str | Path], Path]:
    """A detached exec that was traced when it went without Python, and its pid file."""
    victim, pid_file = Victim(joiner.container), bundle.path / "exec.pid"
    words = ["exec", "--detach", "--pid-file", pid_file, joiner.container.id]
    words += ["/payload", *sentence("sleep 1000")]
    time.sleep(PAUSE)
    for _ in range(2):
        assert under_strace(victim, words) == 0
        end(int(pid_file.read_text()))
        pid_file.unlink()
    assert "/interpreter" not in victim.trace.read_text()
    return victim, words, pid_file


def under_strace(victim: Victim, words: Sequence[str | Path], *options: str) -> int:
    """Its exit code; what it says is not looked at."""
    null = subprocess.DEVNULL
    process = victim.container.runtime.popen(
        *words, prefix=victim.strace(*options), stdin=null, stdout=null, stderr=null
    )
    return process.wait(20)


def test_killed_at_any_call(joiner: Joiner, traced: Any) -> None:
    """Nothing is left but the program, or nothing."""
    victim, words, pid_file = traced
    places = points(victim.trace, "flock(", 60)
    for call, number in places:
        code = victim.kill_at(call, number, *words)
        check(joiner.container, f"{call} {number}", code, pid_file)
    assert victim.killed > len(places) * 0.8
    assert joiner.container.exec_ask("hostname") == ["box"]


def test_calls_that_fail(joiner: Joiner, traced: Any) -> None:
    """Python begins anew, and one process has joined in the end: the one in the pid file."""
    victim, words, pid_file = traced
    tried = 0
    for call, number in points(victim.trace, "flock(", 1000):
        if call not in FAILURES:
            continue
        fault = f"inject={call}:error={FAILURES[call]}:when={number}"
        where = f"{call} {number}"
        assert under_strace(victim, words, "-e", f"trace={call}", "-e", fault) == 0, where
        assert list(processes(joiner.container)) == [int(pid_file.read_text())], where
        check(joiner.container, where, 0, pid_file)
        tried += 1
    assert tried > 10


def test_a_signal_that_comes_with_the_last_word(joiner: Joiner) -> None:
    """It is the program's, as it would be a moment later."""
    joiner.prime("sleep 0")
    options = ["-e", "trace=execve,sendmsg", "-e", "inject=sendmsg:signal=TERM:when=4"]
    result, python = joiner.exec("sleep 5", options=options)
    assert not python
    assert (result.code, result.err) == (128 + signal.SIGTERM, "")


def test_interrupted(joiner: Joiner, bundle: Bundle) -> None:
    """A signal that comes before the program runs: it does not, and Python says so."""
    flags = ["--pid-file", bundle.path / "exec.pid"]
    joiner.prime("sleep 0", flags=flags)
    (bundle.path / "exec.pid").unlink()
    options = ["-e", "trace=execve,sendmsg", "-e", "inject=sendmsg:signal=TERM:when=1"]
    result, python = joiner.exec("sleep 5", flags=flags, options=options)
    assert python
    assert result.code != 0
    assert not (bundle.path / "exec.pid").exists()
    check(joiner.container, "interrupted", result.code, bundle.path / "exec.pid")


def test_undone_while_it_is_frozen(joiner: Joiner) -> None:
    """`pause` comes when it has joined, and then a call fails: who can't end before `resume` is not
    waited for."""
    container = joiner.container
    joiner.prime("print up")
    locks: list[Stop] = []
    hits: list[Stop] = []

    def decide(stop: Stop) -> int | None:
        if stop.process:
            return None
        locks.extend([stop] * (stop.call == "flock"))
        if hits or len(locks) < 2 or stop.call != "sendmsg":
            return None
        hits.append(stop)
        assert container.runtime("pause", container.id).code == 0
        return errno.ENOMEM

    ended = verbs.run(container, Kind(), "exec", decide)
    assert "/interpreter" not in "".join(stop.path for stop in ended.stops[: hits[0].index])
    assert (ended.code, ended.output, ended.hung) == (255, "", False)
    assert "paused" in ended.errors
    (undone,) = processes(container)
    assert container.runtime("resume", container.id).code == 0
    assert end(undone) == -signal.SIGKILL
    assert container.exec_ask("hostname") == ["box"]
