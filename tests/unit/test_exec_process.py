# SPDX-License-Identifier: Apache-2.0
"""Which process exec starts: the container's, a file's, and flags on top."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pyrun import exec_process
from pyrun._flags import VERBS
from pyrun.errors import Error

OWN: dict[str, Any] = {
    "cwd": "/",
    "args": ["init"],
    "env": ["A=1"],
    "terminal": True,
    "user": {"uid": 5, "gid": 6, "additionalGids": [7]},
    "capabilities": {"bounding": ["CAP_KILL"]},
    "noNewPrivileges": True,
}


def opts(*args: str, **given: Any) -> dict[str, Any]:
    """The options as the command line gives them."""
    return {**VERBS["exec"][1], "args": args, **given}


def wanted(opts: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """As exec does it."""
    return exec_process.wanted(opts, own, exec_process.read(opts))


def test_the_containers_own_with_other_arguments() -> None:
    before = json.dumps(OWN)
    found = wanted(opts("sh", "-c", "x"), OWN)
    assert found == {**OWN, "args": ["sh", "-c", "x"], "terminal": False}
    assert json.dumps(OWN) == before


def test_flags_on_top() -> None:
    given = opts(
        "sh", tty=True, cwd="/tmp", env=("A=2", "B="), user="1:2", additional_gids=("8",),
        cap=("kill", "CAP_CHOWN"), apparmor="p", process_label="l", no_new_privs=False,
    )  # fmt: skip
    caps = ["CAP_KILL", "CAP_CHOWN"]
    assert wanted(given, OWN) == {
        "cwd": "/tmp",
        "args": ["sh"],
        "env": ["A=1", "A=2", "B="],
        "terminal": True,
        "user": {"uid": 1, "gid": 2, "additionalGids": [7, 8]},
        "capabilities": {"bounding": ["CAP_KILL", *caps], "effective": caps, "permitted": caps},
        "noNewPrivileges": False,
        "apparmorProfile": "p",
        "selinuxLabel": "l",
    }


def written(folder: Path, process: object) -> str:
    path = folder / "process.json"
    path.write_text(json.dumps(process))
    return str(path)


def test_a_file_leaves_confinement_and_shares_to_the_container(tmp_path: Path) -> None:
    path = written(tmp_path, {"cwd": "/x", "args": ["sh"], "env": None})
    own = {**OWN, **{name: {} for name in exec_process.INHERITED}}
    found = wanted(opts(process=path), own)
    inherited = {name: own[name] for name in exec_process.INHERITED}
    assert found == {
        **inherited, "cwd": "/x", "args": ["sh"], "env": [], "user": {}, "terminal": False
    }  # fmt: skip


def test_a_file_may_be_gone_when_it_was_read(tmp_path: Path) -> None:
    path = written(tmp_path, {"cwd": "/", "args": ["sh"]})
    found = wanted(opts(process=path), OWN)
    Path(path).unlink()
    assert found["args"] == ["sh"]
    with pytest.raises(Error, match="no such file or directory"):
        wanted(opts(process=path), OWN)


@pytest.mark.parametrize(("text", "ids"), [("0", {"uid": 0}), ("1:02", {"uid": 1, "gid": 2})])
def test_user(text: str, ids: dict[str, int]) -> None:
    assert exec_process.user_of(text) == ids


@pytest.mark.parametrize("text", ["", "x", "-1", "1:", ":1", "1:-1", "4294967295", "1" * 11])
def test_no_user(text: str) -> None:
    with pytest.raises(Error, match="--user: .* is no id"):
        exec_process.user_of(text)


@pytest.mark.parametrize(
    ("sets", "kinds"),
    [
        ({}, {"bounding", "effective", "permitted"}),
        ({"inheritable": []}, {"bounding", "effective", "permitted"}),
        ({"inheritable": ["CAP_KILL"]}, {"bounding", "effective", "permitted", "ambient"}),
    ],
)
def test_capabilities(sets: dict[str, Any], kinds: set[str]) -> None:
    """Never inheritable by a flag: CVE-2022-29162."""
    found = exec_process.with_capabilities(sets, ("CAP_CHOWN",))
    assert {kind for kind, names in found.items() if "CAP_CHOWN" in names} == kinds


@pytest.mark.parametrize(
    ("given", "pointer", "words"),
    [
        ({"cwd": "/x"}, "/process/cwd", "--cwd: "),
        ({"additional_gids": ("1",)}, "/process/user/additionalGids", "--additional-gids: "),
        ({"process": "/p"}, "/process/cwd", "--process /p: /cwd: "),
        ({"process": "/p", "tty": True}, "/process/terminal", "--tty: "),
        ({}, "/process/cwd", "config.json /process/cwd: "),
        ({"process": "/p"}, "/linux/seccomp", "config.json /linux/seccomp: "),
    ],
)
def test_what_the_user_wrote(given: dict[str, Any], pointer: str, words: str) -> None:
    assert exec_process.place(opts(**given), pointer) == words
