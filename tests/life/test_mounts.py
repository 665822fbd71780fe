# SPDX-License-Identifier: Apache-2.0
"""root, mounts, devices, masked and read-only paths: what the container finds, and what of it
reaches the host."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from life.bundles import Bundle, bind, mount
from life.runtimes import Container

with_peers = pytest.mark.with_peers
differs = pytest.mark.differs

PRIVATE = "1.8 makes all mounts of the host private first, and has none of them to follow"
AFTER = "1.1 leaves the root private when its mount on the host is"
KEEPS = "1.8 keeps a flag that a later option takes back"
OVERRIDES = "1.1 gives it the mode of the directory below, whatever the option says"


class Mount:
    """A line of mountinfo: proc_pid_mountinfo(5)."""

    def __init__(self, line: str) -> None:
        before, after = (part.split() for part in line.split(" - "))
        self.root, self.place = before[3], before[4]
        self.options = set(before[5].split(","))
        self.tags = before[6:]
        self.kind, self.source = after[0], after[1]
        self.data = set(after[2].split(","))


def mounts(answer: str) -> dict[str, Mount]:
    """By their places; the uppermost of several at one."""
    found = map(Mount, answer.splitlines())
    return {entry.place: entry for entry in found}


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


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ([], {"rw", "relatime"}),
        (["ro", "nosuid", "nodev", "noexec"], {"ro", "nosuid", "nodev", "noexec"}),
        (["noatime"], {"noatime"}),
        (["strictatime"], {"rw"}),
        (["sync", "dirsync"], {"rw"}),
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


def test_bound_directory(container: Container, bundle: Bundle, source: Path) -> None:
    bundle.config["mounts"].append(bind(source, "/data"))
    assert container.ask("cat /data/file", "write /data/new more") == ["text", "ok"]
    assert (source / "new").read_text() == "more"


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


@pytest.mark.parametrize(
    ("word", "tags"),
    [
        ("private", []),
        ("rprivate", []),
        pytest.param("shared", ["shared"], marks=differs(runc=AFTER)),
        pytest.param("rshared", ["shared"], marks=differs(runc=AFTER)),
        pytest.param("unbindable", ["unbindable"], marks=differs(runc="1.1 cannot bind it then")),
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


def test_dev_of_the_host(container: Container, bundle: Bundle) -> None:
    """A /dev that is bound has what it has: nothing is made in the host's."""
    before = sorted(os.listdir("/dev"))
    bundle.without_mount("/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
    bundle.config["mounts"].append(bind("/dev", "/dev", "rbind"))
    assert container.ask("ls /dev")[0].splitlines() == before
    assert sorted(os.listdir("/dev")) == before


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


@differs(crun="1.8 loses them")
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
