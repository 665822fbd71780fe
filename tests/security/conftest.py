# SPDX-License-Identifier: Apache-2.0
"""Which runtime is attacked: pyrun, or the name or path in --runtime or $RUNTIME."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import peers
from .box import Box


def chosen(config: pytest.Config) -> str:
    """As it was given: "pyrun" where it wasn't."""
    return str(config.getoption("runtime", None) or os.environ.get("RUNTIME") or "pyrun")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What a runtime of others is known to fail is expected of it, strictly."""
    path = shutil.which(chosen(config))
    peer = peers.known(Path(path)) if path and chosen(config) != "pyrun" else ""
    for item in items:
        if peer and (reason := peers.reason(peer, item.nodeid)):
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
        elif peer and item.nodeid.rpartition("/")[2] in peers.SOMETIMES:
            item.add_marker(pytest.mark.xfail(reason="sometimes", strict=False))


@pytest.fixture
def runtime(request: pytest.FixtureRequest, pyrun: Path) -> Path:
    """The binary under attack."""
    name = chosen(request.config)
    found = str(pyrun) if name == "pyrun" else shutil.which(name)
    assert found, f"{name}: no such runtime"
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
