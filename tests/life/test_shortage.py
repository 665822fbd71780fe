# SPDX-License-Identifier: Apache-2.0
"""A limit of descriptors, or the room of the state folder, is reached anywhere in a verb: it does
what it shall, or fails without a trace. I1 to I11 (tests/faults/invariants.py) hold, then
`delete --force`, then they hold again. At every limit with PYRUN_SWEEP=all, else at a sample."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults import verbs
from faults.ground import Ground, standing
from faults.invariants import check, check_gone
from faults.kinds import Kind
from faults.sampling import ALL, sample, tell
from faults.stops import Ended, Stopped
from life.runtimes import Container
from needs import needs

pytestmark = [needs("root"), pytest.mark.pyrun_only("no peer keeps this promise")]

POINTS = 6  # of each verb, in a sample
ENOUGH = 65 if ALL else 16  # descriptors, with those that every program has
PAGE = 4096
ROOM = 12  # pages, or files: more than any verb makes
TEMPLATES = 0.3  # seconds from one that is left to the next at least
NAMES = ("create", "run", "start", "exec", "delete", "force")
SMALL = ("-o", f"size={64 * ROOM}k,nr_inodes={16 * ROOM},mode=700")
FILLER = ".filler"


@pytest.fixture(autouse=ALL)
def time_limit() -> None:
    """None, in place of that of every other test here: all takes long."""


@pytest.fixture
def ground(make_container: Callable[[], Container], place: Path) -> Iterator[Ground]:
    """With a file system of its own for all that is on record."""

    def make() -> Container:
        container = make_container()
        if not container.runtime.root.is_mount():
            container.runtime.root.mkdir(mode=0o700, exist_ok=True)
            words = ["mount", "-t", "tmpfs", *SMALL, "tmpfs", container.runtime.root]
            subprocess.run(words, check=True)
        return container

    with standing(Kind(), place, make) as found:
        yield found


def call(here: Ground, name: str, *before: str) -> Ended:
    """A verb, of which only who makes what program is heard."""
    words = here.container.runtime.command(*verbs.words(here.container, here.kind, name))
    return Stopped([*before, *words], ()).run()


def sweep(
    here: Ground, name: str, what: str, amounts: range, attempt: Callable[[int], Ended]
) -> None:
    """A verb with any amount of something: with the most it succeeds."""
    here.keeps = bool(verbs.VERBS[name].before)
    python = "PYRUN_NO_FAST" in os.environ
    for _ in range(1 if python else 3):  # the first ones may leave a template
        here.ready(name)
        time.sleep(TEMPLATES)
        done = call(here, name)
        assert done.code == 0, done
        here.learn(done)
        with verbs.reaping(verbs.callers(done)):
            check_gone(here)
    wrong, codes = [], {}
    for amount in dict.fromkeys([*sample(amounts, POINTS), amounts[-1]]):
        try:
            here.ready(name)
            ended = attempt(amount)
            codes[amount] = ended.code
            check(here, name, ended, errno.ENOSPC if what != "descriptors" else errno.EMFILE)
        except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
            wrong.append(f"{amount} {what}: {error}: {ended}")
            tell(f"{name}: {wrong[-1]}")
            here.clear()
    failed = [amount for amount, code in codes.items() if code]
    way = "python" if python else "short"
    tell(f"{name} {way}: of {len(codes)} limits of {what} it failed at {failed}")
    assert wrong == [], "\n".join(wrong)
    assert codes[amounts[-1]] == 0


@pytest.mark.parametrize("name", NAMES)
def test_few_descriptors(ground: Ground, name: str) -> None:
    def attempt(limit: int) -> Ended:
        return call(ground, name, "/usr/bin/prlimit", f"--nofile={limit}:{limit}")

    sweep(ground, name, "descriptors", range(3, ENOUGH), attempt)


@pytest.mark.parametrize("what", ["pages", "files"])
@pytest.mark.parametrize("name", NAMES)
def test_little_room(ground: Ground, name: str, what: str) -> None:
    """A page is the least that a write to it takes, and a file the least that a name does."""

    def attempt(left: int) -> Ended:
        with full(ground.container.runtime.root, what, left):
            return call(ground, name)

    sweep(ground, name, what, range(ROOM + 1), attempt)


@contextlib.contextmanager
def full(root: Path, what: str, left: int) -> Iterator[None]:
    """Meanwhile a file system has room for no more than this."""
    filler = root / FILLER
    filler.mkdir()
    try:
        if what == "files":
            for number in range(os.statvfs(root).f_favail - left):
                os.symlink("x", filler / str(number))
        else:
            pages = os.statvfs(root).f_bavail - left
            (filler / "pages").write_bytes(bytes(PAGE * pages))
        room = os.statvfs(root)
        assert (room.f_favail if what == "files" else room.f_bavail) == left
        yield
    finally:
        for path in filler.iterdir():
            path.unlink()
        filler.rmdir()
