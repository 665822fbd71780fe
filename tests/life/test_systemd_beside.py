# SPDX-License-Identifier: Apache-2.0
"""The systemd cgroup driver on v2, with the v1 hierarchy name=systemd mounted besides."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from life.bundles import Bundle, mount
from life.runtimes import Container, eventually
from life.systemd_units import BY_SYSTEMD, SLICE, folder, inside, unit
from needs import needs

pytestmark = [
    needs("systemd"),
    needs("cgroup_v2"),
    pytest.mark.usefixtures("in_our_slice"),
    pytest.mark.pyrun_only("it looks for the cgroup that pyrun makes there"),
]
FORCE_V1 = "run.oci.systemd.force_cgroup_v1"


def test_a_v1_hierarchy_beside_v2(
    container: Container, bundle: Bundle, allow: Callable[..., None], tmp_path: Path
) -> None:
    """For a systemd in the container that knows no v2. That of the host knows nothing of it."""
    named = tmp_path / "named"
    named.mkdir()
    mounting = ["mount", "-t", "cgroup", "-o", "none,name=systemd,xattr", "cgroup", str(named)]
    subprocess.run(mounting, check=True)
    allow(FORCE_V1)
    bundle.config["annotations"] = {FORCE_V1: "/sys/fs/cgroup"}
    bundle.config["mounts"].append(mount("/sys/fs/cgroup", "cgroup"))
    asked = "ls /sys/fs/cgroup", "cat /proc/self/cgroup"
    try:
        container.started(*asked, "sleep 100", options=BY_SYSTEMD)
        assert eventually(lambda: len(container.answers()) == 2)
        names, lines = container.answers()
        assert names == "systemd"
        for found in (lines, *container.exec_ask(asked[1])):
            places = {line.partition(":")[2] for line in found.splitlines()}
            assert places >= {"name=systemd:/", ":/"}
        beside = folder(container, named)
        assert (beside / "cgroup.procs").read_text() == f"{container.pid}\n"
        assert inside(container) == f"/{SLICE}/{unit(container)}"
        assert container.delete("--force").code == 0
        assert not beside.exists()
        beside.parent.rmdir()
    finally:
        container.delete("--force")  # while it is mounted
        subprocess.run(["umount", named], check=True)
