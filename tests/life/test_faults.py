# SPDX-License-Identifier: Apache-2.0
"""Each system call of each verb fails, or is the last one of its process: I1 to I11
(tests/faults/invariants.py) hold, then `delete --force`, then they hold again. Of every call, every
fault and every kind of container with PYRUN_SWEEP=all (`make faults`), else of a sample. The kinds
that this machine has not are excused: a virtual machine has them (docs/vm.md)."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from faults import verbs
from faults.ground import Ground, confinement, standing
from faults.invariants import check, check_gone
from faults.kinds import KINDS, Kind
from faults.sampling import ALL, SEED, sample, tell
from faults.stops import Stop
from faults.verbs import FAULTS, VERBS, fits, points, run
from life.bundles import Bundle
from life.runtimes import Container
from needs import lacking, needs

pytestmark = [needs("root"), pytest.mark.pyrun_only("no peer keeps this promise")]

POINTS = 3  # of each verb and kind, in a sample
EACH = 2  # kinds of a verb, in a sample
MAKES_ONE = ("clone3", "clone", "fork", "vfork")
TEMPLATES = 0.3  # seconds from one that is left to the next at least


@pytest.fixture(autouse=ALL)
def time_limit() -> None:
    """None, in place of that of every other test here: all takes long."""


def turns(at: int) -> set[str]:
    """Kinds of the verb with this number, in a sample: those that only such a machine has, or some
    by the seed, so that each has its turn."""
    if not lacking("systemd"):
        return {("systemd", "v2")[at % 2]}
    names = [name for name in KINDS if name != "systemd"]
    first = random.Random(SEED).randrange(len(names)) + at
    return {names[(first + step * 3) % len(names)] for step in range(EACH)}


def chosen() -> Sequence[object]:
    """(verb, kind) of every test."""
    found = []
    for at, verb in enumerate(VERBS):
        for name, kind in KINDS.items():
            if ALL or name in turns(at):
                marks = [needs(*kind.needs)] if kind.needs else []
                found.append(pytest.param(verb, name, id=f"{verb}-{name}", marks=marks))
    return found


@pytest.fixture
def ground(
    make_container: Callable[[], Container],
    place: Path,
    kind_name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Ground]:
    """That of a kind of container."""
    kind = KINDS[kind_name]
    if kind.python:
        monkeypatch.setenv("PYRUN_NO_FAST", "1")
    with standing(kind, place, make_container) as found:
        yield found


@pytest.mark.one_way("a kind of container says it")
@pytest.mark.parametrize(("name", "kind_name"), chosen())
def test_faults(ground: Ground, name: str, kind_name: str) -> None:
    sweep(ground, name, kind_name)


def every_fault(stops: Sequence[Stop]) -> list[tuple[Stop, int | str]]:
    """All, or a sample."""
    return sample(
        [(stop, fault) for stop in stops for fault in FAULTS if fits(stop, fault)], POINTS
    )


def no_process(stops: Sequence[Stop]) -> list[tuple[Stop, int | str]]:
    """A limit of processes that is reached, wherever one is made."""
    return [(stop, errno.EAGAIN) for stop in stops if stop.call in MAKES_ONE]


Chooses = Callable[[Sequence[Stop]], list[tuple[Stop, "int | str"]]]


def sweep(here: Ground, name: str, kind_name: str, chooses: Chooses = every_fault) -> None:
    """A verb of a kind, at each of its calls."""
    container, kind = here.container, here.kind
    here.keeps = bool(VERBS[name].before)
    # The first create and run may leave a template, if that is not too soon after another's: all
    # that follow take it.
    for _ in range(2):
        here.ready(name)
        time.sleep(TEMPLATES)
        traced = run(container, kind, name)
        assert traced.code == 0, traced
        with verbs.reaping(verbs.callers(traced)):
            check_gone(here)
    here.ready(name)
    traced = run(container, kind, name)
    here.learn(traced)
    with verbs.reaping(verbs.callers(traced)):
        check_gone(here)
    stops = points(container, traced)
    tried = chooses(stops)
    assert tried
    wrong = []
    missed = 0
    for stop, fault in tried:
        failing = verbs.Failing(stop, fault)
        ended = None
        try:
            here.ready(name)
            ended = run(container, kind, name, failing)
            missed += not failing.hit
            check(here, name, ended, fault, hit=failing.hit)
        except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
            what = errno.errorcode[fault] if isinstance(fault, int) else fault
            how = f"code {ended.code}, {ended.errors!r}" if ended else "not begun"
            wrong.append(f"{what} at {failing.hit or stop}: {error}: {how}")
            tell(f"{name} {kind_name}: {wrong[-1]}")
            here.clear()
    tally = f"{len(tried)} faults at {len(stops)} calls, {missed} did not come"
    tell(f"{name} {kind_name}: {tally}")
    assert wrong == [], "\n".join(wrong)
    # How often a verb looks whether a process has ended is not the same each time.
    assert missed <= max(1, len(tried) // 5), tally


@pytest.mark.one_way("a kind of container says it")
@pytest.mark.parametrize("kind_name", ["plain", "python", "userns", "hooks"])
@pytest.mark.parametrize("name", ["create", "run", "exec"])
def test_no_process_can_be_made(ground: Ground, name: str, kind_name: str) -> None:
    sweep(ground, name, kind_name, no_process)


def test_start_leaves_a_fifo_that_stays(container: Container, bundle: Bundle) -> None:
    """The program runs by then: that is no failure of start."""
    container.created("sleep 100")

    def decide(stop: Stop) -> int | None:
        return errno.EIO if stop.call == "unlinkat" and stop.path.endswith(".fifo") else None

    ended = run(container, Kind(), "start", decide)
    assert (ended.code, ended.errors) == (0, "")
    assert verbs.status_of(container) == "running"
    assert (container.runtime.root / container.id / "exec.fifo").exists()


@pytest.mark.one_way("these calls are Python's")
def test_run_says_that_the_init_got_no_answer(
    container: Container, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No memory for the last message to the executor, nor a moment later: it told nobody, and that
    was success. (The short way is taken back, and Python begins anew.)"""
    monkeypatch.setenv("PYRUN_NO_FAST", "1")
    bundle.say("sleep 100")
    bundle.save()
    traced = run(container, Kind(), "run")
    assert container.delete("--force").code == 0
    ended = run(container, Kind(), "run", verbs.last_message(traced, runtime=False, times=2))
    assert ended.code == 1
    assert "cannot allocate memory" in ended.errors
    assert verbs.status_of(container) == ""


@pytest.mark.one_way("these calls are Python's")
@pytest.mark.parametrize("ours", [True, False], ids=["runtime", "executor"])
def test_exec_looks_again_for_what_it_could_not_receive(
    container: Container, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, ours: bool
) -> None:
    """Its program runs by then, or is about to: a moment without memory is no failure of it."""
    monkeypatch.setenv("PYRUN_NO_FAST", "1")
    container.created("sleep 100")
    assert container.start().code == 0
    traced = run(container, Kind(), "exec")
    ended = run(container, Kind(), "exec", verbs.last_message(traced, runtime=ours, times=1))
    assert (ended.code, ended.errors) == (0, ""), ended
    looked = [sum(stop.call == "recvmsg" for stop in those.stops) for those in (traced, ended)]
    assert looked[1] > looked[0], "no call failed"


@pytest.mark.one_way("these calls are Python's")
def test_bounding_set_that_can_not_be_read(
    container: Container, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was taken for the end of the capabilities that this kernel has: the rest stayed."""
    monkeypatch.setenv("PYRUN_NO_FAST", "1")
    bundle.say("sleep 100")
    bundle.save()
    traced = run(container, Kind(), "create")
    bounding = confinement(container)["CapBnd"]
    assert container.delete("--force").code == 0
    late = [stop for stop in traced.stops if stop.call == "prctl"]
    refused = 0
    for at in late[2:5]:
        ended = run(container, Kind(), "create", verbs.Failing(at, errno.EPERM))
        if ended.code == 0:
            assert confinement(container)["CapBnd"] == bounding
        refused += ended.code
        assert container.delete("--force").code == 0
    assert refused


@pytest.mark.parametrize("record", ["intent.json", "state.json"])
def test_record_that_can_not_be_read_now(
    container: Container, bundle: Bundle, tmp_path: Path, record: str
) -> None:
    """`delete --force` took it for damaged, and left out what only it tells of: the hooks."""
    mark = tmp_path / "mark"
    script = f"echo > {mark}"
    bundle.config["hooks"] = {"poststop": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    container.created("sleep 100")
    traced = run(container, Kind(), "force")
    assert mark.exists()
    reads = [stop for stop in traced.stops if stop.path == record and stop.call == "openat"]
    assert reads
    for at in reads:
        mark.unlink()
        container.created("sleep 100")
        ended = run(container, Kind(), "force", verbs.Failing(at, errno.ENOMEM))
        assert (ended.code, f"{record}: cannot allocate memory" in ended.errors) == (1, True)
        assert container.delete("--force").code == 0
        assert mark.exists()


@pytest.mark.one_way("these calls are Python's")
def test_exec_says_that_the_process_got_no_answer(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended with our last word unread, and what it had said itself was not read either: exec
    gave its exit code, as that of the user's program."""
    monkeypatch.setenv("PYRUN_NO_FAST", "1")
    container.started("sleep 100")
    traced = run(container, Kind(), "exec")
    ended = run(container, Kind(), "exec", verbs.last_message(traced, runtime=False, times=2))
    assert (ended.code, ended.output) == (255, "")
    assert ended.errors.count("\n") == 1, ended


@pytest.mark.one_way("these calls are Python's")
def test_exec_waits_though_the_launcher_has_no_memory(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could not become what waits, and left the program with nobody."""
    monkeypatch.setenv("PYRUN_NO_FAST", "1")
    container.started("sleep 100")
    traced = run(container, Kind(), "exec")
    (last,) = (stop for stop in traced.stops if stop.call == "execveat" and not stop.process)
    ended = run(container, Kind(), "exec", verbs.Failing(last, errno.ENOMEM))
    assert (ended.code, ended.output, ended.errors) == (0, "up\n\036\n", "")


@pytest.mark.one_way("these calls are Python's")
@pytest.mark.parametrize("verb", ["exec", "run"])
def test_lock_that_can_not_be_given_back(
    container: Container, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """The program runs by then."""
    monkeypatch.setenv("PYRUN_NO_FAST", "1")
    bundle.say("sleep 100")
    bundle.save()
    if verb == "exec":
        container.started()
    traced = run(container, Kind(), verb)
    last = [stop for stop in traced.stops if stop.call == "flock"][-1]
    if verb == "run":
        assert container.delete("--force").code == 0
    failing = verbs.Failing(last, errno.EIO)
    ended = run(container, Kind(), verb, failing)
    assert failing.hit
    assert (ended.code, ended.errors) == (0, "")


@pytest.mark.one_way("a poll of the launcher")
def test_start_waits_whatever_fails(container: Container) -> None:
    """A failed poll gave the rest to Python, which found the container running."""
    container.created("sleep 100")
    hits = []

    def decide(stop: Stop) -> int | None:
        if stop.call != "poll" or hits:
            return None
        hits.append(stop)
        return errno.ENOMEM

    ended = run(container, Kind(), "start", decide)
    assert (len(hits), ended.code, ended.errors) == (1, 0, "")


@pytest.mark.one_way("the launcher's template")
def test_create_by_a_template_without_a_fifo(container: Container, bundle: Bundle) -> None:
    """It opened the one end and waited for the other, which nobody had."""
    bundle.say("sleep 100")
    bundle.save()
    for _ in range(2):  # the first leaves the template
        traced = run(container, Kind(), "create")
        assert container.delete("--force").code == 0
    fifo = next(
        stop for stop in traced.stops if stop.path == "result.fifo" and stop.call == "openat"
    )
    assert fifo.nth < 200, "it took Python"
    ended = run(container, Kind(), "create", verbs.Failing(fifo, errno.ENOMEM))
    assert (ended.code, ended.errors, ended.hung) == (0, "", False)


@pytest.mark.parametrize("call", ["memfd_create", "write", "pipe2", "pidfd_open", "poll"])
def test_poststop_hook_that_can_not_be_begun(
    container: Container, bundle: Bundle, tmp_path: Path, call: str
) -> None:
    """It has one chance to take away what other hooks have made: it is tried again."""
    mark = tmp_path / "mark"
    script = f"echo > {mark}"
    bundle.config["hooks"] = {"poststop": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    container.started("sleep 100")
    begun: list[Stop] = []
    hits: list[Stop] = []

    def decide(stop: Stop) -> int | None:
        begun.extend([stop] * (stop.call == "pipe2"))  # for what the hook prints
        if hits or not begun or stop.call != call:
            return None
        hits.append(stop)
        return errno.ENOMEM

    ended = run(container, Kind(), "force", decide)
    assert (len(hits), ended.code, ended.errors) == (1, 0, "")
    assert mark.exists()


def test_stage_that_is_killed(container: Container) -> None:
    """It has made a sibling, and can't say so: that one waits for a word with the socket open, and
    nobody saw that nothing more would come."""
    container.started("sleep 100")
    for _ in range(2):
        traced = run(container, Kind(), "exec")
        time.sleep(TEMPLATES)
    made = next(stop for stop in traced.stops if stop.call == "clone3" and stop.process)
    word = next(
        stop
        for stop in traced.stops[made.index :]
        if (stop.process, stop.call) == (made.process, "write")
    )
    failing = verbs.Failing(word, "caller")
    ended = run(container, Kind(), "exec", failing)
    assert failing.hit
    assert not ended.hung
    assert ended.errors.count("\n") == bool(ended.code)
    if "PYRUN_NO_FAST" in os.environ:  # or by Python, after the short way has failed
        assert ended.code


@pytest.mark.one_way("what the launcher leaves to Python")
def test_delete_whose_folder_stays_at_first(container: Container) -> None:
    """All but the empty folder was gone, and Python, asked for the rest, found no container."""
    container.created("sleep 100")
    assert container.kill().code == 0
    container.wait()
    hits: list[Stop] = []

    def decide(stop: Stop) -> int | None:
        if hits or stop.call != "unlinkat" or stop.path != container.id:
            return None
        hits.append(stop)
        return errno.ENOMEM

    ended = run(container, Kind(), "delete", decide)
    assert (len(hits), ended.code, ended.errors) == (1, 0, "")
    assert not (container.runtime.root / container.id).exists()
