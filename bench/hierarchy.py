# SPDX-License-Identifier: Apache-2.0
"""What crun wants of a hybrid machine: every controller in a v1 hierarchy that it can see. It
refuses to work where the v2 tree has one, and where one is mounted for somebody else alone, it
makes itself a folder that looks like a hierarchy and stays."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

TOP = Path("/sys/fs/cgroup")
UNIFIED = TOP / "unified/cgroup.controllers"  # on hybrid machines alone
KNOWN = Path("/proc/cgroups")
CLONE_NEWNS = 0x20000
MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE, MNT_DETACH = 0x1000, 0x2000, 0x4000, 0x40000, 2
LIBC = ctypes.CDLL(None, use_errno=True)


def see_all(place: Path) -> None:
    """Where a hybrid machine needs it: a mount namespace of our own, in which /sys/fs/cgroup has
    every hierarchy. Nobody else sees it, and it goes when we go. `place`: an empty folder.

    Raises OSError.
    """
    missing = lacking()
    if os.geteuid() != 0 or not missing:
        return
    _succeeds(LIBC.unshare(CLONE_NEWNS), "unshare")
    _mount(None, Path("/"), None, MS_REC | MS_PRIVATE)
    _mount("cgroup", place, "tmpfs", 0, "mode=755")
    for name in missing:  # before the others: runc asks of what kind the youngest is
        (place / name).mkdir()
        if LIBC.mount(b"cgroup", bytes(place / name), b"cgroup", 0, name.encode()) != 0:
            (place / name).rmdir()  # in use in v2: crun will say so
    for folder in _visible():
        (place / folder).mkdir()
        _mount(str(TOP / folder), place / folder, None, MS_BIND)
    for entry in TOP.iterdir():
        if entry.is_symlink():
            (place / entry.name).symlink_to(entry.readlink())
    _succeeds(LIBC.umount2(bytes(TOP), MNT_DETACH), "umount2")
    _mount(str(place), TOP, None, MS_MOVE)


def has_both() -> bool:
    """Whether this is a machine with v1 on which v2 is mounted as well."""
    return UNIFIED.exists()


@contextlib.contextmanager
def unified(place: Path) -> Iterator[None]:
    """Meanwhile /sys/fs/cgroup of a hybrid machine is the v2 tree alone, for us and whom we start.
    `place`: an empty folder. Raises OSError.
    """
    home = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    cwd = os.getcwd()
    _succeeds(LIBC.unshare(CLONE_NEWNS), "unshare")
    try:
        _mount(None, Path("/"), None, MS_REC | MS_PRIVATE)
        _mount(str(TOP / "unified"), place, None, MS_BIND)
        _succeeds(LIBC.umount2(bytes(TOP), MNT_DETACH), "umount2")
        _mount(str(place), TOP, None, MS_MOVE)
        yield
    finally:
        _succeeds(LIBC.setns(home, CLONE_NEWNS), "setns")
        os.close(home)
        os.chdir(cwd)


def lacking() -> list[str]:
    """The controllers of a hybrid machine that are in no hierarchy of v1 that is mounted here,
    though in v2 or in one that is mounted elsewhere."""
    if not UNIFIED.exists():
        return []
    seen = {name for options in _visible().values() for name in options}
    rows = [line.split() for line in KNOWN.read_text().splitlines()[1:]]
    elsewhere = [name for name, hierarchy, *_ in rows if hierarchy != "0" and name not in seen]
    return [*elsewhere, *UNIFIED.read_text().split()]


def hint() -> str:
    """What to type so that crun has what it wants: "" where it has it."""
    return "; ".join(
        f"mkdir {TOP}/{name} && mount -t cgroup -o {name} cgroup {TOP}/{name}" for name in lacking()
    )


def _visible() -> dict[str, list[str]]:
    """{folder below TOP: the options of its file system} of every hierarchy mounted there."""
    found = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        head, _, tail = line.partition(" - ")
        target = Path(head.split()[4])
        kind, _, options = tail.split()
        if kind in ("cgroup", "cgroup2") and target.parent == TOP:
            found[target.name] = options.split(",") if kind == "cgroup" else []
    return found


def _mount(
    source: str | None, target: Path, kind: str | None, flags: int, options: str = ""
) -> None:
    words = [word.encode() if word is not None else None for word in (source, kind)]
    result = LIBC.mount(words[0], bytes(target), words[1], flags, options.encode())
    _succeeds(result, f"mount {target}")


def _succeeds(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
