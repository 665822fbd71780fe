# SPDX-License-Identifier: Apache-2.0
"""Which command lines the launcher takes itself, and that it leaves the others to Python."""

from __future__ import annotations

import signal
import subprocess
import time

import pytest

from launcher.place import PYTHON, Place
from needs import needs
from pyrun import init, linux

pytestmark = needs("root")  # of whom the default root is; the launcher asks for no more


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
        deadline = time.monotonic() + 5
        while init.start_time(place.init.pid)[0] != "T":
            assert time.monotonic() < deadline
    else:
        assert codes[1] == 0
        assert place.init.wait(5) == (-signal.SIGKILL if name == "KILL" else 7)


ORDINARY = [
    ("state", "box"),
    ("--systemd-cgroup", "state", "box"),
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
    ("--systemd-cgroup=true", "state", "box"),
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
    ("exec", "box"),
    ("exec", "box", "sh"),
    ("exec", "box", "--", "sh"),
    ("exec", "--tty", "box", "sh"),
    ("exec", "--process", "/dev/null", "box"),
    ("exec", "--process", "/dev/null", "box", "sh"),
]


@pytest.mark.parametrize("words", UNUSUAL, ids=" ".join)
def test_unusual_command_lines(box: Place, words: tuple[str, ...]) -> None:
    assert box.code(*words) == PYTHON
    assert box.untouched()


@pytest.mark.parametrize("form", ["{}x", "x{}", "+{}", " {}", "{} ", "", "0", "1234567890{}"])
def test_an_init_is_digits(box: Place, form: str) -> None:
    """The container's own pid, and something besides: Python decides what it is."""
    word = form.format(box.init.pid)
    for words in (("--init", word), (f"--init={word}",)):
        assert box.code("delete", "--force", *words, "box") == PYTHON
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
