# SPDX-License-Identifier: Apache-2.0
"""Advisories about paths that a runtime resolved in an attacker's image before pivot_root."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from needs import needs

from .box import DEVPTS, PROC, Box

pytestmark = needs("root", "busybox")


def run_on_terminal(box: Box) -> int:
    """As box.run(), with a terminal for stdio."""
    box.write()
    master, peer = pty.openpty()
    try:
        command = box.command("run", "--bundle", str(box.bundle), box.id)
        return subprocess.run(
            command, stdin=peer, stdout=peer, stderr=peer, timeout=30, cwd=box.bundle
        ).returncode
    finally:
        os.close(master)
        os.close(peer)


def test_an_ordinary_container_works(box: Box) -> None:
    """Without which all the others would pass for a runtime that does nothing."""
    box.sh("echo RAN; echo x > /vol/x; ls -l /dev/null /proc/self/exe")
    done = box.run()
    assert done.returncode == 0, done.stderr
    assert "RAN" in done.stdout
    assert (box.rootfs / "vol/x").read_text() == "x\n"
    assert box.untouched()


def test_cve_2026_88264_dev_console_is_a_symlink(box: Box) -> None:
    (box.rootfs / "dev/console").symlink_to(box.outside / "pwned")
    (box.rootfs / "dev/pts").mkdir()
    box.config["mounts"] = [PROC, DEVPTS]
    box.process["terminal"] = True
    run_on_terminal(box)
    assert box.untouched()


@pytest.mark.parametrize("mounted", [False, True])
def test_cve_2026_47766_dev_is_a_symlink(box: Box, mounted: bool) -> None:
    (box.rootfs / "dev").rmdir()
    (box.rootfs / "dev").symlink_to(box.outside)
    if not mounted:
        box.config["mounts"] = [PROC]
    box.run()
    assert box.untouched()


def test_cve_2026_47766_dev_is_a_symlink_to_a_volume(box: Box) -> None:
    """The image may not have a volume of the host filled with nodes, or its ptmx replaced."""
    (box.rootfs / "dev").rmdir()
    (box.rootfs / "dev").symlink_to("/vol")
    volume = {"destination": "/vol", "source": str(box.outside), "options": ["rbind"]}
    box.config["mounts"] = [PROC, volume]
    box.run()
    assert box.untouched()


@pytest.mark.parametrize("name", ["proc", "sys"])
def test_cve_2025_54867_cve_2023_27561_kernel_mount_on_a_symlink(box: Box, name: str) -> None:
    kind = {"proc": "proc", "sys": "sysfs"}[name]
    (box.rootfs / name).rmdir()
    (box.rootfs / "tmp/fake").mkdir()
    (box.rootfs / name).symlink_to("/tmp/fake")
    mounts = [mount for mount in box.config["mounts"] if mount["destination"] != f"/{name}"]
    box.config["mounts"] = [*mounts, {"destination": f"/{name}", "type": kind, "source": kind}]
    box.sh("echo RAN")
    done = box.run()
    assert done.returncode != 0
    assert "RAN" not in done.stdout


@pytest.mark.parametrize("name", ["newdir", "newfile"])
def test_cve_2015_3627_cve_2019_18837_mount_target_below_a_symlink(box: Box, name: str) -> None:
    (box.rootfs / "vol").rmdir()
    (box.rootfs / "vol").symlink_to(box.outside)
    source = box.folder / "source"
    if name == "newdir":
        source.mkdir()
    else:
        source.write_text("a file")
    mount = {"destination": f"/vol/{name}", "source": str(source), "options": ["bind"]}
    box.config["mounts"].append(mount)
    box.run()
    assert box.untouched()


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_cve_2024_45310_mount_target_is_a_dangling_symlink(box: Box, kind: str) -> None:
    (box.rootfs / "vol/target").symlink_to(box.outside / "made")
    source = box.folder / "source"
    if kind == "directory":
        source.mkdir()
    else:
        source.write_text("a file")
    mount = {"destination": "/vol/target", "source": str(source), "options": ["bind"]}
    box.config["mounts"].append(mount)
    box.run()
    assert box.untouched()


@pytest.mark.parametrize("way", ["absolute", "upwards"])
def test_cve_2021_30465_mount_target_through_links_stays_inside(box: Box, way: str) -> None:
    """Absolute links and `..` beyond the root lead to a place in the image."""
    (box.rootfs / "up").symlink_to(("../" * 8 if way == "upwards" else "") + str(box.outside))
    source = box.folder / "source"
    source.mkdir()
    (source / "mark").write_text("of the volume")
    mount = {"destination": "/up", "source": str(source), "options": ["bind"]}
    box.config["mounts"].append(mount)
    box.sh("cat /proc/self/mountinfo; cat /up/secret; true")
    done = box.run()
    assert box.untouched()
    assert "HOST SECRET" not in done.stdout
    places = [line.split()[4] for line in done.stdout.splitlines()]
    assert done.returncode != 0 or str(box.outside) in places


def traps(rootfs: Path, target: str) -> None:
    """A /proc of the image, in which every descriptor leads to where the image wants."""
    for process in ("self", "thread-self"):
        folder = rootfs / "proc" / process / "fd"
        folder.mkdir(parents=True)
        for number in range(3, 64):
            (folder / str(number)).symlink_to(target)


def test_cve_2026_115521_read_only_root_with_a_proc_of_the_image(box: Box) -> None:
    traps(box.rootfs, "/vol")
    tmpfs = {"destination": "/vol", "type": "tmpfs", "source": "tmpfs"}
    box.config["mounts"] = [tmpfs, box.config["mounts"][1]]
    box.config["root"]["readonly"] = True
    box.sh("touch /x && echo WRITABLE; touch /bin/x && echo WRITABLE; echo RAN")
    done = box.run()
    assert "WRITABLE" not in done.stdout
    assert not (box.rootfs / "x").exists()
