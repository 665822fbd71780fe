# SPDX-License-Identifier: Apache-2.0
"""checkpoint and restore of what is mounted from the host: by what the config says, whatever the
rootfs makes of its names (CVE-2026-119101, CVE-2026-115520)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import needs
from life.bundles import Bundle, bind
from life.checkpoints import Saved
from life.runtimes import SEPARATOR

differs = pytest.mark.differs
pyrun_only = pytest.mark.pyrun_only
pytestmark = [
    needs.needs("criu"),
    pytest.mark.with_peers,
    differs(crun="Debian's is built without CRIU"),
]

NAMES = ("plain", "a]b", "a:b", "a b", "a\tb", "a\\b", "a]", "[a]", "é", "mnt[0]")


def folder(saved: Saved, name: str) -> Path:
    """A folder of the host with a file in it."""
    path = saved.container.bundle.path / name
    path.mkdir()
    (path / "file").write_text(f"of {name}")
    return path


def begin(saved: Saved, *verbs: str) -> None:
    """A container that says something when it is restored."""
    bundle = saved.container.bundle
    bundle.say("print READY", "await /tmp/go", *verbs, "print END", "sleep 1000")
    saved.start().until(f"READY\n{SEPARATOR}")


def after(saved: Saved) -> list[str]:
    """Its answers."""
    saved.container.bundle.file("tmp/go", "")
    pipe = saved.restored()
    pipe.until(f"END\n{SEPARATOR}")
    return [part.rstrip("\n") for part in pipe.text.decode().split(SEPARATOR)[1:-2]]


def point(saved: Saved, name: str) -> str:
    """Where the file system with this at its root is mounted in the container."""
    text = Path(f"/proc/{saved.container.pid}/mountinfo").read_text()
    return next(line.split()[4] for line in text.splitlines() if line.split()[3].endswith(name))


@pytest.mark.parametrize("name", NAMES)
def test_names(saved: Saved, bundle: Bundle, name: str) -> None:
    """Of a mount point, and of a source."""
    source = folder(saved, f"source {name}")
    bundle.config["mounts"].append(bind(source, f"/data/{name}"))
    bundle.config["mounts"].append(bind(source / "file", f"/data/{name}.file", "bind", "ro"))
    bundle.process["args"] = [
        "/payload", "print", "READY", ";", "await", "/tmp/go", ";",
        "cat", f"/data/{name}/file", ";", "cat", f"/data/{name}.file", ";",
        "write", f"/data/{name}.file", "x", ";", "print", "END", ";", "sleep", "1000",
    ]  # fmt: skip
    saved.start().until(f"READY\n{SEPARATOR}")
    saved.saved()
    assert after(saved) == [f"of source {name}", f"of source {name}", "error: EROFS"]


@pyrun_only("it tells which name it is")
@pytest.mark.parametrize("name", ["a]:b", "a\nb"])
@pytest.mark.parametrize("by_link", [False, True])
def test_a_name_that_criu_would_misread(
    saved: Saved, bundle: Bundle, name: str, by_link: bool
) -> None:
    """It is refused, and the container goes on; whether config or image have chosen it."""
    destination = f"/data/{name}"
    if by_link:
        bundle.rootfs.joinpath("data", name).mkdir()
        (bundle.rootfs / "link").symlink_to(destination)
    source = folder(saved, "source")
    bundle.config["mounts"].append(bind(source, "/link" if by_link else destination))
    pipe = saved.start("count")
    pipe.lines(1)
    result = saved.checkpoint()
    assert result.code == 1
    assert "can't be told to criu" in result.err
    pipe.lines(2)


def test_mounts_in_another_order(saved: Saved, bundle: Bundle) -> None:
    """Engines write a config anew for restore, and promise no order; nor that all is the same."""
    places = ["a", "b", "c"]
    added = [bind(folder(saved, place), f"/data/{place}") for place in places]
    bundle.config["mounts"] += added
    begin(saved, *(f"cat /data/{place}/file" for place in places))
    saved.saved()
    others = [mount for mount in bundle.config["mounts"] if mount not in added]
    bundle.config["mounts"] = [others[0], *reversed(added), *others[1:]]
    bundle.save()
    assert after(saved) == ["of a", "of b", "of c"]


def test_a_root_that_the_host_shares(saved: Saved, bundle: Bundle) -> None:
    """As on a machine that was booted: the container's root is a slave of it."""
    place = str(bundle.rootfs)
    subprocess.run(["mount", "--bind", place, place], check=True)
    subprocess.run(["mount", "--make-shared", place], check=True)
    try:
        begin(saved, "cat /data/note")
        (bundle.rootfs / "data/note").write_text("there")
        saved.saved()
        assert after(saved) == ["there"]
        saved.container.delete("--force")
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("target", ["/real", "/tmp/x]y", "/tmp/x:y", "/tmp/deep/er"])
def test_destination_through_a_link(saved: Saved, bundle: Bundle, target: str) -> None:
    """A link of the image on the way: the mount comes back where it was, by its index."""
    (bundle.rootfs / target[1:]).mkdir(parents=True)
    (bundle.rootfs / "link").symlink_to(target)
    bundle.config["mounts"].append(bind(folder(saved, "source"), "/link"))
    begin(saved, "cat /link/file", f"cat {target}/file")
    saved.saved()
    assert after(saved) == ["of source"] * 2


def test_links_that_change_meanwhile(saved: Saved, bundle: Bundle) -> None:
    """Between checkpoint and restore the image leads elsewhere: nothing of the host is opened."""
    outside = folder(saved, "outside")
    (bundle.rootfs / "real").mkdir()
    (bundle.rootfs / "link").symlink_to("/real")
    bundle.config["mounts"].append(bind(folder(saved, "source"), "/link"))
    begin(saved, "cat /link/file")
    saved.saved()
    (bundle.rootfs / "link").unlink()
    (bundle.rootfs / "link").symlink_to(outside)
    (bundle.rootfs / "real").rmdir()
    (bundle.rootfs / "real").symlink_to(outside)
    bundle.file("tmp/go", "")
    before = sorted(outside.iterdir())
    result = saved.restore()
    assert sorted(outside.iterdir()) == before
    assert (outside / "file").read_text() == "of outside"
    text = Path("/proc/self/mountinfo").read_text()
    assert str(outside) not in text
    if result.code == 0:
        saved.pipe.until("END\n")
        assert "of outside" not in saved.pipe.text.decode()


@differs(runc="it goes by the path: each gets the other's")
def test_a_link_that_points_at_another_mount(saved: Saved, bundle: Bundle) -> None:
    """What is mounted where is told by what it shows: a container that turns links around between
    its creation and the checkpoint gets nothing but what it had."""
    for name in ("one", "two"):
        (bundle.rootfs / name).mkdir()
        bundle.config["mounts"].append(bind(folder(saved, f"source {name}"), f"/{name}-link"))
        (bundle.rootfs / f"{name}-link").symlink_to(f"/{name}")
    begin(saved, "cat /one/file", "cat /two/file")
    for name, other in (("one", "two"), ("two", "one")):
        (bundle.rootfs / f"{name}-link").unlink()
        (bundle.rootfs / f"{name}-link").symlink_to(f"/{other}")
    saved.saved()
    assert after(saved) == ["of source one", "of source two"]


def test_the_same_source_twice(saved: Saved, bundle: Bundle) -> None:
    source = folder(saved, "source")
    bundle.config["mounts"].append(bind(source, "/data/one", "bind", "ro"))
    bundle.config["mounts"].append(bind(source, "/data/two"))
    begin(saved, "write /data/one/file x", "write /data/two/file x")
    saved.saved()
    assert after(saved) == ["error: EROFS", "ok"]


def test_mounts_below_the_source(saved: Saved, bundle: Bundle) -> None:
    """rbind takes them along, and so does the restore."""
    source = folder(saved, "source")
    (source / "below").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", source / "below"], check=True)
    (source / "below/file").write_text("below")
    try:
        bundle.config["mounts"].append(bind(source, "/data/all", "rbind"))
        begin(saved, "cat /data/all/file", "cat /data/all/below/file")
        saved.saved()
        assert after(saved) == ["of source", "below"]
        saved.container.delete("--force")
    finally:
        subprocess.run(["umount", source / "below"], check=True)


def test_source_below_the_rootfs(saved: Saved, bundle: Bundle) -> None:
    bundle.file("etc/inside", "of the image")
    bundle.config["mounts"].append(bind(bundle.rootfs / "etc", "/data/etc", "bind", "ro"))
    begin(saved, "cat /data/etc/inside", "write /data/etc/inside x", "write /etc/inside y")
    saved.saved()
    assert after(saved) == ["of the image", "error: EROFS", "ok"]


def test_another_rootfs_of_the_same_image(saved: Saved, bundle: Bundle) -> None:
    """As an engine restores on another machine: mount points are made again."""
    source = folder(saved, "source")
    bundle.config["mounts"].append(bind(source, "/opt/deep/data"))
    bundle.config["mounts"].append(bind(source / "file", "/opt/deep/file"))
    begin(saved, "cat /opt/deep/data/file", "cat /opt/deep/file")
    saved.saved()
    (bundle.rootfs / "opt/deep/file").unlink()
    (bundle.rootfs / "opt/deep/data").rmdir()
    (bundle.rootfs / "opt/deep").rmdir()
    (bundle.rootfs / "opt").rmdir()
    assert after(saved) == ["of source"] * 2


def test_a_source_that_is_gone(saved: Saved, bundle: Bundle) -> None:
    source = folder(saved, "source")
    bundle.config["mounts"].append(bind(source, "/data"))
    saved.start("count").lines(1)
    saved.saved()
    (source / "file").unlink()
    source.rmdir()
    result = saved.restore()
    assert result.code == 1
    assert f"{source}: no such file or directory" in result.err.replace("stat ", "")


def test_images_of_another_config(saved: Saved, bundle: Bundle) -> None:
    """Mounts of the host that the config does not have are not made."""
    bundle.config["mounts"].append(bind(folder(saved, "secret"), "/data/secret"))
    saved.start("count").lines(1)
    saved.saved()
    bundle.config["mounts"].pop()
    bundle.save()
    result = saved.restore()
    assert result.code == 1
    assert saved.container.runtime("state", saved.container.id).code == 1


@differs(runc="it does not know that nodes are bound there")
def test_masks_and_nodes_in_a_user_namespace(saved: Saved, bundle: Bundle) -> None:
    """There the host's nodes are bound."""
    bundle.map_ids()
    bundle.file("etc/secret", "hidden")
    bundle.linux["maskedPaths"] = ["/etc/secret", "/proc/keys"]
    begin(saved, "cat /etc/secret", "cat /proc/keys", "stat /dev/null", "read /dev/zero")
    saved.saved()
    found = after(saved)
    assert found[:2] == ["", ""]
    assert found[2].startswith("c 0666")
    assert "error" not in found[3]


@pyrun_only("it tells which name it is")
def test_mount_points_of_names_nobody_has_seen(saved: Saved, bundle: Bundle) -> None:
    """Not UTF-8: criu can't be told of it."""
    source = folder(saved, "source")
    bundle.config["mounts"].append(bind(source, "/link"))
    os.mkdir(os.fsencode(bundle.rootfs) + b"/\xff")
    os.symlink(b"/\xff", os.fsencode(bundle.rootfs) + b"/link")
    saved.start("count").lines(1)
    result = saved.checkpoint()
    assert result.code == 1
    assert "not UTF-8" in result.err
    saved.pipe.lines(2)
