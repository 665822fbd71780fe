# SPDX-License-Identifier: Apache-2.0
"""exec --process FILE: a process as JSON, which is how engines say what to run."""

from __future__ import annotations

import pytest

from life.bundles import Bundle
from life.exec_steps import (
    KILL,
    NOT_STARTED,
    OWN,
    by_file,
    process_file,
    sets,
)
from life.runtimes import Container

pytestmark = pytest.mark.again

with_peers = pytest.mark.with_peers
differs = pytest.mark.differs
pyrun_only = pytest.mark.pyrun_only


@with_peers
@differs(runc="1.1 passes over the umask", crun="1.8 passes over the umask and oomScoreAdj")
def test_process_file(running: Container) -> None:
    result = by_file(
        running,
        "id", "env", "cwd", "nnp", "umask", "caps", "rlimit 7", "cat /proc/self/oom_score_adj",
        user={"uid": 12, "gid": 13, "additionalGids": [14], "umask": 0o26},
        env=["A=b", "HOME=/h"],
        cwd="/tmp",
        noNewPrivileges=True,
        oomScoreAdj=77,
        capabilities={kind: ["CAP_KILL"] for kind in
                      ("bounding", "effective", "permitted", "inheritable", "ambient")},
        rlimits=[{"type": "RLIMIT_NOFILE", "soft": 33, "hard": 44}],
    )  # fmt: skip
    assert result.code == 0, result
    answers = result.answers()
    assert answers[:5] == ["12 13 14", "A=b\nHOME=/h", "/tmp", "1", "0026"]
    assert set(sets(answers[5]).values()) == {KILL}
    assert answers[6:] == ["33 44", "77"]


@with_peers
@differs(runc="1.1 takes no rlimits", crun="1.8 takes the environment, too, and no rlimits")
def test_what_a_process_file_leaves_out(container: Container, bundle: Bundle) -> None:
    """Its confinement is that of the container, and nothing else."""
    bundle.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 55, "hard": 66}]
    bundle.process["oomScoreAdj"] = 88
    bundle.process["user"] = {"uid": 5, "gid": 5}
    bundle.process["cwd"] = "/tmp"
    container.started("sleep 1000")
    verbs = ("caps", "rlimit 7", "cat /proc/self/oom_score_adj", "env", "id", "cwd", "nnp")
    caps, *rest = by_file(container, *verbs).answers()
    assert sets(caps)["bounding"] == sets(caps)["effective"] == OWN
    assert rest == ["55 66", "88", "HOME=/", "0 0", "/", "0"]


def test_null_in_a_process_file_is_nothing(running: Container) -> None:
    """As Go writes what is not set."""
    absent = ("env", "rlimits", "consoleSize", "apparmorProfile", "oomScoreAdj", "scheduler")
    result = by_file(running, "id", **dict.fromkeys(absent))
    assert result.answers() == ["0 0"]


@pyrun_only("flags on top of a file: the peers pass over them")
def test_flags_come_on_top_of_a_process_file(running: Container) -> None:
    path = process_file(running, "id", "env", env=["A=1", "HOME=/"])
    flags = ["-p", path, "-u", "3:4", "-g", "5", "-e", "A=2"]
    assert running.exec(flags=flags).answers() == ["3 4 5", "A=2\nHOME=/"]
    result = running.exec("id", flags=["-p", path])
    assert (result.code, result.out) == (NOT_STARTED, "")
    assert "unexpected argument '/payload'" in result.err


@pyrun_only("the text")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", ["line 1"]),
        ("[]", ["must hold a JSON object, not an empty list"]),
        ('{"args": ["x"]}', ["/cwd: is required"]),
        ('{"cwd": "x", "args": []}', ["/cwd: must be absolute", "/args: needs at least one entry"]),
        ('{"cwd": "/", "args": ["x"], "env": ["A"], "user": {"uid": 4294967295, "gid": -1}}',
         ["/user/uid: ", "/user/gid: "]),
        ('{"cwd": "/", "args": ["x"], "rlimits": [{"type": "RLIMIT_X", "soft": 2, "hard": 1}]}',
         ["/rlimits/0/type: no such limit", "/rlimits/0/soft: 2 is above"]),
    ],
)  # fmt: skip
def test_every_problem_of_a_process_file(running: Container, text: str, words: list[str]) -> None:
    path = running.bundle.path / "bad.json"
    path.write_text(text)
    result = running.exec(flags=["--process", path])
    assert (result.code, result.out) == (NOT_STARTED, "")
    assert result.err.startswith(f"pyrun: --process {path}: ")
    assert "config.json" not in result.err
    for word in words:
        assert word in result.err
    path.unlink()
    result = running.exec(flags=["--process", path])
    assert result.code == NOT_STARTED
    assert f"--process {path}: no such file or directory" in result.err


@with_peers
def test_the_bundle_may_be_gone(running: Container, bundle: Bundle) -> None:
    """Confinement is that of the container as it was made, whatever the bundle says now."""
    path = process_file(running, "caps")
    (bundle.path / "config.json").unlink()
    assert sets(running.exec(flags=["-p", path]).answers()[0])["bounding"] == OWN
