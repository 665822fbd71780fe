# SPDX-License-Identifier: Apache-2.0
"""Advisories about /dev/null, /proc and terminals that an image put in the place of the real."""

from __future__ import annotations

import os
import pty
import stat
import subprocess
from pathlib import Path

import pytest

from needs import needs

from .box import PROC, Box

pytestmark = needs("root", "busybox")


def test_cve_2026_88265_dev_null_is_a_link_to_a_host_file(box: Box) -> None:
    """Pipes have no device number; they are not the null device."""
    victim = box.folder / "victim"
    victim.write_text("unchanged")
    (box.rootfs / "hostfile").write_text("")
    (box.rootfs / "dev/null").symlink_to("/hostfile")
    bind = {"destination": "/hostfile", "source": str(victim), "options": ["bind"]}
    box.config["mounts"] = [PROC, bind]
    box.process["user"] = {"uid": 1000, "gid": 1000}
    box.sh("echo PWNED; echo PWNED >&2; echo PWNED >&0")
    box.run()
    assert victim.read_text() == "unchanged"
    assert victim.stat().st_uid == 0


@pytest.mark.parametrize("kind", ["character", "block"])
def test_devices_of_the_host_stay_their_owners(box: Box, kind: str) -> None:
    """A device that happens to be stdin is not given to the container's user."""
    node = box.folder / "node"
    os.mknod(node, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    if kind == "block":
        blocks = sorted(os.listdir("/sys/class/block"))
        numbers = [Path(f"/sys/class/block/{name}/dev").read_text().strip() for name in blocks]
        node.unlink()
        for text in numbers:
            major, minor = (int(part) for part in text.split(":"))
            os.mknod(node, stat.S_IFBLK | 0o600, os.makedev(major, minor))
            try:
                os.close(os.open(node, os.O_RDONLY))
                break
            except OSError:
                node.unlink()
        else:
            pytest.fail("no block device that can be opened")
    box.process["user"] = {"uid": 1000, "gid": 1000}
    with open(node, "rb") as stdin:
        assert box.run(stdin=stdin).returncode == 0
    assert node.stat().st_uid == 0


@pytest.mark.parametrize("destination", ["/proc", "/proc/self/attr/exec", "/proc/sys/kernel"])
def test_cve_2025_52881_cve_2019_16884_mounts_over_proc(box: Box, destination: str) -> None:
    source = box.folder / "source"
    if destination.endswith("exec"):
        source.write_text("")
    else:
        source.mkdir()
    mount = {"destination": destination, "source": str(source), "options": ["bind"]}
    box.config["mounts"].append(mount)
    box.sh("echo RAN")
    done = box.run()
    assert done.returncode != 0
    assert "RAN" not in done.stdout


@pytest.mark.parametrize(
    "profile", [{"apparmorProfile": "docker-default"}, {"selinuxLabel": "a:b:c:s0"}]
)
def test_cve_2019_16884_a_profile_that_nobody_enforces(box: Box, profile: dict[str, str]) -> None:
    box.process.update(profile)
    box.sh("echo RAN")
    done = box.run()
    assert done.returncode != 0
    assert "RAN" not in done.stdout


def test_cve_2025_52565_a_devpts_of_the_image(box: Box) -> None:
    """A terminal is the kernel's, or there is none."""
    fakes = box.rootfs / "dev/pts"
    fakes.mkdir()
    for name in ("0", "ptmx"):
        (fakes / name).symlink_to("/proc/sys/kernel/core_pattern")
    box.config["mounts"] = [PROC]
    box.process["terminal"] = True
    box.sh("ls -lL /dev/console | cut -c1; mount | grep console; echo x > /dev/console")
    box.write()
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    master, peer = pty.openpty()
    try:
        command = box.command("run", "--bundle", str(box.bundle), box.id)
        done = subprocess.run(
            command, stdin=peer, stdout=peer, stderr=peer, timeout=30, cwd=box.bundle
        )
    finally:
        os.close(peer)
        os.close(master)
    assert done.returncode != 0
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before


@pytest.mark.parametrize("null", ["symlink", "missing"])
def test_cve_2025_31133_masks_with_a_dev_of_the_attacker(box: Box, null: str) -> None:
    dev = box.folder / "dev"
    dev.mkdir()
    marker = box.outside / "secret"
    (box.rootfs / "marker").write_text("MARKER")
    if null == "symlink":
        (dev / "null").symlink_to("/marker")
    (box.rootfs / "masked").mkdir()
    (box.rootfs / "masked/secret").write_text("SECRET")
    bind = {"destination": "/dev", "source": str(dev), "options": ["bind"]}
    box.config["mounts"] = [PROC, bind]
    box.config["linux"]["maskedPaths"] = ["/masked/secret"]
    box.sh("cat /masked/secret; echo PWNED > /masked/secret; echo RAN")
    done = box.run()
    assert "SECRET" not in done.stdout
    assert "MARKER" not in done.stdout
    assert (box.rootfs / "marker").read_text() == "MARKER"
    assert marker.read_text() == "HOST SECRET"
