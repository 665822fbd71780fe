# SPDX-License-Identifier: Apache-2.0
"""A launcher without a real Python, and a container's folder for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.place import Place


@pytest.fixture
def place(tmp_path: Path, pyrun: Path) -> Iterator[Place]:
    found = Place(tmp_path, pyrun.resolve())
    yield found
    found.init.kill()
    found.init.wait()


@pytest.fixture
def box(place: Place) -> Place:
    place.record()
    return place
