# SPDX-License-Identifier: Apache-2.0
"""mounts add and remove: what a container that runs finds then. The peers of the distribution have
no such verb."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from life.bundles import Bundle, bind, mount
from life.live import Inside, add, record, remove
from life.runtimes import Container
from life.test_mounts import mounted
from needs import needs

pytestmark = [pytest.mark.pyrun_only("the verb"), needs("root")]


@pytest.fixture
def source(bundle: Bundle) -> Path:
    """A directory to bind, with a file in it."""
    path = bundle.path / "source"
    (path / "below").mkdir(parents=True)
    (path / "file").write_text("text")
    return path


def test_bind(inside: Inside, source: Path) -> None:
    before = inside.ask("mounts")
    entry = bind(source, "/data/new/deep", "rbind", "ro", "nosuid")
    with mounted(source / "below", "-t", "tmpfs", "below"):
        add(inside.container, entry)
    assert inside.mounts()["/data/new/deep"].options >= {"ro", "nosuid"}
    assert inside.mounts()["/data/new/deep/below"].kind == "tmpfs"
    assert inside.ask("cat /data/new/deep/file") == "text"
    assert inside.ask("write /data/new/deep/x y") == "error: EROFS"
    assert record(inside.container) == ["/data/new/deep"]
    remove(inside.container, entry)
    assert inside.ask("mounts") == before
    assert record(inside.container) == []
    assert inside.ask("ls /data/new/deep") == ""


def test_bind_of_a_file_and_of_a_relative_source(inside: Inside, source: Path) -> None:
    entries = [bind("source/file", "/etc/file"), bind("source", "/data")]
    add(inside.container, *entries)
    assert inside.ask("cat /etc/file") == "text"
    assert inside.ask("write /data/new more") == "ok"
    assert (source / "new").read_text() == "more"
    remove(inside.container, *entries)
    assert inside.ask("cat /etc/file") == ""
    assert inside.ask("ls /data") == ""


def test_new_file_systems(inside: Inside, bundle: Bundle) -> None:
    """Of the container's namespaces: of its network, its messages, its processes."""
    (bundle.rootfs / "data").chmod(0o1750)
    add(
        inside.container,
        mount("/data", "tmpfs", "size=64k", "noexec"),
        mount("/tmp/net", "sysfs", "ro"),
        mount("/tmp/queue", "mqueue"),
        mount("/tmp/pids", "proc", "nosuid"),
        mount("/tmp/pts", "devpts", "newinstance"),
    )
    found = inside.mounts()
    assert found["/data"].data >= {"size=64k"}
    assert found["/data"].options >= {"noexec"}
    assert inside.ask("stat /data").split()[1] == "1750"
    assert inside.ask("ls /tmp/net/class/net").split() == ["lo"]
    assert inside.ask("cat /tmp/pids/1/comm") == "payload"
    assert found["/tmp/pts"].kind == "devpts"
    assert found["/tmp/queue"].kind == "mqueue"


def test_one_in_the_other(inside: Inside, source: Path) -> None:
    """A later one may lie in an earlier one, and a read-only tmpfs is closed when all is there."""
    before = inside.ask("mounts")
    entries = [
        mount("/data", "tmpfs", "ro"),
        bind(source, "/data/sub/source"),
        bind(source / "file", "/data/sub/source/below/file"),
    ]
    add(inside.container, *entries)
    assert inside.ask("write /data/x y") == "error: EROFS"
    assert inside.ask("cat /data/sub/source/below/file") == "text"
    remove(inside.container, *entries)
    assert inside.ask("mounts") == before


def test_what_it_covers_can_come_along(inside: Inside, bundle: Bundle) -> None:
    bundle.file("/data/kept", "kept")
    add(inside.container, mount("/data", "tmpfs", "tmpcopyup"))
    assert inside.ask("cat /data/kept") == "kept"
    assert inside.ask("write /data/kept other") == "ok"
    assert (bundle.rootfs / "data/kept").read_text() == "kept"


def test_propagation(inside: Inside, source: Path) -> None:
    """A slave of the host, as at create; and as asked."""
    with mounted(source, "-t", "tmpfs", "source"):
        subprocess.run(["mount", "--make-shared", source], check=True)
        entries = [bind(source, "/data"), bind(source, "/home", "bind", "private")]
        add(inside.container, *entries, bind(source, "/tmp", "bind", "shared"))
        found = inside.mounts()
        assert [tag.partition(":")[0] for tag in found["/data"].tags] == ["master"]
        assert found["/home"].tags == []
        assert [tag.partition(":")[0] for tag in found["/tmp"].tags] == ["shared", "master"]


def test_overlay_of_the_hosts_paths(inside: Inside, bundle: Bundle, source: Path) -> None:
    """Not of what has these names in the container, whose links lead where it likes."""
    fake = bundle.rootfs / str(source).lstrip("/")
    fake.parent.mkdir(parents=True)
    fake.symlink_to("/proc")
    (bundle.path / "other").mkdir()
    (bundle.path / "other/more").touch()
    layers = f"lowerdir={source}:{bundle.path}/other"
    # the second, when we have been in the container's namespace
    add(inside.container, mount("/home", "tmpfs"), mount("/data", "overlay", layers, "ro"))
    assert inside.ask("ls /data").split() == ["below", "file", "more"]


def test_user_namespace(container: Container, bundle: Bundle, source: Path) -> None:
    """The source need not be the container's to reach, and a new file system is its root's."""
    bundle.map_ids()
    source.chmod(0o755)
    bundle.path.chmod(0o700)  # after the rootfs is open nobody else needs it
    closed = source / "closed"
    (closed / "open").mkdir(parents=True)
    (closed / "open/file").write_text("x")
    closed.chmod(0o700)
    inside = Inside(container)
    inside.ask("print up")
    add(container, bind(closed / "open", "/data"), mount("/tmp", "tmpfs"), mount("/home", "mqueue"))
    assert inside.ask("cat /data/file") == "x"
    assert inside.ask("stat /tmp").split()[2:4] == ["0", "0"]
    assert inside.ask("write /tmp/x y") == "ok"
    assert inside.mounts()["/tmp"].data >= {"uid=100000", "gid=100000"}
    remove(container, bind(closed, "/data"), mount("/home", "mqueue"), mount("/tmp", "tmpfs"))
    inside.end()


@pytest.mark.parametrize("remapped", [False, True])
def test_id_maps(container: Container, bundle: Bundle, source: Path, remapped: bool) -> None:
    """Those of the mount; and where it names none, those of the container."""
    if remapped:
        bundle.map_ids()
    inside = Inside(container)
    inside.ask("print up")
    with mounted(source, "-t", "tmpfs", "source"):
        for name, owner in (("file", 1), ("other", 2)):
            (source / name).write_text("x")
            os.chown(source / name, owner, owner)
        ids = [{"containerID": 1, "hostID": 100005 if remapped else 5, "size": 1}]
        own = {**bind(source, "/data"), "uidMappings": ids, "gidMappings": ids}
        entries = [own, bind(source, "/home", "bind", "idmap")] if remapped else [own]
        add(container, *entries)
        assert inside.ask("stat /data/file").split()[2:4] == ["5", "5"]
        assert inside.ask("stat /data/other").split()[2:4] == ["65534", "65534"]
        if remapped:
            assert inside.ask("stat /home/other").split()[2:4] == ["2", "2"]
    inside.end()
