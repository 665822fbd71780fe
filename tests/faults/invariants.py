# SPDX-License-Identifier: Apache-2.0
"""What holds whatever fails and whoever is killed, I1 to I11: after the fault, and again after
`delete --force`, when the host is to be as it was.

Each of them is a function of its name, which says what is wrong as an AssertionError.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

from faults import verbs
from faults.ground import TREES, Ground, confinement, digest, kernel_objects
from faults.kinds import DEPTH, MEMORY, UPDATED, UPDATED_DEPTH
from faults.stops import SECONDS, SLOWNESS, Ended, Stop
from life import leftovers, systemd_units
from life.runtimes import Container, Result, eventually

PATIENCE = 3.0 * SLOWNESS  # seconds for what ends by itself, as those whose parent was killed
INTENT = "intent.json"
# The other half of the interpreter, when it finds no way to start: Python says it in its own form.
FATAL = "Fatal Python error"


class Outcome(NamedTuple):
    """Of a verb with a fault, or of `delete --force` after it ("")."""

    name: str
    fault: int | str
    ended: Ended
    status: str  # that `state` gives afterwards
    seconds: float
    hit: Stop | None = None  # where the fault was, if that is known


def _is_members(pid: int, container: Container) -> bool:
    try:
        return container.id in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return True  # it has ended


def i1_no_process(ground: Ground, outcome: Outcome) -> None:
    """Nobody is left that is not in the container, if there is one; and no stranger was ended."""
    there = outcome.status not in ("", "stopped")

    def others() -> list[int]:
        leftovers.reap()
        found = [pid for pid in leftovers.children() if pid not in ground.known()]
        return [pid for pid in found if not (there and _is_members(pid, ground.container))]

    assert eventually(lambda: not others(), PATIENCE), f"I1: processes: {others()}"
    for pid in ground.known():
        assert verbs.alive(pid), "I1: a stranger was killed"


def i2_no_mount(ground: Ground, _outcome: Outcome) -> None:
    """mountinfo of the host is what it was."""
    assert ground.before
    before = ground.before.host.mounts
    now = frozenset(Path("/proc/self/mountinfo").read_text().splitlines())
    # Whoever removes a mount point takes the mount from all namespaces: somebody else's affair.
    lost = {line for line in before - now if Path(line.split()[4]).exists()}
    assert not now - before | lost, f"I2: mounts: {sorted(now - before)}, gone: {sorted(lost)}"


def i3_no_cgroup(ground: Ground, outcome: Outcome) -> None:
    """No cgroup without a container, and none is frozen but that of a paused one."""
    assert ground.before
    before = ground.before.host.cgroups

    def left() -> list[str]:
        return sorted(leftovers.cgroups() - before) if not outcome.status else []

    assert eventually(lambda: not left(), PATIENCE), f"I3: cgroups: {left()}"
    folders = {Path(folder) for folder in leftovers.cgroups()}
    folders |= {systemd_units.folder(ground.container, h) for h in leftovers.hierarchies()}
    frozen = [str(folder) for folder in sorted(folders) if _is_frozen(folder)]
    # Who is killed, or fails at that, can't thaw what it froze to kill all, or to pause: state
    # says it is so.
    killed = isinstance(outcome.fault, str) and outcome.name
    failed = "thaw" in outcome.ended.errors
    allowed = ("paused", "stopped") if killed or failed else ("paused",)
    assert not frozen or outcome.status in allowed, f"I3: {outcome.status}, and frozen: {frozen}"


def _is_frozen(folder: Path) -> bool:
    for name, free in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
        try:
            return (folder / name).read_text().strip() != free
        except OSError:
            continue
    return False


def i4_no_file(ground: Ground, outcome: Outcome) -> None:
    """State, /tmp, /run, the bundle and its root are what they were, the container's own folder
    apart."""
    assert ground.before
    now = ground.look()
    own = str(ground.container.runtime.root / ground.container.id)
    state = now.host.state - ground.before.host.state - ({own} if outcome.status else set())
    # A folder without an intent is nobody's: the next create takes it.
    if own in state and outcome.name and INTENT not in os.listdir(own):
        state -= {own}
    assert not state, f"I4: state: {sorted(state)}"
    for top in TREES:
        surplus = sorted(now.trees[top] - ground.before.trees[top])
        if outcome.status:  # systemd has the files of its unit as long as there is one
            surplus = [path for path in surplus if not path.startswith("/run/systemd/")]
        assert not surplus, f"I4: {surplus}"
    changed = {path for path, _ in now.bundle.items() ^ ground.before.bundle.items()}
    assert not changed, f"I4: {sorted(changed)}"


def i5_no_object(ground: Ground, outcome: Outcome) -> None:
    """Descriptors, terminals, shared memory, keyrings, network devices, units."""
    assert ground.before
    ground.drain()
    more = sorted(leftovers.descriptors() - ground.before.host.descriptors)
    assert not more, f"I5: descriptors: {more}"

    def left() -> list[str]:
        found = kernel_objects() - ground.before.objects  # type: ignore[union-attr]
        found = {line for line in found if not (outcome.status and line.startswith("key "))}
        if ground.kind.options and not outcome.status:
            found |= {
                line for line in systemd_units.left().splitlines() if ground.container.id in line
            }
        return sorted(found)

    assert eventually(lambda: not left(), PATIENCE), f"I5: {left()}"


def i6_truth(ground: Ground, outcome: Outcome) -> None:
    """Success is what has happened, a failure what has not, and it says in one line what failed."""
    name, fault, ended, status, *_ = outcome
    if not name:
        assert (ended.code, ended.errors) == (0, ""), f"I6: delete --force: {ended}"
        return
    _one_line(ended)
    verb = verbs.VERBS[name]
    container = ground.container
    if ended.code == 0:
        settled = eventually(lambda: verbs.status_of(container) == verb.after, PATIENCE)
        assert settled, f"I6: success, and it is {verbs.status_of(container)!r}"
        if name == "exec" and not ground.kind.terminal:
            assert ended.output == "up\n\036\n", "I6: success, and the program did not run"
        if name in ("create", "run", "start"):
            now = confinement(container)
            assert now == ground.confinement, f"I6: success, with {now}"
        if name == "update":
            assert limit_of(container) in (UPDATED, UPDATED_DEPTH), "I6: success, and no limit"
    elif isinstance(fault, int) and not (ended.code == -signal.SIGSEGV and _loading(outcome)):
        text = ended.errors.removeprefix("pyrun: ").strip()
        assert text, "I6: it fails without a word"
        assert text.lower() != os.strerror(fault).lower(), "I6: it does not say what failed"
        # A hook that fails at start takes the container with it.
        allowed = ("", verb.before) if name == "start" else (verb.before,)
        if name not in ("delete", "force"):
            assert status in allowed, f"I6: it failed, and is {status!r}"
        else:
            folder = container.runtime.root / container.id
            assert status or folder.exists(), "I6: it failed, and is gone"
        if name == "update":
            assert limit_of(container) in (MEMORY, DEPTH), "I6: it failed, with another limit"
        if name == "exec":
            assert "up" not in ended.output, "I6: it failed, and the program ran"


def _loading(outcome: Outcome) -> bool:
    """Whether the loader of the interpreter's libraries had no memory: it dies of that."""
    hit, before = outcome.hit, outcome.ended.stops[-2:-1]
    return bool(hit and hit.call == "mmap" and before and before[0].call == "execve")


def _one_line(ended: Ended) -> None:
    if FATAL in ended.errors:
        return
    assert "Traceback" not in ended.errors, f"I6: {ended.errors}"
    assert "internal error" not in ended.errors, f"I6: {ended.errors}"
    assert ended.errors.count("\n") <= 1, f"I6: {ended.errors}"


def limit_of(container: Container) -> int:
    """What `update` changes, as the kernel has it."""
    for line in Path(f"/proc/{container.state()['pid']}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for place in leftovers.hierarchies():
            if controllers and place.name != "memory":
                continue
            for name in ("memory.limit_in_bytes", "memory.max", "cgroup.max.depth"):
                file = place / path.lstrip("/") / name
                if file.exists() and container.id in path:
                    text = file.read_text().strip()
                    if text != "max":
                        return int(text)
    return 0


def i7_status(ground: Ground, outcome: Outcome) -> None:
    """It is one of the five, and one that has stopped has no init."""
    assert outcome.status in ("", *verbs.STATUSES), f"I7: {outcome.status}"
    if outcome.status == "stopped":
        pid = ground.container.state().get("pid", 0)
        assert not pid or not verbs.alive(pid), "I7: stopped, and its init lives"
    if not outcome.name:
        assert not outcome.status, f"I7: deleted, and {outcome.status}"


def i8_time(_ground: Ground, outcome: Outcome) -> None:
    """It ends in time."""
    assert not outcome.ended.hung, "I8: it hangs"
    assert outcome.seconds < SECONDS, f"I8: it took {outcome.seconds:.0f} s"


def i9_id(ground: Ground, outcome: Outcome) -> None:
    """The id is taken as long as there is a container, which a second create leaves alone; and free
    without one."""
    container, kind = ground.container, ground.kind
    status = verbs.status_of(container) if outcome.status else ""  # who is killed ends by and by
    if not outcome.name:
        ground.forget_hooks()
    done = container.create(options=kind.options, flags=kind.flags(container, "create"))
    if outcome.status:
        assert done.code == 1, "I9: created twice"
        assert "already exists" in done.err, f"I9: {done.err}"
        later = {status, "stopped"}
        if outcome.name == "start" and outcome.fault == "runtime":
            later.add("running")  # the init had its word, and goes on by itself
        assert verbs.status_of(container) in later, "I9: another create changed it"
        return
    assert done.code == 0, f"I9: the id can't be used again: {done.err}"
    if ground.keeps and not outcome.name:
        ground.kept = True
        return
    deleted = container.delete("--force")
    assert deleted == Result(0, "", ""), f"I9: {deleted}"
    ground.forget_hooks()


def i10_poststop(ground: Ground, outcome: Outcome) -> None:
    """poststop has run if hooks were begun and the container is gone, and else it has not."""
    if "poststop" not in (ground.container.bundle.config.get("hooks") or {}):
        return
    ran = ground.hooks_that_ran()
    if outcome.name:
        ground.notice(outcome.ended, outcome.hit)
    if outcome.status:
        # A deletion that was stopped half-way runs it again.
        assert "poststop" not in ran or outcome.name in ("delete", "force"), "I10: too early"
    elif "createRuntime" in ran:
        assert "poststop" in ran or ground.hook_was_hit, "I10: no poststop"
    elif outcome.name in ("create", "run"):
        records = sum("state.json" in stop.path for stop in outcome.ended.stops)
        assert "poststop" not in ran or records >= ground.owed_from > 0, "I10: poststop of nothing"


def i11_outside(ground: Ground, _outcome: Outcome) -> None:
    """What a link of the image leads to is untouched."""
    assert ground.before
    assert digest(ground.place / "outside") == ground.before.outside, "I11: outside"


# i9 comes last: it makes and deletes a container, or keeps it.
ALL = (
    i8_time, i7_status, i6_truth, i1_no_process, i2_no_mount, i3_no_cgroup, i4_no_file,
    i5_no_object, i10_poststop, i11_outside, i9_id,
)  # fmt: skip


def check(
    ground: Ground,
    name: str,
    ended: Ended,
    fault: int | str,
    orphans: Callable[[], Collection[int]] | None = None,
    hit: Stop | None = None,
) -> None:
    """All of them after the fault; then `delete --force`; then all of them again. `orphans`: who is
    to be reaped, if it is not those that were heard."""
    began = time.monotonic()
    status = verbs.status_of(ground.container)
    outcome = Outcome(name, fault, ended, status, time.monotonic() - began, hit)
    with verbs.reaping(orphans or verbs.callers(ended)):
        for holds in ALL:
            holds(ground, outcome)
        check_gone(ground, used=not status)


def check_gone(ground: Ground, *, used: bool = False) -> None:
    """`delete --force`, and all of them; `used`: a container was made and deleted since, which is
    all that I9 asks where there is nothing to delete."""
    began = time.monotonic()
    result = ground.container.delete("--force")
    seconds = time.monotonic() - began
    deleted = Ended(result.code, result.out, result.err, [], hung=False)
    outcome = Outcome("", "", deleted, verbs.status_of(ground.container), seconds)
    for holds in ALL:
        if not (used and holds is i9_id):
            holds(ground, outcome)
