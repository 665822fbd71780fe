# SPDX-License-Identifier: Apache-2.0
"""The state folder: who gets an id, what a torn or foreign record leads to, who may look."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from needs import needs
from pyrun import state
from pyrun.errors import Error


@pytest.fixture
def opts(tmp_path: Path) -> dict[str, Any]:
    return {"root": str(tmp_path / "root")}


def intent(name: str) -> dict[str, Any]:
    words = dict.fromkeys(("ociVersion", "bundle", "rootfs", "created", "boot_id"), "x")
    parts = {"cgroup": {"paths": {}}, "annotations": {}, "hooks": {}}
    return {"id": name, **words, **parts, "own_pids": True, "umask": 0o022}


def made(opts: dict[str, Any], name: str = "box") -> state.Container:
    container = state.claim(opts, name)
    container.intent = intent(name)
    container.write_intent()
    container.state = {"init_process_pid": 1, "init_process_start": 2, "phase": "created"}
    container.write_state()
    return container


def let_go(container: state.Container) -> None:
    os.close(container.fd)
    os.close(container.root_fd)


@pytest.mark.parametrize("name", ["a", "A-b_c.d+e", "0", "..a", "-x", "x" * 255])
def test_ids(name: str) -> None:
    assert state.check_id(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".cache", "a/b", "a b", "a\n", "ä", "a\0", "x" * 256, "a:b"]
)
def test_no_ids(name: str) -> None:
    with pytest.raises(Error, match="invalid container ID"):
        state.check_id(name)


def test_modes_are_for_us_alone(opts: dict[str, Any]) -> None:
    """R13: nobody else sees what containers there are."""
    before = os.umask(0)
    try:
        container = made(opts)
    finally:
        os.umask(before)
    root = Path(opts["root"])
    modes = {str(p.relative_to(root)): stat.S_IMODE(p.stat().st_mode) for p in root.rglob("*")}
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert modes == {"box": 0o700, "box/intent.json": 0o600, "box/state.json": 0o600}
    let_go(container)


def test_a_root_that_others_may_enter_is_closed_to_them(opts: dict[str, Any]) -> None:
    Path(opts["root"]).mkdir(mode=0o755)
    let_go(made(opts))
    assert stat.S_IMODE(Path(opts["root"]).stat().st_mode) == 0o700


@needs("root")
def test_a_root_of_somebody_else_is_refused(opts: dict[str, Any]) -> None:
    Path(opts["root"]).mkdir()
    os.chown(opts["root"], 65534, 65534)
    with pytest.raises(Error, match="belongs to another user"):
        state.claim(opts, "box")


@pytest.mark.parametrize("place", ["root", "container"])
def test_a_link_in_their_place_is_refused(opts: dict[str, Any], tmp_path: Path, place: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    if place == "root":
        Path(opts["root"]).symlink_to(elsewhere)
    else:
        Path(opts["root"]).mkdir(mode=0o700)
        (Path(opts["root"]) / "box").symlink_to(elsewhere)
    with pytest.raises(Error):
        state.claim(opts, "box")
    assert list(elsewhere.iterdir()) == []


def test_one_claim_an_id(opts: dict[str, Any]) -> None:
    container = made(opts)
    for _ in range(2):  # while it is locked, and after
        with pytest.raises(Error, match="container with given ID already exists: box"):
            state.claim(opts, "box")
        if container.fd >= 0:
            let_go(container)
            container.fd = -1


def test_what_was_killed_before_its_intent_may_be_claimed_again(opts: dict[str, Any]) -> None:
    container = state.claim(opts, "box")
    with pytest.raises(Error, match="already exists"):  # its owner lives
        state.claim(opts, "box")
    let_go(container)
    let_go(state.claim(opts, "box"))
    (Path(opts["root"]) / "box/.intent.json.123").write_text("half")
    let_go(state.claim(opts, "box"))


RACE = """
import sys, time
from pyrun import state
from pyrun.errors import Error
while time.time() < float(sys.argv[2]):
    pass
try:
    container = state.claim({"root": sys.argv[1]}, "box")
    container.intent = {"id": "box"}
    container.write_intent()
    print("won")
except Error as error:
    print(error)
"""


def test_of_many_at_once_one_wins(opts: dict[str, Any]) -> None:
    import time

    start = str(time.time() + 1.0)
    words = [sys.executable, "-c", RACE, opts["root"], start]
    racers = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    said = [racer.communicate()[0].strip() for racer in racers]
    assert said.count("won") == 1
    assert set(said) == {"won", "container with given ID already exists: box"}


def test_what_is_written_is_read(opts: dict[str, Any]) -> None:
    container = made(opts)
    again = state.require(opts, "box")
    assert (again.intent, again.state) == (container.intent, container.state)
    assert not list(Path(container.path).glob(".*"))
    container.remove()
    assert container.gone()
    assert state.find(opts, "box") is None
    with pytest.raises(Error, match="container does not exist: box"):
        state.require(opts, "box")


@pytest.mark.parametrize("name", ["intent.json", "state.json"])
def test_a_torn_record_is_an_error_with_its_path(opts: dict[str, Any], name: str) -> None:
    """At each length: never a traceback, never half a record taken for a whole one."""
    container = made(opts)
    path = Path(container.path) / name
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(Error, match=name):
            state.require(opts, "box")
    for other in (b"[]", b"null", b"1", b'{"a": 1} x', b"\xff\xfe", b'{"a": 1, "a": 2}'):
        path.write_bytes(other)
        with pytest.raises(Error, match=name):
            state.require(opts, "box")


def test_each_flipped_byte_is_an_error_or_a_record(opts: dict[str, Any]) -> None:
    container = made(opts)
    path = Path(container.path) / "state.json"
    data = bytearray(path.read_bytes())
    for index in range(len(data)):
        data[index] ^= 0x10
        path.write_bytes(data)
        try:
            assert isinstance(state.require(opts, "box").state, dict)
        except Error as error:
            assert "state.json" in str(error)  # noqa: PT017  either way is right
        data[index] ^= 0x10


@pytest.mark.parametrize("kind", ["symlink", "fifo", "directory"])
def test_a_foreign_record_is_refused_and_holds_nobody(
    opts: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    container = made(opts)
    path = Path(container.path) / "state.json"
    path.unlink()
    if kind == "symlink":
        (tmp_path / "other").write_text("{}")
        path.symlink_to(tmp_path / "other")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(Error, match=r"state\.json"):
        state.require(opts, "box")


def test_a_full_disk_leaves_the_old_record(
    opts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    container = made(opts)
    before = dict(container.state)
    monkeypatch.setattr(os, "write", lambda _, data: len(data) // 2)
    container.state["phase"] = "other"
    with pytest.raises(Error, match="no space left on device"):
        container.write_state()
    monkeypatch.undo()
    assert state.require(opts, "box").state == before
