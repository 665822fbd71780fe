# SPDX-License-Identifier: Apache-2.0
"""Whether two runtimes made the same container: figures of different work are not to be compared.

Everything is read from outside, in /proc and the cgroup's files, while the container runs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import contestants
import process

Work: TypeAlias = "dict[str, object]"

# Seconds: pyrun leaves a template for what it has made no more often.
BETWEEN_TEMPLATES = 0.3
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
STATUS = (
    *("Uid", "Gid", "Groups", "Umask", "NoNewPrivs", "Seccomp", "Seccomp_filters"),
    *("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"),
)
# Where v1 and v2 keep them, below the hierarchy's mount point.
CGROUP_LIMITS = (
    "memory/memory.limit_in_bytes",
    "pids/pids.max",
    "cpu/cpu.shares",
    "devices/devices.list",
    "memory.max",
    "pids.max",
    "cpu.weight",
)
# Devices that each runtime allows by itself, beside the specification's: crun the console, which
# only a container with a terminal has, runc and pyrun the tunnel.
OWN_DEVICES = ("c 10:200 rwm", "c 5:1 rwm")
# The null device that a file is masked with may be the host's or the container's.
MASKS = {"devtmpfs": "device", "tmpfs": "device"}


def describe(pid: int, cgroup: str) -> Work:
    """What surrounds the process `pid`: each fact by a name that a person knows."""
    proc = Path(f"/proc/{pid}")
    mounts = [_mount(line) for line in (proc / "mountinfo").read_text().splitlines()]
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    work: Work = {
        "new namespaces": sorted(name for name in NAMESPACES if _is_new(proc, name)),
        "number of mounts": len(mounts),
        "mounts": sorted(mounts),
        "oom_score_adj": (proc / "oom_score_adj").read_text().strip(),
        "environment": sorted((proc / "environ").read_text().split("\0")),
        "open files": len(list((proc / "fd").iterdir())),
        "cgroups": sorted(line.split(":")[1] for line in _own_cgroups(proc, cgroup)),
        "cgroup limits": _limits(cgroup),
    }
    for line in (proc / "limits").read_text().splitlines()[1:]:
        work[f"limit {line[:25].strip()}"] = line[25:].split()
    for name in STATUS:
        work[name] = status[name].split()
    return work


def observe(runtime: contestants.Runtime, commands: process.Commands) -> Work:
    """Start a container, describe it, and take it away; also the exit code that `run` passes on. It
    is the second one of its kind, as those that are measured are.

    Raises process.CommandError.
    """
    commands.time(runtime.run(contestants.FAILING), contestants.EXIT_CODE)
    time.sleep(BETWEEN_TEMPLATES)
    commands.time(runtime.create(contestants.WAITING))
    _take_away(runtime, commands, runtime.pid())
    commands.time(runtime.create(contestants.WAITING))
    pid = runtime.pid()
    try:
        commands.time(runtime.verb("start"))
        _until_executed(pid)
        return describe(pid, runtime.id)
    finally:
        _take_away(runtime, commands, pid)


def _take_away(runtime: contestants.Runtime, commands: process.Commands, pid: int) -> None:
    commands.time(runtime.verb("kill"))
    process.reap(pid)
    commands.time(runtime.verb("delete"))


def agree(
    ours: contestants.Runtime,
    peers: Sequence[contestants.Runtime],
    commands: process.Commands,
    where: str = "",
    words: list[str] | None = None,
) -> tuple[list[contestants.Runtime], list[str]]:
    """Ours and the peers that make the same container, and a sentence for each other, which begins
    with `where`. `words`: a program that has to end in EXIT_CODE as well.

    Raises process.CommandError when ours does not work.
    """
    reference = _observed(ours, commands, words)
    agreed, others = [ours], []
    for peer in peers:
        try:
            different = differences(reference, _observed(peer, commands, words))
        except process.CommandError as error:
            peer.clean(commands)
            why = str(error).splitlines()[-1]  # of many, what it gave up for
            others.append(f"{where}{peer.name} does not work here: {why}")
            continue
        if different:
            others.append(f"{where}{peer.name} did not do the same work: {'; '.join(different)}")
        else:
            agreed.append(peer)
    return agreed, others


def _observed(
    runtime: contestants.Runtime, commands: process.Commands, words: list[str] | None
) -> Work:
    if words is not None:
        commands.time(runtime.run(words), contestants.EXIT_CODE)
    return observe(runtime, commands)


def differences(ours: Work, theirs: Work) -> list[str]:
    """A line for each fact that differs; mounts one by one."""
    found = []
    for name in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(name), theirs.get(name)
        if one == other:
            continue
        if isinstance(one, list) and isinstance(other, list) and name == "mounts":
            only_one = [mount for mount in one if mount not in other]
            only_other = [mount for mount in other if mount not in one]
            found.append(f"{name}: {only_one} against {only_other}")
        else:
            found.append(f"{name}: {one} against {other}")
    return found


def _until_executed(pid: int) -> None:
    """`start` may return before the program is the user's: crun and runc do."""
    link = Path(f"/proc/{pid}/comm")
    for _ in range(100_000):
        if link.read_text().strip() == "sleep":
            return
    raise process.CommandError(f"process {pid} does not become the container's program")


def _is_new(proc: Path, name: str) -> bool:
    ours = Path(f"/proc/self/ns/{name}")
    if not ours.is_symlink():
        return False  # of a kernel without this kind
    return (proc / "ns" / name).readlink() != ours.readlink()


def _mount(line: str) -> tuple[str, str, str]:
    """(target, read-only or not, what kind) of one line of mountinfo: proc_pid_mountinfo(5)."""
    head, _, tail = line.partition(" - ")
    fields = head.split()
    kind = tail.split()[0]
    if fields[4].startswith("/proc/") and kind in MASKS and fields[3].endswith("/null"):
        return fields[4], "masked", MASKS[kind]
    access = "ro" if "ro" in fields[5].split(",") else "rw"
    if kind == "tmpfs" and fields[4] == "/sys/fs/cgroup":
        access = "either"  # runc leaves this tmpfs writable, what is mounted in it is read-only
    return fields[4], access, kind


def _own_cgroups(proc: Path, cgroup: str) -> list[str]:
    lines = (proc / "cgroup").read_text().splitlines()
    return [line for line in lines if line.endswith(f"/{cgroup}")]


def _limits(cgroup: str) -> dict[str, list[str]]:
    root = Path("/sys/fs/cgroup")
    found = {}
    for name in CGROUP_LIMITS:
        folder, _, file = name.rpartition("/")
        path = root / folder / cgroup / file
        if path.exists():
            lines = sorted(path.read_text().splitlines())
            found[name] = [line for line in lines if line not in OWN_DEVICES]
    return found
