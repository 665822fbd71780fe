# SPDX-License-Identifier: Apache-2.0
"""checkpoint and restore whose memory comes later, and interrupts in the middle."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess

import pytest

import needs
from life.bundles import Bundle
from life.checkpoints import PATIENCE, Saved, goes_on
from life.runtimes import eventually

pytestmark = needs.needs("criu")
PORT = 27103


def test_lazy_pages(saved: Saved) -> None:
    """--status-fd tells when there is somebody to ask for memory. Who asks for nonsense does not
    get the container: it goes on here."""
    first = saved.start("count")
    first.lines(2)
    ready, tell = os.pipe()
    words = ("--image-path", saved.images, "--lazy-pages")
    flags = ("--page-server", f"127.0.0.1:{PORT}", "--status-fd", str(tell))
    process = saved.container.runtime.popen(
        "checkpoint", *words, *flags, saved.container.id, pass_fds=[tell], stderr=subprocess.PIPE
    )
    os.close(tell)
    assert select.select([ready], [], [], PATIENCE)[0]
    assert os.read(ready, 1) == b"\0", saved.log("dump.log")
    assert os.read(ready, 1) == b""
    os.close(ready)
    with socket.create_connection(("127.0.0.1", PORT)) as client:
        client.sendall(b"nonsense" * 8)
    assert process.wait(PATIENCE) == 1
    assert process.stderr
    assert b"checkpoint: criu: " in process.stderr.read()
    process.stderr.close()
    assert saved.container.status() == "running"
    assert goes_on(first.lines(3))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_interrupted_restore(saved: Saved, bundle: Bundle, number: int) -> None:
    """By a person or an engine, while CRIU waits for a hook: nothing is left."""
    saved.start("count").lines(1)
    saved.saved()
    begun = bundle.path / "begun"
    script = f"touch {begun}; exec sleep 100"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}
    bundle.config["hooks"] = {"prestart": [hook]}
    bundle.save()
    words = ("--detach", "--image-path", saved.images, "--bundle", bundle.path)
    container = saved.container
    process = container.runtime.popen(
        "restore",
        *words,
        container.id,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # ignored in the background
    )
    assert eventually(begun.exists)
    process.send_signal(number)
    assert process.wait(PATIENCE) in (1, 128 + number)
    assert process.stderr
    assert b"interrupted" in process.stderr.read()
    process.stderr.close()
    assert container.runtime("state", container.id).code == 1


def test_a_signal_during_a_checkpoint(saved: Saved, bundle: Bundle) -> None:
    """Control-C reaches CRIU as well: what was begun is finished, and the container is not torn."""
    slow = bundle.path / "slow"
    slow.mkdir()
    tar = subprocess.check_output(["which", "tar"], text=True).strip()
    (slow / "tar").write_text(f'#!/bin/sh\nsleep 1\nexec {tar} "$@"\n')
    (slow / "tar").chmod(0o755)
    first = saved.start("count")
    first.lines(2)
    container = saved.container
    process = container.runtime.popen(
        "checkpoint",
        "--image-path",
        saved.images,
        "--leave-running",
        container.id,
        env={**os.environ, "PATH": f"{slow}:{os.environ['PATH']}"},
        process_group=0,
        stderr=subprocess.DEVNULL,
    )
    assert eventually(lambda: (saved.images / "dump.log").exists())
    for _ in range(3):
        os.killpg(process.pid, signal.SIGINT)
    assert process.wait(PATIENCE) in (0, 1, 130)
    assert container.status() == "running"
    assert goes_on(first.lines(3))
