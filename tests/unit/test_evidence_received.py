# SPDX-License-Identifier: Apache-2.0
"""How what an executor has seen reaches the verb that tells of it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pyrun import evidence


def test_a_fifo_whose_writer_has_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the launcher leaves it to `start`: nobody will write, so there is nothing to wait for."""
    monkeypatch.setattr(evidence, "PATIENCE", 20_000)
    fifo = tmp_path / "result.fifo"
    os.mkfifo(fifo)
    held = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(fifo, os.O_WRONLY)
    os.write(writer, b"seen")
    os.close(writer)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    began = time.monotonic()
    assert evidence.receive(reader) == b"seen"
    assert time.monotonic() - began < 10
    os.close(reader)
    os.close(held)


def test_who_is_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report has to do, and what came so far."""
    monkeypatch.setattr(evidence, "PATIENCE", 10)
    reader, writer = os.pipe()
    os.write(writer, b"so far")
    assert evidence.receive(reader) == b"so far"
    os.close(reader)
    os.close(writer)
