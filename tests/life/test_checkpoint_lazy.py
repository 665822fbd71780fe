# SPDX-License-Identifier: Apache-2.0
"""checkpoint and restore whose memory comes later, and interrupts in the middle."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import needs
from life import leftovers
from life.bundles import Bundle
from life.checkpoints import PATIENCE, Saved, goes_on, wait_for
from life.runtimes import Container, eventually
from pyrun.criu import abilities

pytestmark = needs.needs("criu")
PORT = 27103
PIPES = Path("/proc/sys/fs/pipe-max-size")


@pytest.fixture
def pipe_size() -> Iterator[Callable[[int], object]]:
    """Sets fs.pipe-max-size: CRIU needs a large pipe here, and root may be without
    CAP_SYS_RESOURCE."""
    before = PIPES.read_text()
    yield lambda size: PIPES.write_text(str(size))
    PIPES.write_text(before)


def serving(saved: Saved) -> subprocess.Popen[bytes]:
    """A checkpoint that has all but the memory, which can be asked for."""
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
    return process


def said(process: subprocess.Popen[bytes]) -> bytes:
    """What it has written on standard error, when it has ended."""
    assert process.stderr
    with process.stderr:
        return process.stderr.read()


def test_lazy_pages(
    saved: Saved, make_container: Callable[[], Container], pipe_size: Callable[[int], object]
) -> None:
    """The container goes on elsewhere before its memory is there, and is gone here."""
    pipe_size(abilities.PIPE)
    first = saved.start("count-piped")
    first.lines(2)
    checkpoint = serving(saved)
    work = saved.images.with_name("work")
    work.mkdir()
    server = ["--page-server", "--address", "127.0.0.1", "--port", str(PORT)]
    words = ["criu", "lazy-pages", *server, "-D", saved.images, "-W", work, "-v4", "-o", "lazy.log"]
    fetching = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    other = Saved(make_container())
    try:
        wait_for(work / "lazy-pages.socket")
        other.container.bundle.save()
        other.images = saved.images
        second = other.restored("--lazy-pages", "--work-path", work)
        assert checkpoint.wait(PATIENCE) == 0, said(checkpoint)
        assert fetching.wait(PATIENCE) == 0, (work / "lazy.log").read_text()
        assert goes_on(first.rest(), second.lines(2))
    finally:
        fetching.kill()
        fetching.wait()
        other.close()
    transferred = re.findall(r"transferred pages: \((\d+)/\1\)", (work / "lazy.log").read_text())
    assert any(int(count) > 0 for count in transferred)
    assert said(checkpoint) == b""
    assert saved.container.runtime("state", saved.container.id).code == 1


def test_a_host_without_lazy_pages(saved: Saved, pipe_size: Callable[[int], object]) -> None:
    """CRIU itself would find out when the first page is asked for, and be lost."""
    pipe_size(1 << 20)
    first = saved.start("count")
    first.lines(1)
    less = ["setpriv", "--bounding-set=-sys_resource", "--inh-caps=-all"]
    words = ("--image-path", saved.images, "--lazy-pages", "--page-server", f"127.0.0.1:{PORT}")
    container = saved.container
    result = container.runtime("checkpoint", *words, container.id, prefix=less)
    why = f"criu needs a pipe of {4 << 20} bytes: CAP_SYS_RESOURCE, or more in fs.pipe-max-size"
    assert (result.code, result.out) == (1, "")
    assert result.err == f"pyrun: --lazy-pages: not on this host: {why}\n"
    found = json.loads(container.runtime("features", prefix=less).out)["annotations"]
    assert found["org.pyrun.checkpoint.lacks.lazy-pages"] == why
    assert goes_on(first.lines(2))
    pipe_size(abilities.PIPE)
    found = json.loads(container.runtime("features", prefix=less).out)["annotations"]
    assert "org.pyrun.checkpoint.lacks.lazy-pages" not in found


def test_a_source_of_pages_that_is_lost(saved: Saved) -> None:
    """CRIU then ends the container, and would wait for it for ever: the init waits for its child,
    which CRIU traces."""
    saved.start("count-piped").lines(2)
    saved.saved()
    work = saved.images.with_name("work")
    work.mkdir()
    with socket.socket(socket.AF_UNIX) as source:
        source.bind(str(work / "lazy-pages.socket"))
        source.listen()
        taking = threading.Thread(target=take_and_go, args=[source])
        taking.start()
        result = saved.restore("--lazy-pages", "--work-path", work)
        taking.join(PATIENCE)
    assert result.code == 1
    assert "restore: criu: uffd: " in result.err
    assert f"see {work}/restore.log" in result.err
    assert saved.container.runtime("state", saved.container.id).code == 1
    assert not leftovers.cgroups()


def take_and_go(source: socket.socket) -> None:
    """In the place of `criu lazy-pages`: takes what there is of two processes, gives no page."""
    connection, _ = source.accept()
    taken: list[int] = []
    with connection:
        while len(taken) < 2:
            _, fds, _, _ = socket.recv_fds(connection, 4, 1)
            taken += fds
        time.sleep(1)
    for fd in taken:
        os.close(fd)


def test_nonsense_that_asks_for_pages(saved: Saved, pipe_size: Callable[[int], object]) -> None:
    """Who asks for it does not get the container: it goes on here."""
    pipe_size(abilities.PIPE)
    first = saved.start("count")
    first.lines(2)
    process = serving(saved)
    with socket.create_connection(("127.0.0.1", PORT)) as client:
        client.sendall(b"nonsense" * 8)
    assert process.wait(PATIENCE) == 1
    assert b"checkpoint: criu: " in said(process)
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
