# SPDX-License-Identifier: Apache-2.0
"""exec as an ordinary user, into containers with a map of one id, or with ranges by newuidmap."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from life.exec_steps import NOT_STARTED, end, sets
from life.ordinary_user import User, map_ranges
from needs import needs

pytestmark = [needs("root", "cc", "userns")]


@pytest.fixture(params=["one id", pytest.param("ranges", marks=needs("newuidmap"))])
def container(user: User, request: pytest.FixtureRequest) -> Iterator[str]:
    """One that runs; with which kind of map."""
    config = user.config("sleep 1000")
    if request.param == "ranges":
        map_ranges(user, config)
    user.save(config)
    assert user.leave("run", "--detach", "x") == 0
    yield str(request.param)
    finish(user)


def finish(user: User) -> None:
    """Its init is a child of ours by now, as it would be a shim's."""
    pid = json.loads(user("state", "x").out)["pid"]
    user("kill", "x", "KILL")
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
    assert user("delete", "--force", "x").code == 0


def test_process(user: User, container: str) -> None:
    result = user(
        "exec",
        "x",
        "/payload",
        "id",
        ";",
        "hostname",
        ";",
        "pids",
        ";",
        "cat",
        "/proc/self/uid_map",
    )
    assert (result.code, result.err) == (0, "")
    identity, hostname, pids, uids = result.answers()
    # groups that are not mapped can't be dropped where setgroups is denied
    assert identity.split()[:2] == ["0", "0"]
    assert (identity == "0 0") == (container == "ranges")
    assert hostname == "runc"
    pid, parent, group, session, _ = pids.split()
    assert (pid, parent) == (group, "0")
    assert session == pid
    assert len(uids.splitlines()) == (1 if container == "one id" else 2)


def test_exit_codes(user: User, container: str) -> None:
    assert user("exec", "x", "/payload", "exit", "7").code == 7
    assert user("exec", "x", "/payload", "kill-self", "9").code == 137
    result = user("exec", "x", "/absent")
    assert (result.code, result.out) == (NOT_STARTED, "")
    assert "stat /absent: no such file or directory" in result.err


def test_capabilities_and_limits(user: User, container: str) -> None:
    words = ["caps", ";", "rlimit", "7", ";", "cat", "/proc/self/oom_score_adj"]
    path = user.home / "process.json"
    process = {
        "args": ["/payload", *words],
        "cwd": "/",
        "user": {"uid": 0, "gid": 0},
        "capabilities": {kind: ["CAP_CHOWN"] for kind in ("bounding", "effective", "permitted")},
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}],
        "oomScoreAdj": 300,
    }
    path.write_text(json.dumps(process))
    result = user("exec", "--process", str(path), "x")
    assert (result.code, result.err) == (0, "")
    caps, limit, score = result.answers()
    assert sets(caps) == {
        "effective": 1, "permitted": 1, "bounding": 1, "inheritable": 0, "ambient": 0,
    }  # fmt: skip
    assert (limit, score) == ("100 200", "300")


def test_another_user(user: User, container: str) -> None:
    result = user("exec", "--user", "1000:1001", "x", "/payload", "id")
    if container == "ranges":
        assert (result.code, result.answers()) == (0, ["1000 1001"])
    else:
        assert (result.code, result.out) == (NOT_STARTED, "")
        assert "the user namespace does not map this group" in result.err


def test_groups(user: User, container: str) -> None:
    result = user("exec", "-g", "5", "x", "/payload", "id")
    if container == "ranges":
        assert (result.code, result.answers()) == (0, ["0 0 5"])
    else:
        assert (result.code, result.out) == (NOT_STARTED, "")
        assert result.err.startswith("pyrun: --additional-gids: setgroups is not allowed")


def test_terminal(user: User, container: str) -> None:
    result = user("exec", "--tty", "x", "/payload", "isatty", "0", ";", "ttyname", "0")
    assert (result.code, result.err) == (0, "")
    assert result.out.split()[:2] == ["yes", "/dev/pts/0"]


def test_detached(user: User, container: str) -> None:
    path = user.home / "exec.pid"
    words = ["exec", "--detach", "--pid-file", str(path), "x", "/payload", "sleep", "1000"]
    assert user.leave(*words) == 0
    pid = int(path.read_text())
    init = json.loads(user("state", "x").out)["pid"]
    for kind in ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}") == os.readlink(f"/proc/{init}/ns/{kind}")
    assert Path(f"/proc/{pid}/comm").read_text() == "payload\n"
    assert end(pid) == -9


def test_somebody_elses_container(user: User, container: str) -> None:
    """Another user's state is nobody's business."""
    command = user.command("--root", str(user.home / "run/pyrun"), "exec", "x", "/payload", "id")
    other = [word if not word.startswith("--reuid") else "--reuid=12345" for word in command]
    other = [word if word != "--init-groups" else "--clear-groups" for word in other]
    done = subprocess.run(other, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (NOT_STARTED, "")
    assert "permission denied" in done.stderr or "belongs to another user" in done.stderr
