# SPDX-License-Identifier: Apache-2.0
"""Device rules in the kernel: a process in the cgroup tries every access of a small world, after
each change of the policy; by the v1 controller, and by a BPF program on v2."""

from __future__ import annotations

import json
import os
import random
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from life.cgroup_steps import in_v2, plan, remove_parents
from needs import excuse, needs
from pyrun.cgroup import devicefilter, devices, driver
from pyrun.cgroup import v1 as legacy
from unit.cgroup.device_model import World, meaning
from unit.cgroup.test_devices import ALLOW_ALL, DEFAULT_LINES, DENY_ALL, SUBSETS, alphabet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from unit.cgroup.device_model import Access

pytestmark = needs("root")

# "Local/experimental use" of both types (devices.txt): no driver takes them.
NUMBERS = (120, 121, 122)
WORLD = World(NUMBERS)
# What a system call asks for: mknod(2), and open(2) in three ways.
MKNOD, READ, WRITE, BOTH = 1, 2, 4, 6
TRIED = WORLD.those(lambda a: a[3] in (MKNOD, READ, WRITE, BOTH))

# Answers each line with a list: may it open or make node N in way B? access(2) is asked: for a node
# that may be opened the kernel would look for a driver, by modprobe.
TRY = """
import errno, os, stat, sys
ways = {2: (os.R_OK, os.O_RDONLY), 4: (os.W_OK, os.O_WRONLY), 6: (os.R_OK | os.W_OK, os.O_RDWR)}
kinds = {"b": stat.S_IFBLK, "c": stat.S_IFCHR}

def tried(kind, major, minor, bits):
    path = f"{kind}{major}-{minor}"
    try:
        if bits not in ways:
            os.mknod("new", kinds[kind] | 0o600, os.makedev(major, minor))
            os.unlink("new")
        elif not os.access(path, ways[bits][0]):
            os.open(path, ways[bits][1] | os.O_NONBLOCK)
            raise AssertionError("access(2) says no, and open(2) yes")
    except PermissionError as error:
        assert error.errno == errno.EPERM
        return False
    return True

os.chdir(sys.argv[1])
for line in sys.stdin:
    print([int(tried(*access)) for access in eval(line)], flush=True)
"""


class Prober:
    """The process in the cgroup."""

    def __init__(self, place: str) -> None:
        for kind, major, minor in {access[:3] for access in WORLD.accesses}:
            mode = stat.S_IFBLK if kind == "b" else stat.S_IFCHR
            node = f"{place}/{kind}{major}-{minor}"
            os.mknod(node, mode | 0o600, os.makedev(major, minor))
        command = [sys.executable, "-ISc", TRY, place]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.accesses: list[Access] = [a for n, a in enumerate(WORLD.accesses) if TRIED >> n & 1]

    def allowed(self) -> int:
        """The set of accesses that the kernel lets it have."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{self.accesses}\n")
        self.process.stdin.flush()
        answers = json.loads(self.process.stdout.readline())
        found = dict(zip(self.accesses, answers, strict=True))
        return WORLD.those(lambda access: bool(found.get(access)))


@pytest.fixture
def nodes() -> Iterator[str]:
    """A folder where nodes can be made and opened, whatever /tmp is mounted with."""
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["mount", "-t", "tmpfs", "nodes", place], check=True)
        yield place
        subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture
def v1() -> Iterator[dict[str, Any]]:
    """A planned cgroup on this machine's v1 hierarchies."""
    if driver.facts()["layout"] not in ("v1", "hybrid"):
        excuse("its controllers are not in cgroup v1")
    record = plan("devices")
    planned = {**record, "paths": dict(record["paths"])}
    yield record
    driver.destroy(planned)
    remove_parents(planned)


def samples() -> list[list[dict[str, Any]]]:
    """Lists of rules that are not refused, the same each time."""
    chance = random.Random(20)
    rules = alphabet("abc", (-1, *NUMBERS[:2]), (-1, *NUMBERS[:2]), SUBSETS)
    found: list[list[dict[str, Any]]] = [[], [ALLOW_ALL]]
    while len(found) < 60:
        wanted = [chance.choice(([], [DENY_ALL], [ALLOW_ALL]))]
        sample = [*wanted[0], *chance.choices(rules, k=chance.randint(1, 5))]
        if meaning(WORLD, sample, DEFAULT_LINES) is not None:
            found.append(sample)
    return found


def compare(place: str, record: dict[str, Any], replace: Callable[[devices.Policy], None]) -> None:
    """One policy in place of another, 60 times."""
    driver.create(record, {"devices": []})
    prober = Prober(place)
    driver.join(record, prober.process.pid)
    different = set()
    for rules in samples():
        replace(devices.policy(rules))
        expected = meaning(WORLD, rules, DEFAULT_LINES)
        assert expected is not None
        different.add(expected & TRIED)
        assert prober.allowed() == expected & TRIED, rules
    assert len(different) > 20
    prober.process.kill()
    prober.process.communicate()


def test_on_v2(nodes: str) -> None:
    """The verifier takes every program, and the kernel gives the answers of the model."""
    in_v2(
        lambda record: compare(
            nodes, record, lambda policy: devicefilter.set_policy(record, policy, fresh=False)
        )
    )


def test_on_v1(nodes: str, v1: dict[str, Any]) -> None:
    compare(nodes, v1, lambda policy: legacy.replace_devices(v1, policy))


# Opens a device that every container may use, again and again, until it is told to stop.
BUSY = """
import os, select, sys
failed = times = 0
print("ready", flush=True)
while not select.select([0], [], [], 0)[0]:
    times += 1
    try:
        os.close(os.open("/dev/zero", os.O_RDWR))
    except PermissionError:
        failed += 1
print(failed, times, flush=True)
"""


def toggle(record: dict[str, Any], times: int) -> None:
    """What both policies allow is allowed all the time."""
    driver.create(record, {"devices": [DENY_ALL]})
    command = [sys.executable, "-ISc", BUSY]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    driver.join(record, process.pid)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    for rules in [[ALLOW_ALL], [DENY_ALL]] * times:
        driver.update(record, {"devices": rules})
    answer, _ = process.communicate("stop\n", timeout=20)
    failed, opened = map(int, answer.split())
    assert failed == 0
    assert opened > times


def test_no_moment_without_what_both_allow_on_v2() -> None:
    in_v2(lambda record: toggle(record, 50))


def test_no_moment_without_what_both_allow_on_v1(
    v1: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There it takes many writes, of which each may take its time."""
    write = legacy._write_rule

    def slowly(fd: int, pointer: str, line: str) -> None:
        time.sleep(0.002)
        write(fd, pointer, line)

    monkeypatch.setattr(legacy, "_write_rule", slowly)
    toggle(v1, 3)


def programs(path: str) -> list[str]:
    """The id of our program at a cgroup, as the kernel has it."""
    from pyrun.kernel import _bpf

    fd, found = os.open(path, os.O_RDONLY), _bpf.ffi.new("int *", -1)
    try:
        assert _bpf.lib.pyrun_bpf_prog_find(fd, found) == 0
        if found[0] < 0:
            return []
        text = Path(f"/proc/self/fdinfo/{found[0]}").read_text()
        os.close(found[0])
    finally:
        os.close(fd)
    return [line.split()[1] for line in text.splitlines() if line.startswith("prog_id")]


def test_a_refused_program_leaves_the_one_before() -> None:
    """What the kernel does not take changes nothing; what it takes is there instead."""

    def body(record: dict[str, Any]) -> None:
        driver.create(record, {"devices": []})
        path = record["paths"][""]
        before = programs(path)
        assert len(before) == 1
        with pytest.raises(OSError, match="load the device filter"):
            devicefilter.attach(path, b"\x95" + bytes(7))  # exit, without a result
        assert programs(path) == before
        devicefilter.set_policy(record, devices.policy([ALLOW_ALL]), fresh=False)
        assert len(programs(path)) == 1
        assert programs(path) != before

    in_v2(body)
