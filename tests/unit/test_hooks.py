# SPDX-License-Identifier: Apache-2.0
"""Hooks of the runtime namespace: what they get, how they fail, and that none can hold us."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from pyrun import hooks
from pyrun.errors import Error

STATE = b'{"ociVersion": "1.3.0", "id": "box", "status": "creating"}'


def sh(script: str, **more: Any) -> dict[str, Any]:
    return {"path": "/bin/sh", "args": ["sh", "-c", script], **more}


def failure(hook: dict[str, Any], bundle: Path, kind: str = "createRuntime") -> Error:
    with pytest.raises(Error) as caught:
        hooks.run([hook], kind, STATE, str(bundle))
    return caught.value


def gone(pid: int) -> bool:
    """Whether the process has ended (a zombie of somebody else has, too)."""
    for _ in range(200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


def test_in_the_listed_order(tmp_path: Path) -> None:
    hooks.run([sh(f"echo {n} >> order") for n in range(5)], "prestart", STATE, str(tmp_path))
    assert (tmp_path / "order").read_text().split() == ["0", "1", "2", "3", "4"]


def test_the_first_failure_ends_the_list(tmp_path: Path) -> None:
    with pytest.raises(Error) as caught:
        hooks.run([sh("exit 0"), sh("exit 3"), sh("echo > late")], "prestart", STATE, str(tmp_path))
    assert caught.value.pointer == "/hooks/prestart/1"
    assert caught.value.message == "error running prestart hook #1: exit status 3 (/bin/sh)"
    assert not (tmp_path / "late").exists()


def test_poststop_hooks_all_run(tmp_path: Path) -> None:
    listed = [sh("exit 1"), sh("echo > late"), {"path": "/no/such"}]
    failures = hooks.run_all(listed, "poststop", STATE, str(tmp_path))
    assert [one.pointer for one in failures] == ["/hooks/poststop/0", "/hooks/poststop/2"]
    assert (tmp_path / "late").exists()


def test_state_on_stdin_and_the_bundle_as_cwd(tmp_path: Path) -> None:
    big = STATE + b" " * 300_000
    hooks.run([sh("cat > state; pwd > cwd")] * 2, "createRuntime", big, str(tmp_path))
    assert (tmp_path / "state").read_bytes() == big
    assert (tmp_path / "cwd").read_text().strip() == str(tmp_path)


def test_the_environment_is_the_hook_s_or_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "of the runtime")
    copy = {"path": "/bin/cp", "args": ["cp", "/proc/self/environ", "environ"]}
    hooks.run([copy], "createRuntime", STATE, str(tmp_path))
    assert (tmp_path / "environ").read_bytes() == b""
    copy["env"] = ["A=1", "B=x=y", "C=", "no variable", "=nameless"]
    hooks.run([copy], "createRuntime", STATE, str(tmp_path))
    assert (tmp_path / "environ").read_bytes() == b"A=1\0B=x=y\0C=\0"


def test_without_args_the_path_is_argv(tmp_path: Path) -> None:
    script = tmp_path / "hook"
    script.write_text('#!/bin/sh\necho "$0 $#" > argv\n')
    script.chmod(0o755)
    for hook in ({"path": str(script)}, {"path": str(script), "args": []}):
        hooks.run([hook], "createRuntime", STATE, str(tmp_path))
        assert (tmp_path / "argv").read_text() == f"{script} 0\n"


def test_only_the_standard_fds_reach_the_hook(tmp_path: Path) -> None:
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 50)  # dup2 makes it inheritable
    os.close(null)
    try:
        hooks.run([sh("exec ls /proc/self/fd > ../fds")], "prestart", STATE, _inner(tmp_path))
    finally:
        os.close(50)
    # 3 is the folder that ls reads.
    assert (tmp_path / "fds").read_text().split() == ["0", "1", "2", "3"]


def _inner(tmp_path: Path) -> str:
    (tmp_path / "bundle").mkdir()
    return str(tmp_path / "bundle")


def test_signals_are_as_a_program_expects_them(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        copy = sh("exec grep '^Sig[BI]' /proc/self/status > signals")
        hooks.run([copy], "createRuntime", STATE, str(tmp_path))
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) >= {signal.SIGUSR2}
    finally:
        signal.signal(signal.SIGUSR1, before)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})
    words = (tmp_path / "signals").read_text().split()
    assert words == ["SigBlk:", "0" * 16, "SigIgn:", "0" * 16]


def test_a_group_of_its_own(tmp_path: Path) -> None:
    hooks.run([sh("echo $$ > pid; cut -d' ' -f5 /proc/$$/stat > group")], "p", STATE, str(tmp_path))
    group = (tmp_path / "group").read_text()
    assert group == (tmp_path / "pid").read_text()
    assert int(group) != os.getpgrp()


@pytest.mark.parametrize("seconds", [1, 0.3])
def test_a_timeout_ends_the_whole_group(tmp_path: Path, seconds: float) -> None:
    script = "sleep 60 & echo $! > pids; echo $$ >> pids; echo started; wait"
    begun = time.monotonic()
    error = failure(sh(script, timeout=seconds), tmp_path)
    assert seconds <= time.monotonic() - begun < seconds + 2
    text = f"hook ran past specified timeout of {float(seconds)}s (/bin/sh), output: started"
    assert error.message == f"error running createRuntime hook #0: {text}"
    pids = (tmp_path / "pids").read_text().split()
    assert len(pids) == 2
    assert all(gone(int(pid)) for pid in pids)


def test_a_timeout_ends_who_has_left_the_group(tmp_path: Path) -> None:
    """A daemon has a session of its own, and a parent that has ended; and what it starts later."""
    daemon = "while :; do sleep 60 & echo $! >> pids; wait; done"
    script = f"(setsid sh -c 'echo $$ >> pids; {daemon}' &); sleep 60"
    failure(sh(script, timeout=0.5), tmp_path)
    pids = (tmp_path / "pids").read_text().split()
    assert len(pids) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_timeout_spares_others(tmp_path: Path) -> None:
    """Our other children, and what an earlier hook has left to go on."""
    with subprocess.Popen(["sleep", "60"]) as other:
        hooks.run([sh("sleep 60 & echo $! > pid", timeout=9)], "prestart", STATE, str(tmp_path))
        failure(sh("sleep 60", timeout=0.2), tmp_path)
        pid = int((tmp_path / "pid").read_text())
        os.kill(pid, 0)
        assert Path(f"/proc/{pid}/comm").read_text() == "sleep\n"
        assert other.poll() is None
        other.kill()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)  # it had become ours


def test_no_output_is_too_much(tmp_path: Path) -> None:
    """Only the end of it is kept, and the hook never waits for a reader."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    hooks.run([sh("head -c 300000000 /dev/zero")], "prestart", STATE, str(tmp_path))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB


def test_a_grandchild_that_holds_stdout_does_not_hold_us(tmp_path: Path) -> None:
    begun = time.monotonic()
    hooks.run([sh("sleep 60 & echo $! > pid")], "createRuntime", STATE, str(tmp_path))
    assert time.monotonic() - begun < 5
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_an_interrupted_wait_ends_the_hook(tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    hook = sh(f"echo $$ > pid; sleep 0.2; kill -ALRM {os.getpid()}; sleep 60")
    try:
        with pytest.raises(KeyboardInterrupt):
            hooks.run([hook], "createRuntime", STATE, str(tmp_path))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert gone(int((tmp_path / "pid").read_text()))


def test_a_signal_in_the_moment_of_the_fork(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hook that is there by then ends as well."""
    made: list[int] = []
    fork = os.fork

    def interrupted() -> int:
        pid = fork()
        if pid:
            made.append(pid)
            os.kill(os.getpid(), signal.SIGALRM)
        return pid

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fork", interrupted)
    descriptors = os.listdir("/proc/self/fd")
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            hooks.run([sh("sleep 60")], "createRuntime", STATE, str(tmp_path))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert len(made) == 1
    assert gone(made[0])
    assert os.listdir("/proc/self/fd") == descriptors


def test_failure_texts(tmp_path: Path) -> None:
    name = "error running createRuntime hook #0"
    said = failure(sh("echo out; echo err >&2; exit 7"), tmp_path)
    assert said.message == f"{name}: exit status 7 (/bin/sh), output: out\nerr"
    assert str(said).startswith(f"config.json /hooks/createRuntime/0: {name}: exit status 7")
    assert failure(sh("kill -9 $$"), tmp_path).message == f"{name}: signal: killed (/bin/sh)"
    missing = failure({"path": "/no/such/hook"}, tmp_path)
    assert missing.message == f"{name}: exec /no/such/hook: no such file or directory"
    refused = failure({"path": str(tmp_path)}, tmp_path)
    assert refused.message == f"{name}: exec {tmp_path}: permission denied"
    nul = failure({"path": "/bin/true", "args": ["a\0b"]}, tmp_path)
    assert nul.message == f"{name}: exec /bin/true: invalid argument"
    away = failure(sh("exit 0"), tmp_path / "away")
    assert away.message == f"{name}: chdir {tmp_path}/away: no such file or directory"


def test_only_the_end_of_a_long_output_is_quoted(tmp_path: Path) -> None:
    said = failure(sh("yes line | head -n 50000; echo the end; exit 1"), tmp_path).message
    assert said.endswith("line\nthe end")
    assert len(said) < 1200


def test_output_that_is_no_text(tmp_path: Path) -> None:
    assert "\N{REPLACEMENT CHARACTER}" in failure(sh("printf '\\377'; exit 1"), tmp_path).message


def test_refused_before_anything_runs(tmp_path: Path) -> None:
    assert failure({"path": "bin/true"}, tmp_path).pointer == "/hooks/createRuntime/0/path"
    error = failure(sh("echo > ran", timeout=0), tmp_path)
    assert error.pointer == "/hooks/createRuntime/0/timeout"
    assert not (tmp_path / "ran").exists()


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    for hook in (sh("exit 0"), sh("exit 1"), {"path": "/no"}, sh("sleep 9", timeout=0.1)):
        hooks.run_all([hook], "poststop", STATE, str(tmp_path))
    assert os.listdir("/proc/self/fd") == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_no_descriptor_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure of that hook, and no end of the others."""

    def refuse() -> tuple[int, int]:
        raise OSError(errno.EMFILE, "too many")

    monkeypatch.setattr(os, "pipe", refuse)
    failures = hooks.run_all([{"path": "/bin/true"}] * 2, "poststop", STATE, str(tmp_path))
    assert [one.pointer for one in failures] == ["/hooks/poststop/0", "/hooks/poststop/1"]
