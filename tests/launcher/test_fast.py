# SPDX-License-Identifier: Apache-2.0
"""The verbs that need no Python: what the launcher believes of the file that create leaves, which
command lines it takes, and that everything else reaches Python with nothing changed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from needs import needs
from pyrun import init, jsonscan, linux, report, shortcut, state

pytestmark = needs("root")  # of whom the default root is; the launcher asks for no more

PYTHON = 97  # the exit code of what stands in for Python
HEADER = 128  # bytes


class Place:
    """A launcher whose Python only says that it was asked, and a container whose init sleeps."""

    def __init__(self, folder: Path, launcher: Path) -> None:
        self.launcher = folder / "prefix/bin/pyrun"
        self.launcher.parent.mkdir(parents=True)
        shutil.copy(launcher, self.launcher)
        python = self.launcher.parent / "python3"
        python.write_text(f"#!/bin/sh\nexit {PYTHON}\n")
        python.chmod(0o755)
        self.root = folder / "root"
        self.cgroup = folder / "cgroup"
        self.cgroup.mkdir()
        (self.cgroup.parent / "freezer").mkdir()
        (self.cgroup.parent / "freezer/freezer.state").write_text("THAWED\n")
        self.init = subprocess.Popen(["sleep", "100"])
        self.container = state.claim({"root": str(self.root)}, "box")
        self.folder = self.root / "box"
        self.frozen = self.cgroup.parent / "freezer/freezer.state"

    def record(self, **changes: Any) -> None:
        """As create leaves it; `changes` are members of the intent."""
        box = self.container
        box.intent = {
            "ociVersion": "1.3.0",
            "id": "box",
            "bundle": '/b/"pid": 1, \u00e9',
            "rootfs": "/b/rootfs",
            "created": "2024-01-01T00:00:00Z",
            "boot_id": init.boot_id(),
            "cgroup": {
                "manager": "cgroupfs",
                "layout": "v1",
                "paths": {"cpu": str(self.cgroup), "cpuacct": str(self.cgroup)},
            },
            "annotations": {"a": 'running"'},
            "hooks": {},
            "own_pids": True,
            **changes,
        }
        box.state = {
            "init_process_pid": self.init.pid,
            "init_process_start": init.start_time(self.init.pid)[1],
            "phase": init.CREATED,
        }
        box.write_intent()
        box.write_state()
        shortcut.leave(box)
        # Like a create that has ended: the lock is free.
        os.close(box.fd)
        box.fd = os.open(self.folder, os.O_RDONLY)

    def freezer(self) -> dict[str, Any]:
        """A cgroup with one, for record()."""
        paths = {"freezer": str(self.frozen.parent), "cpu": str(self.cgroup)}
        return {"manager": "cgroupfs", "layout": "v1", "paths": paths}

    def end(self) -> None:
        """The init's end; nobody waits for it yet."""
        self.init.kill()
        os.waitid(os.P_PID, self.init.pid, os.WEXITED | os.WNOWAIT)

    def __call__(self, *words: str, **how: Any) -> subprocess.CompletedProcess[str]:
        """A command line; `root` None: without --root."""
        root = how.pop("root", str(self.root))
        options = ["--root", root] if root else []
        return subprocess.run(
            [self.launcher, *options, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            **how,
        )

    def code(self, *words: str, **how: Any) -> int:
        """Its exit code."""
        return self(*words, **how).returncode

    def untouched(self) -> bool:
        """Whether everything is there, and the init lives."""
        names = {path.name for path in self.folder.iterdir()}
        return (
            {"fast", "intent.json", "state.json"} <= names
            and self.cgroup.is_dir()
            and self.init.poll() is None
        )


@pytest.fixture
def place(tmp_path: Path, pyrun: Path) -> Iterator[Place]:
    found = Place(tmp_path, pyrun.resolve())
    yield found
    found.init.kill()
    found.init.wait()


@pytest.fixture
def box(place: Place) -> Place:
    place.record()
    return place


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
    place.frozen.unlink()
    assert place.code("state", "box") == PYTHON


def test_frozen_on_v2(place: Place) -> None:
    place.record(cgroup={"manager": "cgroupfs", "layout": "v2", "paths": {"": str(place.cgroup)}})
    for word, expected in (("0", "running"), ("1", "paused")):
        (place.cgroup / "cgroup.freeze").write_text(f"{word}\n")
        assert json.loads(place("state", "box").stdout)["status"] == expected


def test_sizes_as_in_the_header(box: Place) -> None:
    data = (box.folder / "fast").read_bytes()
    assert shortcut._HEAD.size + shortcut._BODY.size == HEADER
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


@pytest.mark.parametrize("name", sorted(linux.SIGNALS))
def test_signals_are_the_same(place: Place, name: str) -> None:
    """Each name that the launcher knows has Python's number."""
    place.init.kill()
    place.init.wait()
    trap = f"import signal; signal.signal({linux.SIGNALS[name]}, lambda n, f: exit(7))"
    if name not in ("KILL", "STOP"):
        place.init = subprocess.Popen(
            ["python3", "-c", f"{trap}; print(flush=True); signal.pause()"], stdout=subprocess.PIPE
        )
        assert place.init.stdout
        with place.init.stdout as ready:
            ready.read(1)
    else:
        place.init = subprocess.Popen(["sleep", "100"])
    place.record()
    codes = [place.code("kill", "box", word) for word in (name.lower(), name)]
    assert codes[0] == PYTHON
    if codes[1] == PYTHON:
        assert name not in ("TERM", "KILL", "HUP", "INT", "QUIT", "USR1", "USR2", "WINCH")
    elif name == "STOP":
        assert init.start_time(place.init.pid)[0] in "TS"
    else:
        assert codes[1] == 0
        assert place.init.wait(5) == (-signal.SIGKILL if name == "KILL" else 7)


ORDINARY = [
    ("state", "box"),
    ("-log-format", "json", "state", "box"),
    ("--log-format=text", "state", "box", "--log-format=json"),
    ("--log", "LOG", "state", "box"),
    ("--log=LOG/none", "state", "box"),
    ("kill", "box", "SIGCONT"),
    ("kill", "box", "CONT"),
    ("kill", "box", "18"),
]


@pytest.mark.parametrize("words", ORDINARY, ids=" ".join)
def test_ordinary_command_lines(box: Place, words: tuple[str, ...]) -> None:
    log = box.root.parent / "log"
    if any(word == "LOG" for word in words):
        log.touch()
    else:
        log.mkdir()
    assert box.code(*(word.replace("LOG", str(log)) for word in words)) == 0


UNUSUAL = [
    (),
    ("--version",),
    ("state",),
    ("state", "box", "more"),
    ("state", "--", "box"),
    ("state", "--help", "box"),
    ("--debug", "state", "box"),
    ("--systemd-cgroup", "state", "box"),
    ("--cgroup-manager", "disabled", "state", "box"),
    ("--log-level", "debug", "state", "box"),
    ("--log-format", "xml", "state", "box"),
    ("--log", "/no/such/place/log", "state", "box"),
    ("--log", "/", "state", "box"),
    ("--log", "journald:", "state", "box"),
    ("--root", "", "state", "box"),
    ("state", "box", "--root"),
    ("state", "--force", "box"),
    ("state", "none"),
    ("state", "."),
    ("state", "b/x"),
    ("state", "x" * 256),
    ("kill", "--all", "box", "KILL"),
    ("kill", "box", "KILL", "more"),
    ("kill", "box", "NONE"),
    ("kill", "box", "65"),
    ("kill", "box", "-9"),
    ("kill", "box", ""),
    ("kill", "box", "RTMIN+1"),
    ("delete", "--force=true", "box"),
    ("list",),
    ("run", "box"),
]


@pytest.mark.parametrize("words", UNUSUAL, ids=" ".join)
def test_unusual_command_lines(box: Place, words: tuple[str, ...]) -> None:
    assert box.code(*words) == PYTHON
    assert box.untouched()


def test_roots(box: Place) -> None:
    where = box.root.parent
    assert box.code("state", "box", root="root", cwd=where) == 0
    assert box.code("--root=root", "state", "box", root=None, cwd=where) == 0
    for root in (f"{box.root}/", f"{where}/./root", "./root", f"{where}/x/../root", "/"):
        assert box.code("state", "box", root=root, cwd=where) == PYTHON


def test_turned_off(box: Place) -> None:
    assert box.code("state", "box", env={"PYRUN_NO_FAST": "1"}) == PYTHON
    assert box.code("state", "box", env={}) == 0


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
