# SPDX-License-Identifier: Apache-2.0
"""mounts: what the container finds, and what of it reaches the host."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from life.bundles import Bundle, bind, mount
from life.mountinfo import mounts
from life.runtimes import Container

pytestmark = pytest.mark.warmed
with_peers = pytest.mark.with_peers
differs = pytest.mark.differs

PRIVATE = "1.8 makes all mounts of the host private first, and has none of them to follow"
LACKS = "it came later"
TIMES = "1.8 clears no old access time first, as the kernel wants it"
AFTER = "1.1 leaves the root private when its mount on the host is"
KEEPS = "1.8 keeps a flag that a later option takes back"
OVERRIDES = "1.1 gives it the mode of the directory below, whatever the option says"


@contextlib.contextmanager
def mounted(place: Path, *how: str) -> Iterator[None]:
    """A mount of the host."""
    subprocess.run(["mount", *how, place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-R", place], check=True)


@pytest.fixture
def source(bundle: Bundle) -> Path:
    """A directory to bind, with a file in it."""
    path = bundle.path / "source"
    (path / "below").mkdir(parents=True)
    (path / "file").write_text("text")
    return path


@pytest.fixture
def submount(source: Path) -> Iterator[Path]:
    """A mount of the host below the source."""
    place = source / "below"
    with mounted(place, "-t", "tmpfs", "below"):
        (place / "deep").write_text("deep")
        yield place


@with_peers
@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["ro"], {"ro"}),
        (["rw"], {"rw"}),
        (["nosuid", "nodev", "noexec"], {"nosuid", "nodev", "noexec", "rw"}),
        (["noatime"], {"noatime"}),
        (["nodiratime"], {"nodiratime"}),
        (["relatime"], {"relatime"}),
        pytest.param(["ro", "rw"], {"rw"}, marks=differs(crun=KEEPS)),
        pytest.param(
            ["nosuid", "suid", "nodev", "dev", "noexec", "exec"], {"rw"}, marks=differs(crun=KEEPS)
        ),
    ],
    ids=str,
)
def test_options_of_a_bind(
    container: Container, bundle: Bundle, source: Path, options: list[str], shown: set[str]
) -> None:
    bundle.config["mounts"].append(bind(source, "/data", "bind", *options))
    found = mounts(container.ask("mounts")[0])["/data"]
    flags = {"ro", "rw", "nosuid", "nodev", "noexec", "noatime", "nodiratime"}
    assert found.options & (flags | shown) - {"relatime"} >= shown - {"relatime"}
    if "rw" in shown and "ro" not in shown:
        assert not found.options & {"ro", "nosuid", "nodev", "noexec"} - shown


@with_peers
@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ([], {"rw", "relatime"}),
        (["ro", "nosuid", "nodev", "noexec"], {"ro", "nosuid", "nodev", "noexec"}),
        (["noatime"], {"noatime"}),
        (["strictatime"], {"rw"}),
        (["sync", "dirsync"], {"rw"}),
        pytest.param(["lazytime", "iversion", "silent"], {"rw"}, marks=differs(crun=LACKS)),
        pytest.param(["nosymfollow"], {"nosymfollow"}, marks=differs(crun=LACKS)),
        pytest.param(["defaults"], {"rw"}, marks=differs(runc="1.1 hands it to the kernel")),
    ],
    ids=str,
)
def test_options_of_a_tmpfs(
    container: Container, bundle: Bundle, options: list[str], shown: set[str]
) -> None:
    bundle.config["mounts"].append(mount("/data", "tmpfs", *options))
    found = mounts(container.ask("mounts")[0])["/data"]
    assert found.options >= shown
    if "strictatime" in options:
        assert not found.options & {"relatime", "noatime"}
    if "sync" in options:
        assert found.data >= {"sync", "dirsync"}
    if "lazytime" in options:
        assert "lazytime" in found.data


def test_bound_directory(container: Container, bundle: Bundle, source: Path) -> None:
    bundle.config["mounts"].append(bind(source, "/data"))
    assert container.ask("cat /data/file", "write /data/new more") == ["text", "ok"]
    assert (source / "new").read_text() == "more"


@with_peers
def test_bound_file(container: Container, bundle: Bundle, source: Path) -> None:
    bundle.config["mounts"].append(bind(source / "file", "/etc/made/here", "bind", "ro"))
    cat, write = container.ask("cat /etc/made/here", "write /etc/made/here x")
    assert (cat, write) == ("text", "error: EROFS")
    assert (bundle.rootfs / "etc/made/here").stat().st_size == 0


@pytest.mark.parametrize("kind", ["socket", "device", "fifo"])
def test_bound_special_file(container: Container, bundle: Bundle, source: Path, kind: str) -> None:
    path = source / kind
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path = Path("/dev/null")
    bundle.config["mounts"].append(bind(path, "/run/special"))
    letter = {"socket": "s", "fifo": "p", "device": "c"}[kind]
    assert container.ask("stat /run/special")[0][0] == letter


@with_peers
def test_relative_source(container: Container, bundle: Bundle, source: Path) -> None:
    """Relative to the bundle."""
    bundle.config["mounts"].append(bind("source/file", "/etc/bound"))
    assert container.ask("cat /etc/bound") == ["text"]


def test_source_by_a_link(container: Container, bundle: Bundle, source: Path) -> None:
    (bundle.path / "way").symlink_to(source)
    bundle.config["mounts"].append(bind(bundle.path / "way", "/data"))
    assert container.ask("cat /data/file") == ["text"]


@pytest.mark.parametrize("option", ["bind", "rbind"])
def test_mounts_below_the_source(
    container: Container, bundle: Bundle, source: Path, submount: Path, option: str
) -> None:
    bundle.config["mounts"].append(bind(source, "/data", option))
    deep = container.ask("cat /data/below/deep")[0]
    assert deep == ("deep" if option == "rbind" else "error: ENOENT")


def test_readonly_is_not_recursive(
    container: Container, bundle: Bundle, source: Path, submount: Path
) -> None:
    bundle.config["mounts"].append(bind(source, "/data", "rbind", "ro"))
    assert container.ask("write /data/below/x y", "write /data/x y") == ["ok", "error: EROFS"]


@with_peers
@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["rro"], {"ro"}),
        (["rnosuid", "rnodev", "rnoexec"], {"nosuid", "nodev", "noexec"}),
        pytest.param(
            ["rnodiratime", "rnoatime"], {"nodiratime", "noatime"}, marks=differs(crun=TIMES)
        ),
        pytest.param(["ro", "rrw"], {"rw"}, marks=differs(crun=KEEPS)),
        pytest.param(["rnosymfollow"], {"nosymfollow"}, marks=differs(crun=LACKS)),
    ],
    ids=str,
)
def test_recursive_attributes(
    container: Container,
    bundle: Bundle,
    source: Path,
    submount: Path,
    options: list[str],
    shown: set[str],
) -> None:
    bundle.config["mounts"].append(bind(source, "/data", "rbind", *options))
    found = mounts(container.ask("mounts")[0])
    assert found["/data"].options >= shown
    assert found["/data/below"].options >= shown


@with_peers
@differs(crun=LACKS)
def test_a_mount_where_links_are_not_followed(
    container: Container, bundle: Bundle, source: Path
) -> None:
    (source / "link").symlink_to("file")
    bundle.config["mounts"].append(bind(source, "/data", "bind", "nosymfollow"))
    assert container.ask("cat /data/link", "cat /data/file") == ["error: ELOOP", "text"]


@pytest.mark.pyrun_only("the peers pass it over")
def test_recursive_attributes_are_for_binds(container: Container, bundle: Bundle) -> None:
    bundle.config["mounts"].append(mount("/data", "tmpfs", "rro"))
    result = container.run("print x")
    assert result.code == 1
    assert "'rro' is for bind mounts" in result.err


@with_peers
def test_missing_places_are_made(container: Container, bundle: Bundle, source: Path) -> None:
    bundle.config["mounts"] += [
        mount("/one/two/three", "tmpfs"),
        bind(source / "file", "/one/two/file"),
    ]
    kinds = container.ask("stat /one/two/three", "stat /one/two/file")
    assert [kind[0] for kind in kinds] == ["d", "-"]
    assert (bundle.rootfs / "one/two").stat().st_mode & 0o777 == 0o755


@with_peers
def test_order(container: Container, bundle: Bundle, source: Path) -> None:
    """As listed: a later one goes over, or into, an earlier one."""
    bundle.config["mounts"] += [
        mount("/data", "tmpfs"),
        bind(source, "/data/in"),
        mount("/data/in/below", "tmpfs"),
        bind(source / "file", "/data/in/below/file"),
    ]
    ls, cat, deep = container.ask("ls /data", "cat /data/in/file", "cat /data/in/below/file")
    assert (ls, cat, deep) == ("in", "text", "text")


@with_peers
def test_place_by_links_stays_in_the_root(
    container: Container, bundle: Bundle, source: Path
) -> None:
    (bundle.rootfs / "way").symlink_to("/../../../../data")
    (bundle.rootfs / "up").symlink_to("../../../../..")
    bundle.config["mounts"] += [bind(source, "/way"), mount("/up/fresh", "tmpfs")]
    assert container.ask("cat /data/file", "ls /fresh") == ["text", ""]
    assert not Path("/fresh").exists()


@pytest.mark.parametrize(
    ("options", "mode"),
    [
        pytest.param(["mode=0700"], "0700", marks=differs(runc=OVERRIDES)),
        pytest.param(["mode=1777", "size=4k"], "1777", marks=differs(runc=OVERRIDES)),
        pytest.param([], "0751", marks=differs(crun="1.8 gives it the kernel's 1777")),
    ],
    ids=str,
)
def test_mode_of_a_tmpfs(
    container: Container, bundle: Bundle, options: list[str], mode: str
) -> None:
    """Without one: that of the directory below."""
    (bundle.rootfs / "data").chmod(0o751)
    bundle.config["mounts"].append(mount("/data", "tmpfs", *options))
    assert container.ask("stat /data")[0].split()[1] == mode


def test_readonly_tmpfs_takes_later_mounts(
    container: Container, bundle: Bundle, source: Path
) -> None:
    bundle.config["mounts"] += [mount("/data", "tmpfs", "ro"), bind(source / "file", "/data/f")]
    assert container.ask("cat /data/f", "write /data/x y") == ["text", "error: EROFS"]


@with_peers
@pytest.mark.parametrize(
    ("option", "tags"),
    [
        ("private", []),
        ("rprivate", []),
        pytest.param("shared", ["shared", "master"], marks=differs(crun=PRIVATE)),
        pytest.param("rslave", ["master"], marks=differs(crun=PRIVATE)),
    ],
)
def test_propagation_of_a_mount(
    container: Container,
    bundle: Bundle,
    source: Path,
    option: str,
    tags: list[str],
) -> None:
    with mounted(source, "-t", "tmpfs", "--make-shared", "shared"):
        bundle.config["mounts"].append(bind(source, "/data", "rbind", option))
        found = mounts(container.ask("mounts")[0])["/data"]
    assert [tag.split(":")[0] for tag in found.tags] == tags


@with_peers
@pytest.mark.parametrize(
    ("word", "tags"),
    [
        ("private", []),
        ("rprivate", []),
        pytest.param("shared", ["shared"], marks=differs(runc=AFTER)),
        pytest.param("rshared", ["shared"], marks=differs(runc=AFTER)),
        pytest.param("unbindable", ["unbindable"], marks=differs(runc="1.1 cannot bind it then")),
        pytest.param("runbindable", ["unbindable"], marks=differs(runc="1.1 cannot bind it then")),
        ("slave", []),  # of nobody: the host's mount is private here
        ("rslave", []),
    ],
)
def test_propagation_of_the_root(
    container: Container, bundle: Bundle, word: str, tags: list[str]
) -> None:
    bundle.linux["rootfsPropagation"] = word
    found = mounts(container.ask("mounts")[0])["/"]
    assert [tag.split(":")[0] for tag in found.tags] == tags


@pytest.mark.parametrize("word", [None, "private", "slave", "rslave", "shared", "rshared"])
def test_the_host_sees_none_of_it(container: Container, bundle: Bundle, word: str | None) -> None:
    """Also where the host's mounts are shared, as systemd makes them: the check for leftovers
    compares the host's mounts."""
    with mounted(bundle.path, "--bind", str(bundle.path)):
        subprocess.run(["mount", "--make-rshared", bundle.path], check=True)
        if word:
            bundle.linux["rootfsPropagation"] = word
        before = Path("/proc/self/mountinfo").read_text()
        container.started("mount-tmpfs /data", "sleep 100")
        assert Path("/proc/self/mountinfo").read_text() == before
        container.delete("--force")
        assert Path("/proc/self/mountinfo").read_text() == before


@with_peers
def test_missing_source(container: Container, bundle: Bundle) -> None:
    bundle.config["mounts"].append(bind("/not/there", "/data"))
    result = container.run("print x")
    assert result.code == 1
    assert "no such file or directory" in result.err.lower()
    assert "/not/there" in result.err


def test_file_over_a_directory(container: Container, bundle: Bundle, source: Path) -> None:
    bundle.config["mounts"].append(bind(source / "file", "/data"))
    result = container.run("print x")
    assert result.code == 1
    assert "not a directory" in result.err.lower() or "is a directory" in result.err.lower()


@pytest.mark.pyrun_only("the text")
def test_unknown_file_system(container: Container, bundle: Bundle) -> None:
    bundle.config["mounts"].append(mount("/data", "nosuchfs"))
    result = container.run("print x")
    assert result.code == 1
    assert "no such device" in result.err
    assert "/data" in result.err


@with_peers
@differs(crun="1.8 mounts v1 hierarchies writable")
def test_cgroup_mount(container: Container, bundle: Bundle) -> None:
    """The container's own cgroup, and nothing to write in it."""
    closed = ["nosuid", "noexec", "nodev", "relatime", "ro"]
    bundle.config["mounts"].append(mount("/sys/fs/cgroup", "cgroup", *closed))
    answers = container.ask("ls /sys/fs/cgroup", "mkdir /sys/fs/cgroup/x", "cat /proc/self/cgroup")
    assert answers[0]
    assert answers[1] in ("error: EROFS", "error: EACCES")  # of the folder, or the v1 tmpfs
    assert all(line.endswith(":/") or ":/../" in line for line in answers[2].splitlines())


@pytest.mark.pyrun_only("runc 1.1 leaves mounts on the host")
def test_without_a_mount_namespace(container: Container, bundle: Bundle) -> None:
    """A plain chroot: the host's mounts are left alone."""
    bundle.namespaces("pid", "uts")
    bundle.config["mounts"] = []
    assert container.ask("ls /")[0].splitlines() == sorted(os.listdir(bundle.rootfs))
