# SPDX-License-Identifier: Apache-2.0
"""Options that few mounts have: tmpcopyup, links that are not followed, what changes a mount."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from life.bundles import Bundle, bind, mount
from life.mountinfo import mounts
from life.runtimes import Container
from life.test_mounts import mounted

pytestmark = pytest.mark.warmed
with_peers = pytest.mark.with_peers
differs = pytest.mark.differs

SOURCE = "it looks for the source, which mount(8) does not need"
LATER = "it came later"


def fill(place: Path) -> None:
    """One of everything."""
    (place / "folder/inner").mkdir(parents=True)
    (place / "folder").chmod(0o1751)
    (place / "folder/inner/file").write_text("text" * 5000)
    (place / "set-id").write_text("program")
    os.chown(place / "set-id", 7, 8)
    (place / "set-id").chmod(0o6755)
    os.utime(place / "set-id", (1, 1_000_000_000))
    os.link(place / "set-id", place / "folder/other-name")
    (place / "link").symlink_to("../outside")
    os.lchown(place / "link", 9, 9)
    os.mkfifo(place / "fifo", 0o640)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "socket"))
    with (place / "sparse").open("wb") as sparse:
        sparse.seek(1 << 40)
        sparse.write(b"end")
    os.setxattr(place / "folder", "trusted.test", b"value")
    os.setxattr(place / "set-id", "trusted.test", b"value")


@with_peers
@differs(runc="1.1 has holes filled, and the device is full", crun="1.8 the same")
def test_tmpcopyup(container: Container, bundle: Bundle) -> None:
    """All of it is there, and none of it is the image's own."""
    place = bundle.rootfs / "data"
    fill(place)
    os.chown(place, 3, 4)
    place.chmod(0o750)
    bundle.config["mounts"].append(mount("/data", "tmpfs", "tmpcopyup", "size=1m"))
    container.started("sleep 100")
    inside = Path(f"/proc/{container.pid}/root/data")
    assert sorted(os.listdir(inside)) == sorted(os.listdir(place))
    for path in place.rglob("*"):
        copied = inside / path.relative_to(place)
        old, new = path.lstat(), copied.lstat()
        assert old.st_dev != new.st_dev
        for field in ("st_mode", "st_uid", "st_gid", "st_mtime_ns", "st_nlink"):
            assert getattr(old, field) == getattr(new, field), (path, field)
        if path.is_file() and path.name != "sparse":
            assert path.read_bytes() == copied.read_bytes()
    top = inside.stat()
    assert (top.st_uid, top.st_gid, top.st_mode & 0o7777) == (3, 4, 0o750)
    assert os.readlink(inside / "link") == "../outside"
    assert (inside / "sparse").stat().st_size == (1 << 40) + 3
    assert os.path.samefile(inside / "set-id", inside / "folder/other-name")
    for name in ("folder", "set-id"):
        assert os.getxattr(inside / name, "trusted.test") == b"value"
    (inside / "set-id").write_text("changed")
    assert (place / "set-id").read_text() == "program"


@with_peers
def test_tmpcopyup_of_a_few_files(container: Container, bundle: Bundle) -> None:
    bundle.file("data/file", "text")
    bundle.config["mounts"].append(mount("/data", "tmpfs", "tmpcopyup"))
    assert container.ask("cat /data/file", "write /data/file x") == ["text", "ok"]
    assert (bundle.rootfs / "data/file").read_text() == "text"


def test_tmpcopyup_of_what_is_mounted_there(container: Container, bundle: Bundle) -> None:
    """As the container would see it: also what an earlier mount has brought."""
    source = bundle.path / "source"
    source.mkdir()
    (source / "file").write_text("text")
    bundle.config["mounts"] += [
        bind(source, "/data/in"),
        mount("/data", "tmpfs", "tmpcopyup", "ro"),
    ]
    answers = container.ask("cat /data/in/file", "write /data/x y", "write /data/in/file y")
    assert answers == ["text", "error: EROFS", "error: EROFS"]


def test_tmpcopyup_in_a_user_namespace(container: Container, bundle: Bundle) -> None:
    bundle.file("data/file", "text")
    os.setxattr(bundle.rootfs / "data/file", "user.test", b"value")
    bundle.map_ids()
    os.chown(bundle.rootfs / "data/file", 100005, 100006)
    bundle.config["mounts"].append(mount("/data", "tmpfs", "tmpcopyup"))
    assert container.ask("stat /data/file")[0].split()[2:4] == ["5", "6"]


@pytest.mark.pyrun_only("a device of the image could be opened by the peers")
def test_tmpcopyup_never_follows_a_link(container: Container, bundle: Bundle) -> None:
    secret = bundle.path / "secret"
    secret.mkdir()
    (secret / "file").write_text("HOST")
    (bundle.rootfs / "data/link").symlink_to(secret)
    (bundle.rootfs / "up").symlink_to("../../data")
    bundle.config["mounts"].append(mount("/up", "tmpfs", "tmpcopyup"))
    assert container.ask("ls /data", "cat /data/link/file") == ["link", "error: ENOENT"]


@pytest.mark.pyrun_only("the text")
@pytest.mark.parametrize(
    ("size", "words"), [("size=4k", "no space left on device"), ("nr_inodes=3", "no space left")]
)
def test_tmpcopyup_into_too_small_a_tmpfs(
    container: Container, bundle: Bundle, size: str, words: str
) -> None:
    (bundle.rootfs / "data/file").write_text("text" * 5000)
    (bundle.rootfs / "data/more").mkdir()
    bundle.config["mounts"].append(mount("/data", "tmpfs", "tmpcopyup", size))
    result = container.run("print x")
    assert result.code == 1
    assert words in result.err
    assert "/data" in result.err


@pytest.mark.parametrize("user", [False, True])
@with_peers
@differs(runc=LATER, crun=LATER)
def test_copy_symlink(container: Container, bundle: Bundle, user: bool) -> None:
    """It leads somewhere in the container, be there anything or not. A second time too."""
    (bundle.path / "link").symlink_to("/etc/goal")
    (bundle.path / "dangling").symlink_to("nowhere")
    bundle.file("etc/goal", "inside")
    if user:
        bundle.map_ids()
    bundle.config["mounts"] += [
        bind(bundle.path / "link", "/made/link", "bind", "copy-symlink"),
        bind(bundle.path / "dangling", "/dangling", "bind", "copy-symlink"),
    ]
    for _ in range(2):
        links = container.ask("cat /made/link", "readlink /made/link", "readlink /dangling")
        assert links == ["inside", "/etc/goal", "nowhere"]
        container.delete("--force")


@pytest.mark.pyrun_only("the peers keep it or fail")
def test_copy_symlink_over_something_else(container: Container, bundle: Bundle) -> None:
    (bundle.path / "link").symlink_to("/etc/goal")
    (bundle.rootfs / "link").symlink_to("/etc/other")
    bundle.config["mounts"].append(bind(bundle.path / "link", "/link", "bind", "copy-symlink"))
    result = container.run("print x")
    assert result.code == 1
    assert "file exists" in result.err


def test_copy_symlink_of_a_directory(container: Container, bundle: Bundle) -> None:
    (bundle.path / "source").mkdir()
    (bundle.path / "source/file").write_text("text")
    bundle.config["mounts"].append(bind(bundle.path / "source", "/m", "bind", "copy-symlink"))
    assert container.ask("cat /m/file") == ["text"]


@pytest.mark.parametrize("user", [False, True])
@with_peers
@differs(runc=LATER, crun=LATER)
def test_src_nofollow(container: Container, bundle: Bundle, user: bool) -> None:
    """The link itself is what is bound."""
    (bundle.path / "link").symlink_to("/etc/goal")
    bundle.file("etc/goal", "inside")
    if user:
        bundle.map_ids()
    bundle.config["mounts"].append(bind(bundle.path / "link", "/m", "bind", "src-nofollow"))
    assert container.ask("readlink /m", "cat /m") == ["/etc/goal", "inside"]


@with_peers
@differs(runc=LATER, crun=LATER)
def test_dest_nofollow(container: Container, bundle: Bundle) -> None:
    """The link itself is what is covered."""
    source = bundle.path / "source"
    source.write_text("text")
    (bundle.rootfs / "link").symlink_to("/etc/goal")
    bundle.file("etc/goal", "inside")
    bundle.config["mounts"] += [
        bind(source, "/link", "bind", "dest-nofollow"),
        bind(source, "/new/one", "bind", "dest-nofollow"),
    ]
    answers = container.ask("cat /link", "cat /etc/goal", "cat /new/one")
    assert answers == ["text", "inside", "text"]


@with_peers
@pytest.mark.parametrize(
    ("options", "shown", "gone"),
    [
        (["remount", "ro", "nosuid", "noexec", "nodev"], {"ro", "nosuid", "noexec", "nodev"}, "rw"),
        pytest.param(
            ["bind", "remount", "ro"], {"ro"}, "rw", marks=differs(runc=SOURCE, crun=SOURCE)
        ),
        (["remount", "rw", "size=64k"], {"rw"}, "ro"),
    ],
    ids=str,
)
def test_remount(
    container: Container, bundle: Bundle, options: list[str], shown: set[str], gone: str
) -> None:
    bundle.config["mounts"] += [
        mount("/data", "tmpfs", "size=1m"),
        mount("/data", "tmpfs", *options),
    ]
    found = mounts(container.ask("mounts")[0])["/data"]
    assert found.options >= shown
    assert gone not in found.options
    assert ("size=64k" in found.data) is ("size=64k" in options)


@with_peers
@pytest.mark.parametrize("user", [False, True])
@pytest.mark.parametrize("length", [1, 150])
def test_overlay(container: Container, bundle: Bundle, length: int, user: bool) -> None:
    """Of any number of layers with paths of any length that mount(2) takes."""
    place = bundle.path / "layers"
    place.mkdir()
    if user:
        bundle.map_ids()
    with mounted(place, "-t", "tmpfs", "layers"):
        names = ["a:b", "two", "three", "upper", "work"]
        folders = [place / (name + "x" * length) for name in names]
        for folder in folders:
            folder.mkdir()
            (folder / folder.name[:3]).write_text(folder.name[:3])
            os.chown(folder, 100000 if user else 0, 0)
        (folders[-1] / "wor").unlink()
        lower = ":".join(str(folder).replace(":", "\\:") for folder in folders[:3])
        options = [f"lowerdir={lower}", f"upperdir={folders[3]}", f"workdir={folders[4]}"]
        bundle.config["mounts"].append(mount("/data", "overlay", *options))
        ls, cat, wrote = container.ask("ls /data", "cat /data/a:b", "write /data/new x")
        assert ls.split() == ["a:b", "thr", "two", "upp"]
        assert (cat, wrote) == ("a:b", "ok")
        assert (folders[3] / "new").read_text() == "x"


@differs(crun="1.8 wants a type")
def test_remount_of_proc(container: Container, bundle: Bundle) -> None:
    bundle.config["mounts"].append({"destination": "/proc", "options": ["remount", "ro"]})
    assert "ro" in mounts(container.ask("mounts")[0])["/proc"].options


@differs(runc="1.1 takes it for a mount of no type", crun="1.8 wants a type")
def test_propagation_alone(container: Container, bundle: Bundle) -> None:
    """Of a mount that is there: no type is needed, as with mount(8)."""
    bundle.config["mounts"] += [
        mount("/data", "tmpfs"),
        {"destination": "/data", "options": ["shared"]},
        {"destination": "/", "type": "none", "options": ["unbindable"]},
    ]
    found = mounts(container.ask("mounts")[0])
    assert [tag.partition(":")[0] for tag in found["/data"].tags] == ["shared"]
    assert found["/"].tags == ["unbindable"]


@pytest.mark.pyrun_only("peers follow it")
def test_remount_by_a_link_of_the_image(container: Container, bundle: Bundle) -> None:
    """It would change a mount that the config does not mean."""
    (bundle.rootfs / "link").symlink_to("data")
    bundle.config["mounts"] += [
        mount("/data", "tmpfs", "ro"),
        mount("/link", "none", "remount", "rw"),
    ]
    result = container.run("print x")
    assert result.code == 1
    assert "too many levels of symbolic links" in result.err


@pytest.mark.pyrun_only("the text")
def test_remount_of_no_mount(container: Container, bundle: Bundle) -> None:
    bundle.config["mounts"].append(mount("/data", "none", "remount", "ro"))
    result = container.run("print x")
    assert result.code == 1
    assert "mount_setattr: invalid argument" in result.err


@with_peers
@differs(crun="1.8 finds no way")
@pytest.mark.parametrize("target", ["/run/place", "run/place", "../../run/place"])
def test_a_place_behind_a_link_that_leads_nowhere(
    container: Container, bundle: Bundle, target: str
) -> None:
    """As /var/run with no /run: made in the image, and nowhere else."""
    (bundle.rootfs / "var").symlink_to(target)
    source = bundle.path / "source"
    source.write_text("text")
    bundle.config["mounts"] += [bind(source, "/var/file"), mount("/var/folder", "tmpfs")]
    assert container.ask("cat /run/place/file", "ls /run/place") == ["text", "file\nfolder"]
    assert not Path("/run/place").exists()


@differs(crun="1.8 finds no place for it")
@with_peers
def test_on_the_root(container: Container, bundle: Bundle, tmp_path: Path) -> None:
    """What is mounted on / is the root from then on: of later mounts and of the program."""
    (tmp_path / "mark").write_text("other root")
    for name in ("proc", "dev", "sys", "data"):
        (tmp_path / name).mkdir()
    shutil.copy2(bundle.rootfs / "payload", tmp_path)
    tmp_path.chmod(0o755)
    bundle.config["mounts"].insert(0, bind(tmp_path, "/", "bind", "nosuid"))
    bundle.config["mounts"].append(mount("/data", "tmpfs"))
    mark, table, wrote = container.ask("cat /mark", "mounts", "write /data/new x")
    found = mounts(table)
    assert (mark, wrote) == ("other root", "ok")
    assert "nosuid" in found["/"].options
    assert found["/data"].kind == "tmpfs"
    assert not (bundle.rootfs / "mark").exists()
