# SPDX-License-Identifier: Apache-2.0
"""A container in the foreground can't hold the runtime that shows its terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time

from needs import needs

from .box import DEVPTS, Box

pytestmark = needs("root", "busybox")

LINES = (b"x" * 79 + b"\n") * 1000


def test_a_long_paste_is_echoed_to_its_end(box: Box) -> None:
    """More than the two terminals hold, into a program that prints all that it reads."""
    box.config["mounts"].append(DEVPTS)
    box.process["terminal"] = True
    box.sh("cat")
    box.write()
    master, peer = pty.openpty()
    command = box.command("run", "--bundle", str(box.bundle), box.id)
    child = subprocess.Popen(command, stdin=peer, stdout=peer, stderr=peer, cwd=box.bundle)
    os.close(peer)
    try:
        time.sleep(0.5)  # until it is in raw mode
        os.set_blocking(master, False)
        assert paste(master) >= 2 * len(LINES)  # the terminal's echo, and cat's
    finally:
        child.kill()
        child.wait()
        os.close(master)


def paste(master: int) -> int:
    """How many bytes come back within 3 seconds of silence."""
    sent = seen = 0
    moved = time.monotonic()
    while time.monotonic() < moved + 3 and seen < 2 * len(LINES):
        writers = [master] if sent < len(LINES) else []
        readable, writable, _ = select.select([master], writers, [], 0.5)
        count = 0
        if readable:
            count = len(os.read(master, 65536))
            seen += count
        if writable:
            try:
                count = os.write(master, LINES[sent : sent + 1024])
                sent += count
            except BlockingIOError:
                pass
        if count:
            moved = time.monotonic()
    return seen
