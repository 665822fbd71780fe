# SPDX-License-Identifier: Apache-2.0
"""The processes of a container's cgroup: list, join, freeze, signal, and whether OOM killed one."""

from __future__ import annotations

import errno
import os
import time

from pyrun.cgroup import cgroupfs
from pyrun.errors import Error, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SIGKILL = 9
PATIENCE = 10.0  # seconds until a cgroup that does not freeze is given up
IMPATIENCE = 0.5  # the same where freezing is only meant to help


def directories(record: dict[str, Any]) -> list[str]:
    """The cgroup's directories, each once (controllers may share a hierarchy)."""
    return list(dict.fromkeys(record["paths"].values()))


def processes(record: dict[str, Any]) -> list[int]:
    """Every process of the cgroup and its sub-cgroups, in any hierarchy, in ascending order."""
    return cgroupfs.tree_pids(directories(record))


def open_into(record: dict[str, Any]) -> int:
    """A directory fd for clone3(CLONE_INTO_CGROUP) on v2 (the caller closes it), else -1."""
    # Of systemd's there is none before it has a process.
    if record["layout"] != "v2" or not record["paths"] or record["manager"] == "systemd":
        return -1
    path: str = record["paths"][""]
    try:
        return os.open(path, os.O_PATH | os.O_DIRECTORY)
    except OSError as error:
        raise from_os(error, f"open the container's cgroup {path}") from None


def join(record: dict[str, Any], pid: int, born: bool = False) -> None:
    """Move a process (a pid; all its threads) into the cgroup, in every hierarchy; `born`: in all
    but the v2 tree, where it is."""
    for path in directories(record):
        if born and path == record["paths"].get(""):
            continue
        try:
            move(path, pid)
        except OSError as error:
            lasting = error.errno == errno.EINVAL
            hint = "it is gone, or its threads hold the cgroup" if lasting else ""
            raise from_os(error, f"write {pid} to {path}/cgroup.procs", hint=hint) from None


def move(path: str, pid: int) -> None:
    """Move a process into one cgroup. Raises OSError."""
    for attempt in range(6):
        try:
            cgroupfs.write(f"{path}/cgroup.procs", str(pid))
            return
        except OSError as error:
            # EINVAL: a task so new that the cpu controller cannot move it yet.
            if error.errno != errno.EINVAL or attempt == 5:
                raise
            time.sleep(0.03)


def frozen(record: dict[str, Any]) -> bool:
    """Whether the cgroup is frozen, or on its way there."""
    path = record["paths"].get("freezer")
    if path:
        return _read(f"{path}/freezer.state").strip() in ("FROZEN", "FREEZING")
    path = record["paths"].get("")
    return path is not None and _read(f"{path}/cgroup.freeze").strip() == "1"


def freeze(record: dict[str, Any], patience: float = PATIENCE) -> None:
    """Stop every process of the cgroup, and return once they stand still.

    Raises Error when that is not so after `patience` seconds; the cgroup is thawed again by then.
    """
    legacy, path = _freezer(record)
    try:
        settled = (_freeze_v1 if legacy else _freeze_v2)(path, patience)
    except OSError as error:
        thaw(record)
        raise from_os(error, f"freeze {path}") from None
    if not settled:
        thaw(record)
        raise Error(
            f"freeze {path}: not all processes stood still after {patience:g} seconds",
            hint="one may be in an uninterruptible wait of the kernel (state D in ps)",
        )


def thaw(record: dict[str, Any]) -> None:
    """Let the processes of the cgroup run again. Nothing happens when they already do."""
    legacy, path = _freezer(record)
    file = f"{path}/freezer.state" if legacy else f"{path}/cgroup.freeze"
    try:
        cgroupfs.write(file, "THAWED" if legacy else "0")
    except OSError as error:
        if error.errno not in cgroupfs.GONE:
            raise from_os(error, f"thaw {path}") from None


def kill(record: dict[str, Any], number: int) -> None:
    """Send signal `number` to every process of the cgroup; SIGKILL also reaches frozen ones.

    On v2 the kernel does SIGKILL at once. Otherwise the cgroup is frozen meanwhile, so that a
    process that forks cannot run ahead of the list; it is left as it was found, but thawed after
    SIGKILL, which a frozen v1 task would not act on: also in cgroups below, which the container may
    have frozen itself.
    """
    if not record["paths"]:
        return
    if number == SIGKILL and _kill_unified(record) and record["layout"] == "v2":
        return
    try:
        stopped = frozen(record)
        if not stopped:
            freeze(record, IMPATIENCE)
    except Error:
        stopped = False  # without a freezer, or with a task that it cannot stop: signal even so
    try:
        for pid in processes(record):
            signal(pid, number)
    finally:
        if (number == SIGKILL or not stopped) and _has_freezer(record):
            thaw(record)
        if number == SIGKILL and "freezer" in record["paths"]:
            _thaw_below(record["paths"]["freezer"])


def _thaw_below(path: str) -> None:
    for child in cgroupfs.children(path):
        try:
            cgroupfs.write(f"{child}/freezer.state", "THAWED")
        except OSError as error:
            if error.errno not in cgroupfs.GONE:
                raise from_os(error, f"thaw {child}") from None
        _thaw_below(child)


def signal(pid: int, number: int) -> None:
    """kill(2), except on ourselves; a process that is gone is fine."""
    if pid == os.getpid():
        return
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
    except OSError as error:
        raise from_os(error, f"send signal {number} to process {pid}") from None


def oom_killed(record: dict[str, Any]) -> bool:
    """Whether the kernel killed a process of the cgroup for lack of memory; False if unknown."""
    path = record["paths"].get("memory")
    file = f"{path}/memory.oom_control" if path else f"{record['paths'].get('')}/memory.events"
    return _count(_read(file), "oom_kill") > 0


def out_of_memory(record: dict[str, Any]) -> bool:
    """Whether the cgroup had less memory than was asked for, be it that a process was killed or
    that a system call of it failed (and execve, half done, ends in SIGSEGV)."""
    path = record["paths"].get("memory")
    if path:
        return oom_killed(record) or int(_read(f"{path}/memory.failcnt") or 0) > 0
    text = _read(f"{record['paths'].get('')}/memory.events")
    return _count(text, "oom_kill") > 0 or _count(text, "oom") > 0


def _count(text: str, key: str) -> int:
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return int(value)
    return 0


def _read(file: str) -> str:
    try:
        return cgroupfs.read(file)
    except OSError:
        return ""  # gone, or a kernel or hierarchy without this file


def _kill_unified(record: dict[str, Any]) -> bool:
    path = record["paths"].get("")
    if path is None:
        return False
    try:
        cgroupfs.write(f"{path}/cgroup.kill", "1")
    except OSError as error:
        if error.errno in cgroupfs.GONE:
            return not cgroupfs.exists(path)
        # EOPNOTSUPP: a threaded cgroup, whose processes cannot be killed one by one.
        if error.errno == errno.EOPNOTSUPP:
            return False
        raise from_os(error, f"write 1 to {path}/cgroup.kill") from None
    return True


def _has_freezer(record: dict[str, Any]) -> bool:
    return "freezer" in record["paths"] or "" in record["paths"]


def _freezer(record: dict[str, Any]) -> tuple[bool, str]:
    """(v1?, directory) of the hierarchy that can freeze this cgroup."""
    paths = record["paths"]
    if "freezer" in paths:
        return True, paths["freezer"]
    if "" in paths:
        return False, paths[""]
    raise Error(
        "the container's processes cannot be frozen: it has no freezer cgroup",
        hint="the freezer hierarchy of cgroup v1 is not mounted, or cgroups are disabled",
    )


def _freeze_v1(path: str, patience: float) -> bool:
    file = f"{path}/freezer.state"
    deadline = time.monotonic() + patience
    attempt = 0
    while True:
        cgroupfs.write(file, "FROZEN")
        state = cgroupfs.read(file).strip()
        if state == "FROZEN":
            return True
        if time.monotonic() > deadline:
            return False
        attempt += 1
        if attempt % 50 == 0:
            # A task forked at the wrong moment can stay in FREEZING until it may run for a moment.
            cgroupfs.write(file, "THAWED")
        time.sleep(min(0.0001 * attempt, 0.01))


def _freeze_v2(path: str, patience: float) -> bool:
    cgroupfs.write(f"{path}/cgroup.freeze", "1")
    deadline = time.monotonic() + patience
    attempt = 0
    while "frozen 1" not in cgroupfs.read(f"{path}/cgroup.events"):
        if time.monotonic() > deadline:
            return False
        attempt += 1
        time.sleep(min(0.0001 * attempt, 0.01))
    return True
