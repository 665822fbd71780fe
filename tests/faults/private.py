# SPDX-License-Identifier: Apache-2.0
"""What everybody uses, for one test alone: what is left there, its runtime left."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

MS_BIND = 4096
CLONE_NEWIPC, CLONE_NEWNET = 0x08000000, 0x40000000


def hide(place: Path, *, keep_run: bool) -> None:
    """An empty /tmp, /run, /dev/shm and /dev/pts in this mount namespace, and `place` where it was.
    With `keep_run` /run stays: systemd is there."""
    # The runtime as well, where it was installed into /tmp.
    kept = [place, *(path for path in (Path(sys.prefix),) if path.is_relative_to("/tmp"))]
    fds = [os.open(path, os.O_PATH | os.O_DIRECTORY) for path in kept]
    _empty("/tmp", "mode=1777")
    for path, fd in zip(kept, fds, strict=True):
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        # mount(8) would look for the name again, which leads to the new folder.
        if ctypes.CDLL(None, use_errno=True).mount(
            f"/proc/self/fd/{fd}".encode(), bytes(path), None, MS_BIND, None
        ):
            raise OSError(ctypes.get_errno(), f"bind {path}")
        os.close(fd)
    _empty("/dev/shm", "mode=1777")
    if not keep_run:
        _empty("/run", "mode=755")
    subprocess.run(
        ["mount", "-t", "devpts", "-o", "newinstance,ptmxmode=666", "devpts", "/dev/pts"],
        check=True,
    )


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """Meanwhile the process has network devices and shared memory of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    homes = [os.open(f"/proc/self/ns/{kind}", os.O_RDONLY) for kind in ("net", "ipc")]
    if libc.unshare(CLONE_NEWNET | CLONE_NEWIPC):
        raise OSError(ctypes.get_errno(), "a network of one's own")
    try:
        yield
    finally:
        for home in homes:
            assert libc.setns(home, 0) == 0
            os.close(home)


def _empty(path: str, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)
