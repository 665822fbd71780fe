# SPDX-License-Identifier: Apache-2.0
"""Loads for a runtime, and what they leave: `make soak` puts them on pyrun, runc and crun in turn.

python -m soak.loads [--scale N] RUNTIME...       N: 1 has 10,000 lives and 1,000 execs
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from life import leftovers
from life.bundles import Bundle
from life.runtimes import Container, Runtime, eventually
from soak import kernel

PAYLOAD = Path(__file__).parent.parent / "payload"
SECONDS = 60  # that any one command may take


class Yard:
    """A runtime and as many containers as a load wants, below one folder."""

    def __init__(self, name: str, place: Path) -> None:
        self.name = name
        self.runtime = Runtime(name, place / "state")
        self.runtime.root.mkdir()
        self.place = place
        self.made = 0

    def container(self, *verbs: str, **resources: dict[str, int]) -> Container:
        """One that is not created yet, with these of config.linux.resources."""
        self.made += 1
        name = f"soak-{os.getpid()}-{self.name}-{self.made}"
        (self.place / name).mkdir()
        cgroup = f"/{leftovers.PARENT}/{name}"
        bundle = Bundle(self.place / name, self.place / "payload", cgroup)
        bundle.say(*(verbs or ("sleep 1000",)))
        bundle.linux["resources"].update(resources)
        bundle.save()
        return Container(self.runtime, bundle, name)

    def popen(self, *words: str | Path) -> subprocess.Popen[bytes]:
        """A verb that goes on; what it says is not looked at."""
        null = subprocess.DEVNULL
        return self.runtime.popen(*words, stdin=null, stdout=null, stderr=null)

    def all_at_once(self, verb: Callable[[Container], tuple[str | Path, ...]],
                    containers: list[Container]) -> list[int]:  # fmt: skip
        """The exit codes of a verb on each."""
        running = [self.popen(*verb(container)) for container in containers]
        return [process.wait(SECONDS) for process in running]


def _create(container: Container) -> tuple[str | Path, ...]:
    words = ("create", "--bundle", container.bundle.path, "--pid-file", container.pid_file)
    return (*words, container.id)


def _force(container: Container) -> tuple[str | Path, ...]:
    return ("delete", "--force", container.id)


def _freeze(container: Container) -> tuple[str | Path, ...]:
    return ("pause", container.id)


def _visit(container: Container) -> tuple[str | Path, ...]:
    return ("exec", container.id, "/payload", "print", "x")


def _start(container: Container) -> tuple[str | Path, ...]:
    return ("start", container.id)


@contextmanager
def timed(into: dict[str, str], what: str) -> Iterator[None]:
    """Notes how long it takes."""
    begun = time.monotonic()
    yield
    into[what] = f"{time.monotonic() - begun:.2f} s"


def many(count: int, scale: float) -> int:
    """Of what happens at once: a tenth of the scale has all of it."""
    return max(4, int(count * min(1.0, scale * 10)))


def crowd(yard: Yard, scale: float, into: dict[str, str]) -> None:
    """Creates at once, starts, freezes some, and deletes them all at once by force."""
    containers = [yard.container() for _ in range(many(100, scale))]
    with timed(into, f"{len(containers)} creates at once"):
        codes = yard.all_at_once(_create, containers)
    into["of these failed"] = str(len(codes) - codes.count(0))
    yard.all_at_once(_start, containers)
    yard.all_at_once(_freeze, containers[::10])
    with timed(into, f"{len(containers)} delete --force at once, a tenth frozen"):
        codes = yard.all_at_once(_force, containers)
    into["of those failed"] = str(len(codes) - codes.count(0))


def idle(yard: Yard, scale: float, into: dict[str, str]) -> None:
    """Many that do nothing: what stays of the runtime, and how long a list takes."""
    containers = [yard.container() for _ in range(many(500, scale))]
    for container in containers:
        assert container.create().code == 0
        assert container.start().code == 0
    path = os.path.realpath(yard.runtime.path)
    resident = [pid for pid in os.listdir("/proc") if pid.isdigit() and _runs(pid, path)]
    into[f"runtime processes beside {len(containers)} idle containers"] = str(len(resident))
    with timed(into, "list of these"):
        result = yard.runtime("list", "--quiet")
    assert len(result.out.split()) == len(containers), result
    for container in containers:
        assert container.delete("--force").code == 0


def _runs(pid: str, path: str) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/exe") == path
    except OSError:
        return False


def lives(yard: Yard, scale: float, into: dict[str, str]) -> None:
    """Whole lives one after the other, of which one verb in a hundred is killed at some time. An id
    that a life can't begin with, though none of its verbs was killed, is given up for another."""
    choose = random.Random(1)
    count = max(20, int(10_000 * scale))
    container = yard.container()
    killed = refused = lost = 0
    with timed(into, f"{count} lives, 1 % of the verbs killed"):
        for _ in range(count):
            codes, whole = [], True
            for verb in (_create, _start, _force):
                process = yard.popen(*verb(container))
                if choose.random() < 0.01:
                    time.sleep(choose.random() * 0.05)
                    process.kill()
                    killed += 1
                    whole = False
                codes.append(process.wait(SECONDS))
            while yard.popen(*_force(container)).wait(SECONDS):
                time.sleep(0.05)
            if whole and any(codes):
                lost += 1
                container = yard.container()
            else:
                refused += sum(code not in (0, -signal.SIGKILL) for code in codes)
    into["verbs killed"] = str(killed)
    into["verbs refused, of a life with a killed one"] = str(refused)
    into["ids that could not be used again"] = str(lost)


def visits(yard: Yard, scale: float, into: dict[str, str]) -> None:
    """Processes brought into one container."""
    container = yard.container()
    assert container.create().code == 0
    assert container.start().code == 0
    count = max(10, int(1000 * scale))
    with timed(into, f"{count} execs"):
        for _ in range(count):
            assert container.exec("print x").code == 0
    together = [yard.popen(*_visit(container)) for _ in range(many(50, scale))]
    failed = sum(process.wait(SECONDS) != 0 for process in together)
    into[f"of {len(together)} execs at once failed"] = str(failed)
    assert container.delete("--force").code == 0


def _beset(yard: Yard, load: str, script: str, into: dict[str, str], **resources: Any) -> None:
    """A container that takes what it can get up to its limit, while verbs go on: on it, and whole
    lives beside it."""
    container = yard.container(**resources)
    shutil.copy("/bin/busybox", container.bundle.rootfs / "busybox")
    container.bundle.process["args"] = ["/busybox", "sh", "-c", script]
    container.bundle.save()
    assert container.create().code == 0
    assert container.start().code == 0
    time.sleep(1)
    with timed(into, f"state beside a {load}"):
        assert container.state()["status"] == "running"
    beside = yard.container()
    failed = 0
    with timed(into, f"10 lives beside a {load}"):
        for _ in range(10):
            for words in (_create(beside), _start(beside), _visit(beside), _force(beside)):
                failed += yard.popen(*words).wait(SECONDS) != 0
    into[f"verbs beside a {load} that failed"] = str(failed)
    for verb in ("pause", "resume"):
        failed += yard.popen(verb, container.id).wait(SECONDS) != 0
    into[f"pauses and resumes of a {load} that failed"] = str(failed)
    assert container.state()["status"] == "running"
    with timed(into, f"delete --force of a {load}"):
        assert container.delete("--force").code == 0


def bomb(yard: Yard, _scale: float, into: dict[str, str]) -> None:
    """Processes that breed."""
    script = "b() { b | b & }; b; while :; do :; done"
    _beset(yard, "fork bomb", script, into, pids={"limit": 200})


def hog(yard: Yard, _scale: float, into: dict[str, str]) -> None:
    """Memory that is taken until the kernel kills who took it, again and again."""
    script = "while :; do tail /dev/zero; done"
    _beset(yard, "memory hog", script, into, memory={"limit": 64 << 20})


LOADS = (crowd, idle, lives, visits, bomb, hog)


def footprint(yard: Yard) -> dict[str, int]:
    """What may grow: here, and in the kernel."""
    host = leftovers.look([yard.runtime.root])
    return {
        "mounts": len(host.mounts),
        "cgroups": len(host.cgroups),
        "processes": len(host.processes),
        "state": len(host.state),
        "descriptors": len(host.descriptors),
    }


def soak(name: str, scale: float, patience: float = 60) -> dict[str, str]:
    """Every load on a runtime: {what: how it went}. What is left at the end is "left", and what the
    kernel keeps "… more than before"; how far it is, is told on stderr."""
    place = Path(tempfile.mkdtemp(prefix="pyrun-soak-"))
    place.chmod(0o755)
    into: dict[str, str] = {}
    try:
        flags = ["-std=c17", "-D_GNU_SOURCE", "-O1", "-static"]
        sources = sorted(PAYLOAD.glob("*.c"))
        subprocess.run(["cc", *flags, "-o", place / "payload", *sources], check=True)
        yard = Yard(name, place)
        before, kept = footprint(yard), kernel.kept()
        for load in LOADS:
            load(yard, scale, into)
            print(f"{name}: {json.dumps(into)}", file=sys.stderr, flush=True)
        eventually(lambda: footprint(yard) == before, 3)
        after = footprint(yard)
        grown = {what: after[what] - before[what] for what in after if after[what] > before[what]}
        into["left"] = ", ".join(f"{count} {what}" for what, count in grown.items()) or "nothing"
        with timed(into, "until its cgroups are gone from the kernel"):
            growth = kernel.growth(kept, patience)
        into |= {f"{what} more than before": str(amount) for what, amount in growth.items()}
    finally:
        leftovers.clear()
        leftovers.remove_parents()
        shutil.rmtree(place, ignore_errors=True)
    return into


def main(words: list[str]) -> int:
    """A table, a column a runtime."""
    parser = argparse.ArgumentParser(description="Loads for runtimes, side by side.")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("runtimes", nargs="*", default=["pyrun", "runc", "crun"])
    options = parser.parse_args(words)
    leftovers.become_subreaper(yes=True)
    with leftovers.own_view():
        if "crun" in options.runtimes:
            leftovers.hugetlb_for_crun()
        columns = [soak(name, options.scale) for name in options.runtimes]
    with contextlib.suppress(OSError):
        os.rmdir(leftovers.CGROUPS / "hugetlb")  # once it is mounted nowhere
    print(f"| | {' | '.join(options.runtimes)} |\n|---|{'--:|' * len(columns)}")
    for what in columns[0]:
        print(f"| {what} | {' | '.join(column.get(what, '') for column in columns)} |")
    return 0 if columns[0]["left"] == "nothing" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
