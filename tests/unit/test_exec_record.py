# SPDX-License-Identifier: Apache-2.0
"""What create leaves for exec, and how exec reads it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrun import exec_record
from pyrun.errors import Error
from pyrun.state import Container

CONFIG: dict[str, Any] = {
    "process": {"cwd": "/", "args": ["sh"], "env": ["A=\n\u00e9"]},
    "mounts": [{"destination": "/x"}],
    "hooks": {"poststop": []},
    "annotations": {"run.oci.systemd.subgroup": "x", "other": "y"},
    "linux": {
        "personality": {"domain": "LINUX"},
        "uidMappings": [{"containerID": 0, "hostID": 1, "size": 1}],
        "seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/agent", "syscalls": [{}]},
        "resources": {},
    },
}
FILTER = b"\n\x00{filter}\n"


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    folder = os.open(tmp_path, os.O_RDONLY)
    yield Container(str(tmp_path.parent), -1, tmp_path.name, folder)
    os.close(folder)


def test_an_empty_group_is_on_record(container: Container) -> None:
    """intelRdt says by its presence that the container has a resctrl group."""
    facts = {"no_new_keyring": False, "seccomp_flags": 0, "seccomp": b""}
    exec_record.leave(container, {**CONFIG, "linux": {"intelRdt": {}}}, facts)
    assert exec_record.read(container)[0]["linux"] == {"intelRdt": {}}


def test_there_and_back(container: Container, tmp_path: Path) -> None:
    facts = {"no_new_keyring": True, "seccomp_flags": 8, "seccomp": FILTER, "other": 1}
    exec_record.leave(container, CONFIG, facts)
    record, program = exec_record.read(container)
    assert program == FILTER
    assert record == {
        "process": {"cwd": "/", "env": ["A=\n\u00e9"]},
        "linux": {
            "personality": {"domain": "LINUX"},
            "uidMappings": CONFIG["linux"]["uidMappings"],
            "seccomp": {"listenerPath": "/agent"},
        },
        "annotations": {"run.oci.systemd.subgroup": "x"},
        "facts": {"no_new_keyring": True, "seccomp_flags": 8},
        "filter": len(FILTER),
    }
    assert (tmp_path / "exec").stat().st_mode & 0o777 == 0o600


def test_a_record_that_lost_its_filter(container: Container, tmp_path: Path) -> None:
    """Nothing is run without the filter that was asked for."""
    facts = {"no_new_keyring": False, "seccomp_flags": 0, "seccomp": FILTER}
    exec_record.leave(container, CONFIG, facts)
    whole = (tmp_path / "exec").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "exec").write_bytes(whole[:length])
        with pytest.raises(Error, match=f"{tmp_path}/exec: "):
            exec_record.read(container)
    (tmp_path / "exec").write_bytes(whole + b"x")
    with pytest.raises(Error, match="damaged"):
        exec_record.read(container)
    (tmp_path / "exec").unlink()
    with pytest.raises(Error, match="no such file or directory"):
        exec_record.read(container)
    (tmp_path / "exec").symlink_to("/etc/passwd")
    with pytest.raises(Error, match="too many levels of symbolic links"):
        exec_record.read(container)
