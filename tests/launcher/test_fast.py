# SPDX-License-Identifier: Apache-2.0
"""The verbs that need no Python: what the launcher believes of the file that create leaves, and
that everything else reaches Python with nothing changed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from launcher.place import PYTHON, Place
from needs import needs
from pyrun import exit_status, init, jsonscan, live_mounts, report, shortcut, state

pytestmark = needs("root")  # of whom the default root is; the launcher asks for no more

HEADER = 128  # bytes


def test_the_document_is_python_s(box: Place) -> None:
    for word in (init.RUNNING, init.STOPPED):
        expected = jsonscan.dumps(report.describe_as(box.container, word), "  ")
        done = box("state", "box")
        assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")
        if word == init.RUNNING:
            box.end()
    assert json.loads(done.stdout)["pid"] == 0


def test_status_created_and_frozen(place: Place) -> None:
    place.record(cgroup=place.freezer())

    def status() -> str:
        return str(json.loads(place("state", "box").stdout)["status"])

    fifo = place.folder / state.EXEC_FIFO
    os.mkfifo(fifo)
    assert status() == "running"
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    assert status() == "created"
    os.close(reader)
    for word, expected in (("FROZEN", "paused"), ("FREEZING", "paused"), ("THAWED", "running")):
        place.frozen.write_text(f"{word}\n")
        assert status() == expected
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    place.frozen.write_text("FROZEN\n")
    assert status() == "paused"
    os.close(reader)
    place.frozen.unlink()
    assert place.code("state", "box") == PYTHON


def test_frozen_on_v2(place: Place) -> None:
    place.record(cgroup={"manager": "cgroupfs", "layout": "v2", "paths": {"": str(place.cgroup)}})
    for word, expected in (("0", "running"), ("1", "paused")):
        (place.cgroup / "cgroup.freeze").write_text(f"{word}\n")
        assert json.loads(place("state", "box").stdout)["status"] == expected


def test_sizes_as_in_the_header(box: Place) -> None:
    data = (box.folder / "fast").read_bytes()
    assert shortcut.HEAD.size + shortcut.BODY.size == HEADER
    assert data[HEADER:].count(b"\0") == 5  # three parts, no freezer, one directory
    assert (box.folder / "fast").stat().st_mode & 0o7777 == 0o600


def test_every_truncation_is_python_s(box: Place) -> None:
    data = (box.folder / "fast").read_bytes()
    for size in range(len(data)):
        (box.folder / "fast").write_bytes(data[:size])
        assert box.code("state", "box") == PYTHON, size
    (box.folder / "fast").write_bytes(data + b"\0")
    assert box.code("state", "box") == PYTHON
    (box.folder / "fast").write_bytes(data)
    assert box.code("state", "box") == 0


@pytest.mark.parametrize("verb", ["state", "kill", "delete"])
def test_every_flipped_byte_is_python_s(box: Place, verb: str) -> None:
    data = (box.folder / "fast").read_bytes()
    for at in range(len(data)):
        for mask in (1, 0x80):
            changed = bytearray(data)
            changed[at] ^= mask
            (box.folder / "fast").write_bytes(changed)
            assert box.code(verb, "box") == PYTHON, at
    assert box.untouched()


def packed(change: Callable[[dict[str, Any]], None], box: Place) -> bytes:
    """The file of a container whose records are other than those in the folder."""
    intent, record = dict(box.container.intent), dict(box.container.state)
    change({"intent": box.container.intent, "state": box.container.state})
    data = shortcut.pack(box.container)
    box.container.intent, box.container.state = intent, record
    return data


def other_boot(records: dict[str, Any]) -> None:
    records["intent"]["boot_id"] = "00000000-0000-0000-0000-000000000000"


def test_another_boot(box: Place) -> None:
    (box.folder / "fast").write_bytes(packed(other_boot, box))
    for verb in ("state", "kill", "delete"):
        assert box.code(verb, "box") == PYTHON
    assert box.untouched()


def test_a_pid_that_another_process_has(box: Place) -> None:
    def older(records: dict[str, Any]) -> None:
        records["state"]["init_process_start"] -= 1

    (box.folder / "fast").write_bytes(packed(older, box))
    assert box.code("kill", "box", "KILL") == PYTHON
    assert json.loads(box("state", "box").stdout)["status"] == "stopped"
    assert box.init.poll() is None


@pytest.mark.parametrize("name", ["intent.json", "state.json"])
def test_records_that_are_others_by_now(box: Place, name: str) -> None:
    """Rewritten by any verb, damaged or lost: what was made from them counts no more."""
    path = box.folder / name
    text = path.read_bytes()
    for change in (lambda: path.write_bytes(text), lambda: path.unlink()):
        change()
        for verb in ("state", "kill", "delete"):
            assert box.code(verb, "box") == PYTHON
    path.write_bytes(text)
    assert box.untouched()


@pytest.mark.parametrize(
    ("name", "change"),
    [(name, change) for name in ("", "box") for change in ("mode", "owner", "link")]
    + [("box/fast", "link")],
)
def test_what_is_not_the_caller_s_alone(box: Place, name: str, change: str) -> None:
    path = box.root / name if name else box.root
    if change == "mode":
        path.chmod(0o750)
    elif change == "owner":
        os.chown(path, 65534, 65534)
    else:
        moved = box.root.parent / "moved"
        path.rename(moved)
        path.symlink_to(moved)
    for verb in ("state", "kill", "delete"):
        assert box.code(verb, "box") == PYTHON


def test_a_busy_container(box: Place) -> None:
    box.end()
    assert box.container.lock(wait=False)
    for words in (("delete", "box"), ("start", "box"), ("delete", "--force", "box")):
        assert box.code(*words) == PYTHON
    assert box.code("state", "box") == 0


def test_start(box: Place) -> None:
    """The byte, then the end of the result fifo, then both fifos go."""
    for name in (state.EXEC_FIFO, state.RESULT_FIFO):
        os.mkfifo(box.folder / name)
    fifo = os.open(box.folder / state.EXEC_FIFO, os.O_RDWR | os.O_NONBLOCK)
    result = os.open(box.folder / state.RESULT_FIFO, os.O_RDWR)
    starting = subprocess.Popen([box.launcher, "--root", box.root, "start", "box"])
    while True:
        try:
            assert os.read(fifo, 2) == b"0"
            break
        except BlockingIOError:
            time.sleep(0.005)
    time.sleep(0.05)
    assert starting.poll() is None
    os.close(result)
    assert starting.wait(5) == 0
    assert {path.name for path in box.folder.iterdir()} == {"fast", "intent.json", "state.json"}
    os.close(fifo)
    assert box.code("start", "box") == PYTHON


def test_start_of_a_frozen_container_is_python_s(place: Place) -> None:
    """It would wait for an answer that does not come."""
    place.record(cgroup=place.freezer())
    for name in (state.EXEC_FIFO, state.RESULT_FIFO):
        os.mkfifo(place.folder / name)
    fifo = os.open(place.folder / state.EXEC_FIFO, os.O_RDWR | os.O_NONBLOCK)
    place.frozen.write_text("FROZEN\n")
    assert place.code("start", "box") == PYTHON
    with pytest.raises(BlockingIOError):
        os.read(fifo, 1)
    os.close(fifo)


def test_start_leaves_a_report_for_python(box: Place) -> None:
    """The fifo stays open across execve, unread: else the kernel would drop what is in it."""
    for name in (state.EXEC_FIFO, state.RESULT_FIFO):
        os.mkfifo(box.folder / name)
    fifo = os.open(box.folder / state.EXEC_FIFO, os.O_RDWR)
    result = os.open(box.folder / state.RESULT_FIFO, os.O_RDWR)
    os.write(result, bytes(16))
    script = f"#!/bin/sh\nexec timeout 5 cat {box.folder}/{state.RESULT_FIFO}\n"
    (box.launcher.parent / "python3").write_text(script)
    with subprocess.Popen(
        [box.launcher, "--root", box.root, "start", "box"], stdout=subprocess.PIPE
    ) as starting:
        assert os.read(fifo, 2) == b"0"
        time.sleep(0.1)
        os.close(result)
        os.close(fifo)
        assert starting.communicate()[0] == bytes(16)


def test_delete(box: Place) -> None:
    assert box.code("delete", "box") == PYTHON
    assert box.code("delete", "--force", "box") == PYTHON
    assert box.untouched()
    box.end()
    assert box.code("delete", "box") == 0
    assert not box.folder.exists()
    assert not box.cgroup.exists()
    assert box.code("delete", "box") == PYTHON
    assert box.code("delete", "-f", "box") == 0
    assert box.code("delete", "-f", "box", root=str(box.root / "none")) == 0


def test_delete_of_a_cgroup_that_is_gone(box: Place) -> None:
    box.end()
    box.cgroup.rmdir()
    assert box.code("delete", "box") == 0


def test_delete_of_a_cgroup_that_is_used(box: Place) -> None:
    box.end()
    (box.cgroup / "below").mkdir()
    assert box.code("delete", "box") == PYTHON
    assert (box.folder / "fast").exists()
    assert (box.folder / "intent.json").exists()


def test_delete_of_all_that_verbs_leave(box: Place) -> None:
    box.end()
    records = (exit_status.RECORD, live_mounts.RECORD)
    for name in (*records, state.EXEC_FIFO, state.RESULT_FIFO, state.HOOKS_LOG):
        (box.folder / name).touch()
    assert box.code("delete", "box") == 0
    assert not box.folder.exists()


def test_delete_with_a_file_that_is_not_known(box: Place) -> None:
    box.end()
    (box.folder / ".state.json.1").touch()
    assert box.code("delete", "box") == PYTHON
    assert box.cgroup.is_dir()


@pytest.mark.parametrize("kind", ["poststart", "poststop"])
def test_hooks_are_python_s(place: Place, kind: str) -> None:
    place.record(hooks={kind: [{"path": "/bin/true"}]})
    place.end()
    assert place.code("delete", "box") == (PYTHON if kind == "poststop" else 0)
    assert place.code("start", "box") == PYTHON


def test_resctrl_groups_are_python_s(place: Place) -> None:
    place.record(intel_rdt={"made": []})
    place.end()
    assert place.code("delete", "box") == PYTHON
    assert place.code("state", "box") == 0


def test_kill(place: Place) -> None:
    place.record(own_pids=False)
    assert place.code("kill", "box", "KILL") == PYTHON
    place.record(cgroup=place.freezer())
    place.frozen.write_text("FROZEN\n")
    assert place.code("kill", "box", "KILL") == PYTHON
    assert place.init.poll() is None
    assert place.code("kill", "box", "0") == 0
    assert place.code("kill", "box") == 0
    assert place.init.wait(5) == -signal.SIGTERM
    assert place.code("kill", "box") == PYTHON


def test_output_that_cannot_be_written(box: Place) -> None:
    words = [box.launcher, "--root", box.root, "state", "box"]
    with open("/dev/full", "w") as full:
        assert subprocess.run(words, stdout=full, check=False).returncode == PYTHON
    read, write = os.pipe()
    os.close(read)
    assert subprocess.run(words, stdout=write, check=False).returncode == PYTHON
    os.close(write)


def test_a_description_that_is_too_long_is_python_s(place: Place) -> None:
    place.record(annotations={"long": "x" * shortcut.LIMIT})
    assert not (place.folder / "fast").exists()
    assert place.code("state", "box") == PYTHON


def test_a_file_that_cannot_be_written_is_no_failure(place: Place) -> None:
    (place.folder / "fast").mkdir()
    place.record()
    assert place.code("state", "box") == PYTHON
