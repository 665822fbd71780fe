# SPDX-License-Identifier: Apache-2.0
"""root, devices, masked and read-only paths: what the container finds besides its mounts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from life.bundles import Bundle, bind
from life.mountinfo import mounts
from life.runtimes import Container

pytestmark = pytest.mark.warmed
with_peers = pytest.mark.with_peers
differs = pytest.mark.differs


@pytest.fixture
def source(bundle: Bundle) -> Path:
    """A directory to bind, with a file in it."""
    path = bundle.path / "source"
    (path / "below").mkdir(parents=True)
    (path / "file").write_text("text")
    return path


@with_peers
def test_readonly_root(container: Container, bundle: Bundle) -> None:
    bundle.config["root"]["readonly"] = True
    answers = container.ask("write /x y", "write /dev/x y", "mkdir /data/new")
    assert answers == ["error: EROFS", "ok", "error: EROFS"]


def test_writable_root(container: Container, bundle: Bundle) -> None:
    assert container.ask("write /x y") == ["ok"]
    assert (bundle.rootfs / "x").read_text() == "y"


@with_peers
def test_devices_of_every_container(container: Container) -> None:
    nodes = {"null": "1:3", "zero": "1:5", "full": "1:7", "random": "1:8", "urandom": "1:9"}
    nodes["tty"] = "5:0"
    for answer, number in zip(
        container.ask(*(f"stat /dev/{name}" for name in nodes)), nodes.values(), strict=True
    ):
        kind, mode, uid, gid, device, _ = answer.split()
        assert (kind, mode, uid, gid, device) == ("c", "0666", "0", "0", number)


@with_peers
def test_links_of_every_container(container: Container) -> None:
    links = {
        "fd": "/proc/self/fd",
        "stdin": "/proc/self/fd/0",
        "stdout": "/proc/self/fd/1",
        "stderr": "/proc/self/fd/2",
        "core": "/proc/kcore",
        "ptmx": "pts/ptmx",
    }
    if not Path("/proc/kcore").exists():
        del links["core"]
    answers = container.ask(*(f"readlink /dev/{name}" for name in links))
    assert answers == list(links.values())


@with_peers
def test_listed_devices(container: Container, bundle: Bundle) -> None:
    bundle.linux["devices"] = [
        {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o600}
        | {"uid": 3, "gid": 4},
        {"path": "/dev/sub/block", "type": "b", "major": 7, "minor": 300},
        {"path": "/dev/pipe", "type": "p", "fileMode": 0o640},
        {"path": "/srv/outside", "type": "u", "major": 1, "minor": 3},
    ]
    fuse, block, pipe, outside = container.ask(
        "stat /dev/fuse", "stat /dev/sub/block", "stat /dev/pipe", "stat /srv/outside"
    )
    assert fuse.split()[:5] == ["c", "0600", "3", "4", "10:229"]
    assert block.split()[:5] == ["b", "0666", "0", "0", "7:300"]
    assert pipe.split()[:4] == ["p", "0640", "0", "0"]
    assert outside.split()[:5] == ["c", "0666", "0", "0", "1:3"]


@differs(runc="ignores what is there", crun="ignores what is there")
@pytest.mark.parametrize("path", ["/srv/other", "/srv/link", "/dev/shm/node"])
def test_listed_device_where_something_else_is(
    container: Container, bundle: Bundle, path: str
) -> None:
    """config-linux.md: "If a file already exists at `path` that does not match the requested
    device, the runtime MUST generate an error"."""
    bundle.file("/srv/other", "text")
    (bundle.rootfs / "srv/link").symlink_to("/dev/zero")
    device = {"path": path, "type": "c", "major": 1, "minor": 3}
    bundle.linux["devices"] = [device, device]  # the same twice is no contradiction
    result = container.run("stat /dev/shm/node")
    if path == "/dev/shm/node":
        bundle.linux["devices"].append({**device, "minor": 5})
        assert result.code == 0
        result = container.run("stat /dev/shm/node")
    assert result.code == 1
    assert "/linux/devices" in result.err or "linux.devices" in result.err
    assert "file exists" in result.err


def test_dev_of_the_host(container: Container, bundle: Bundle) -> None:
    """A /dev that is bound has what it has: nothing is made in the host's."""
    before = sorted(os.listdir("/dev"))
    bundle.without_mount("/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
    bundle.config["mounts"].append(bind("/dev", "/dev", "rbind"))
    assert container.ask("ls /dev")[0].splitlines() == before
    assert sorted(os.listdir("/dev")) == before


@differs(runc="1.1 makes no listed device then", crun="1.8 makes no listed device then")
def test_device_beside_a_dev_of_the_host(container: Container, bundle: Bundle) -> None:
    """No link of the image leads what is made to the host's /dev."""
    bundle.without_mount("/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
    bundle.config["mounts"].append(bind("/dev", "/dev", "rbind"))
    bundle.linux["devices"] = [{"path": "/srv/zero", "type": "c", "major": 1, "minor": 5}]
    assert container.ask("stat /srv/zero")[0].split()[4] == "1:5"
    (bundle.rootfs / "way").symlink_to("/dev")
    bundle.linux["devices"][0]["path"] = "/way/pyrun-test-zero"
    assert container.run("print x").code == 1
    assert not Path("/dev/pyrun-test-zero").exists()


def test_dev_of_the_image(container: Container, bundle: Bundle) -> None:
    bundle.without_mount("/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
    assert container.ask("stat /dev/null")[0].split()[4] == "1:3"


@with_peers
def test_masked_paths(container: Container, bundle: Bundle, source: Path) -> None:
    bundle.file("/etc/secret", "secret")
    bundle.file("/data/secret", "secret")
    bundle.linux["maskedPaths"] = ["/etc/secret", "/data", "/proc/keys", "/not/there"]
    answers = container.ask(
        "cat /etc/secret", "ls /data", "write /data/x y", "cat /proc/keys", "stat /not"
    )
    assert answers == ["", "", "error: EROFS", "", "error: ENOENT"]


@with_peers
def test_readonly_paths(container: Container, bundle: Bundle) -> None:
    bundle.file("/etc/fixed", "text")
    bundle.linux["readonlyPaths"] = ["/etc/fixed", "/data", "/proc/sys", "/not/there"]
    answers = container.ask(
        "write /etc/fixed x", "write /data/x y", "write /proc/sys/kernel/domainname x", "ls /not"
    )
    assert answers == ["error: EROFS", "error: EROFS", "error: EROFS", "error: ENOENT"]
    assert container.ask("cat /etc/fixed") == ["text"]


@pytest.mark.differs(crun="1.8 loses them")
def test_readonly_path_keeps_its_flags(container: Container, bundle: Bundle) -> None:
    bundle.linux["readonlyPaths"] = ["/proc/bus"]
    found = mounts(container.ask("mounts")[0])["/proc/bus"]
    assert found.options >= {"ro", "nosuid", "nodev", "noexec"}


def test_mask_of_a_link_covers_its_target(container: Container, bundle: Bundle) -> None:
    bundle.file("/etc/secret", "secret")
    (bundle.rootfs / "way").symlink_to("/etc/secret")
    bundle.linux["maskedPaths"] = ["/way"]
    assert container.ask("cat /etc/secret") == [""]


@with_peers
def test_nothing_of_the_host_is_in_the_mounts(container: Container) -> None:
    """After the pivot: only what the config lists, and the root."""
    listed = {"/", "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys"}
    assert set(mounts(container.ask("mounts")[0])) == listed


def test_no_pivot(container: Container) -> None:
    result = container.run("ls /", "cwd", flags=["--no-pivot"])
    assert result.code == 0, result
    assert "payload" in result.answers()[0].splitlines()
    assert result.answers()[1] == "/"


@with_peers
def test_rootfs_by_absolute_path_and_link(container: Container, bundle: Bundle) -> None:
    bundle.config["root"]["path"] = str(bundle.rootfs)
    assert "payload" in container.ask("ls /")[0].splitlines()


def test_proc_and_sys_by_a_link_are_refused(container: Container, bundle: Bundle) -> None:
    """The image could choose where labels and settings are written (CVE-2019-19921)."""
    (bundle.rootfs / "proc").rmdir()
    (bundle.rootfs / "proc").symlink_to("/data")
    result = container.run("print x")
    assert result.code == 1
    assert "proc" in result.err
