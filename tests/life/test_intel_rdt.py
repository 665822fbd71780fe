# SPDX-License-Identifier: Apache-2.0
"""linux.intelRdt: where the kernel has no resctrl, and a container's life with a folder in place of
one. The rules are in tests/unit/test_intel_rdt.py."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from life.bundles import Bundle
from life.exec_steps import end
from life.runtimes import Container
from needs import excuse

pytestmark = pytest.mark.pyrun_only("the text, and the folder")

# pyrun in a Python where mkdir(2) and rmdir(2) in this folder are as in resctrl: with files.
FOLDER = """
import os, pathlib, sys
from pyrun import intel_rdt
from pyrun.__main__ import finish
root = sys.argv[1]
mkdir, rmdir = os.mkdir, os.rmdir
def make(path, mode=0o777, **rest):
    mkdir(path, mode, **rest)
    if str(path).startswith(root):
        for name in ("schemata", "tasks"):
            pathlib.Path(path, name).touch()
def remove(path, **rest):
    if str(path).startswith(root):
        for name in ("schemata", "tasks"):
            os.unlink(f"{path}/{name}")
    rmdir(path, **rest)
os.mkdir, os.rmdir = make, remove
intel_rdt.host_mount_point = lambda: root
finish(["pyrun", *sys.argv[3:]])
"""


@pytest.mark.parametrize("rdt", [{}, {"closID": "/"}, {"schemata": ["L3:0=f"]}])
def test_kernel_without_resctrl(
    container: Container, bundle: Bundle, rdt: dict[str, object]
) -> None:
    """Nothing is left, not even by the id."""
    if "resctrl" in Path("/proc/filesystems").read_text():
        excuse("its kernel has resctrl")
    bundle.linux["intelRdt"] = rdt
    result = container.run("print x")
    assert result.code == 1
    assert "/linux/intelRdt" in result.err
    assert "CONFIG_X86_CPU_RESCTRL" in result.err
    del bundle.linux["intelRdt"]
    assert container.ask("print x") == ["x"]


def test_a_whole_life(container: Container, bundle: Bundle, tmp_path: Path) -> None:
    prefix = [sys.executable, "-c", FOLDER, str(tmp_path)]
    bundle.linux["intelRdt"] = {"schemata": ["L3:0=f"]}
    container.created("sleep 100", prefix=prefix)
    group = tmp_path / container.id
    assert (group / "tasks").read_text() == f"{container.pid}\n"
    assert (group / "schemata").read_text() == "L3:0=f\n"
    record = json.loads((container.runtime.root / container.id / "intent.json").read_text())
    assert record["intel_rdt"]["made"] == [str(group)]
    pid_file = bundle.path / "exec.pid"
    flags = ["--detach", "--pid-file", pid_file]
    assert container.exec("sleep 100", flags=flags, prefix=prefix).code == 0
    joined = int(pid_file.read_text())
    assert (group / "tasks").read_text().startswith(f"{joined}\n"), "who joins is not born there"
    end(joined)
    assert container.delete("--force", prefix=prefix).code == 0
    assert os.listdir(tmp_path) == []


def test_a_failed_create(container: Container, bundle: Bundle, tmp_path: Path) -> None:
    bundle.linux["intelRdt"] = {"closID": "gold", "schemata": ["L3:0=f"]}
    bundle.process["args"] = ["/nowhere"]
    result = container.create(prefix=[sys.executable, "-c", FOLDER, str(tmp_path)])
    assert result.code == 1
    assert "/nowhere" in result.err
    assert os.listdir(tmp_path) == []
