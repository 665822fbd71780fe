# SPDX-License-Identifier: Apache-2.0
"""Which runtime is attacked: pyrun, or the name or path in --runtime or $RUNTIME."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .box import Box


@pytest.fixture
def runtime(request: pytest.FixtureRequest, pyrun: Path) -> Path:
    """The binary under attack."""
    chosen = request.config.getoption("runtime", None) or os.environ.get("RUNTIME") or "pyrun"
    found = str(pyrun) if chosen == "pyrun" else shutil.which(str(chosen))
    assert found, f"{chosen}: no such runtime"
    return Path(found)


@pytest.fixture
def is_pyrun(runtime: Path, pyrun: Path) -> bool:
    """For what only pyrun promises."""
    return runtime == pyrun


@pytest.fixture
def box(tmp_path: Path, runtime: Path) -> Iterator[Box]:
    """An ordinary bundle, for a test to make hostile."""
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)  # the container's users, too, must reach the image
    made = Box(tmp_path, runtime)
    yield made
    made.delete()
