# SPDX-License-Identifier: Apache-2.0
"""Nodes, links, masks and read-only places in a user namespace, where nodes are the host's, bound;
and what an image or a config has there already."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from life.bundles import Bundle
from life.mountinfo import mounts
from life.runtimes import Container

pytestmark = pytest.mark.warmed
with_peers = pytest.mark.with_peers
differs = pytest.mark.differs

DEFAULTS = {"null": "1:3", "zero": "1:5", "full": "1:7", "random": "1:8", "urandom": "1:9"}
DEFAULTS["tty"] = "5:0"
LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "ptmx": "pts/ptmx"}


@pytest.fixture
def node() -> Iterator[Path]:
    """A node of the host that no default is: /dev/zero under another name, of an owner."""
    path = Path("/dev") / f"pyrun-life-{os.getpid()}"
    os.mknod(path, stat.S_IFCHR | 0o640, os.makedev(1, 5))
    path.chmod(0o640)
    os.chown(path, 100003, 100004)
    yield path
    path.unlink()


def device(path: str | Path, kind: str = "c", **more: int) -> dict[str, str | int]:
    return {"path": str(path), "type": kind, "major": 1, "minor": 5} | more


# ---- What every container has ----


@with_peers
@pytest.mark.parametrize("mounted", [True, False], ids=["", "/dev of the image"])
def test_defaults_in_a_user_namespace(container: Container, bundle: Bundle, mounted: bool) -> None:
    """Nobody owns them there, and everybody may use them."""
    if not mounted:
        bundle.without_mount("/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
    bundle.map_ids()
    found = container.ask(*(f"stat /dev/{name}" for name in DEFAULTS))
    assert [line.split()[0] for line in found] == ["c"] * len(DEFAULTS)
    assert [line.split()[1] for line in found] == ["0666"] * len(DEFAULTS)
    assert [line.split()[4] for line in found] == list(DEFAULTS.values())
    assert container.ask(*(f"readlink /dev/{name}" for name in LINKS)) == list(LINKS.values())
    assert container.ask("write /dev/full x", "read /dev/random") == ["error: ENOSPC", "ok"]


@pytest.mark.parametrize(
    "mapped",
    [
        False,
        pytest.param(True, marks=differs(runc="1.1 binds pipes too", crun="1.8 makes it 0600")),
    ],
    ids=["", "userns"],
)
def test_modes_whatever_the_umask(container: Container, bundle: Bundle, mapped: bool) -> None:
    """The caller's is not the container's."""
    if mapped:
        bundle.map_ids()
    bundle.linux["devices"] = [{"path": "/dev/pipe", "type": "p", "fileMode": 0o666}]
    prefix = ["sh", "-c", 'umask 077; exec "$@"', "sh"]
    null, pipe = container.ask("stat /dev/null", "stat /dev/pipe", prefix=prefix)
    assert (null.split()[1], pipe.split()[1]) == ("0666", "0666")


def test_links_over_those_of_the_image(container: Container, bundle: Bundle) -> None:
    """An image's own links stay, but ptmx: it has to be that of the container's devpts."""
    bundle.without_mount("/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
    (bundle.rootfs / "dev/stdin").symlink_to("/elsewhere")
    os.mknod(bundle.rootfs / "dev/ptmx", stat.S_IFCHR | 0o666, os.makedev(5, 2))
    os.mknod(bundle.rootfs / "dev/null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    found = container.ask("readlink /dev/stdin", "readlink /dev/ptmx", "stat /dev/null")
    assert found[:2] == ["/elsewhere", "pts/ptmx"]
    assert found[2].split()[4] == "1:3"


# ---- linux.devices ----


@with_peers
def test_type_in_the_mode_is_not_the_type(container: Container, bundle: Bundle) -> None:
    """Engines copy st_mode."""
    mode = stat.S_IFCHR | 0o640
    bundle.linux["devices"] = [device("/dev/mine", fileMode=mode, uid=1, gid=2)]
    found = container.ask("stat /dev/mine")[0].split()
    assert found[:5] == ["c", "0640", "1", "2", "1:5"]


@with_peers
@differs(runc="1.1 takes it off its own rules, and can't open it any more")
def test_a_listed_default_is_as_listed(container: Container, bundle: Bundle) -> None:
    bundle.linux["devices"] = [device("/dev/null", minor=3, fileMode=0o600, uid=7, gid=8)]
    found = container.ask("stat /dev/null")[0].split()
    assert found[:5] == ["c", "0600", "7", "8", "1:3"]


@with_peers
def test_ptmx_is_always_the_containers(container: Container, bundle: Bundle) -> None:
    bundle.linux["devices"] = [{"path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2}]
    assert container.ask("readlink /dev/ptmx") == ["pts/ptmx"]


@pytest.mark.pyrun_only("the peers give what is bound away: the host's node")
def test_listed_in_a_user_namespace(container: Container, bundle: Bundle, node: Path) -> None:
    """The host's node, with the host's mode and owner, neither of which is changed."""
    bundle.map_ids()
    pipe = {"path": "/dev/sub/pipe", "type": "p", "fileMode": 0o640, "uid": 5, "gid": 6}
    bundle.linux["devices"] = [device(node, fileMode=0o666, uid=1, gid=1), pipe]
    found, made = container.ask(f"stat {node}", "stat /dev/sub/pipe")
    assert found.split()[:5] == ["c", "0640", "3", "4", "1:5"]
    assert made.split()[:4] == ["p", "0640", "5", "6"]
    assert (node.stat().st_uid, stat.S_IMODE(node.stat().st_mode)) == (100003, 0o640)


@differs(crun="1.8 goes on")
def test_device_that_the_host_has_not(container: Container, bundle: Bundle) -> None:
    """In a user namespace there is nothing to bind: said by its field."""
    bundle.map_ids()
    bundle.linux["devices"] = [device("/dev/not-there")]
    result = container.run("print x")
    assert result.code == 1
    assert "/dev/not-there" in result.err
    assert "no such file or directory" in result.err


@pytest.mark.pyrun_only("the field in the words")
def test_that_device_is_named_by_its_field(container: Container, bundle: Bundle) -> None:
    bundle.map_ids()
    bundle.linux["devices"] = [device("/dev/zero"), device("/dev/not-there")]
    assert "/linux/devices/1" in container.run("print x").err


def test_device_through_a_link_of_the_image(container: Container, bundle: Bundle) -> None:
    """It goes where the link leads in the container, never to the host."""
    (bundle.rootfs / "way").symlink_to("/../../data")
    bundle.linux["devices"] = [device("/way/zero")]
    assert container.ask("stat /data/zero")[0].split()[4] == "1:5"
    assert not Path("/data/zero").exists()


# ---- masked and read-only paths, read-only root ----


@with_peers
def test_masks_in_a_user_namespace(container: Container, bundle: Bundle) -> None:
    bundle.file("/etc/secret", "secret")
    bundle.file("/data/secret", "secret")
    bundle.map_ids()
    bundle.linux["maskedPaths"] = ["/etc/secret", "/data", "/proc/keys", "/sys/firmware", "/none"]
    found = container.ask("cat /etc/secret", "ls /data", "cat /proc/keys", "ls /sys/firmware")
    assert found == ["", "", "", ""]


@with_peers
def test_readonly_in_a_user_namespace(container: Container, bundle: Bundle) -> None:
    bundle.config["root"]["readonly"] = True
    bundle.map_ids()
    bundle.linux["readonlyPaths"] = ["/proc/sys", "/tmp", "/none"]
    bundle.config["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"})
    *found, table = container.ask("write /x y", "write /tmp/x y", "write /dev/x y", "mounts")
    assert found == ["error: EROFS", "error: EROFS", "ok"]
    assert "ro" in mounts(table)["/proc/sys"].options


@with_peers
def test_a_mask_below_a_readonly_path(container: Container, bundle: Bundle) -> None:
    bundle.file("/data/secret", "secret")
    bundle.file("/data/text", "text")
    bundle.linux["maskedPaths"] = ["/data/secret"]
    bundle.linux["readonlyPaths"] = ["/data"]
    found = container.ask("cat /data/secret", "cat /data/text", "write /data/text x")
    assert found == ["", "text", "error: EROFS"]


def test_mounts_below_a_readonly_path_come_along(container: Container, bundle: Bundle) -> None:
    """With what is mounted below, which stays as it was: only the mount itself is read-only."""
    below = {"destination": "/data/below", "type": "tmpfs", "source": "tmpfs"}
    bundle.config["mounts"].append(below)
    bundle.linux["readonlyPaths"] = ["/data"]
    assert container.ask("write /data/x y", "write /data/below/x y") == ["error: EROFS", "ok"]


@differs(runc="1.1 sets no flag but ro", crun="1.8 sets no flag but ro")
def test_masks_share_what_covers_them(container: Container, bundle: Bundle) -> None:
    """One empty directory, and it can't be filled."""
    for name in ("a", "b"):
        (bundle.rootfs / "data" / name).mkdir()
    bundle.linux["maskedPaths"] = ["/data/a", "/data/b"]
    table, made = container.ask("mounts", "mkdir /data/a/x")
    found = mounts(table)
    assert made == "error: EROFS"
    assert found["/data/a"].kind == found["/data/b"].kind == "tmpfs"
    assert found["/data/a"].options >= {"ro", "nosuid", "nodev", "noexec"}
