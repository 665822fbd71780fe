# SPDX-License-Identifier: Apache-2.0
"""A root made of layers: containers that share a rootfs, each with what it wrote for itself."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from life.bundles import Bundle
from life.mountinfo import mounts
from life.runtimes import Container, eventually

pytestmark = pytest.mark.pyrun_only("no peer makes a root of layers")

UPPERS = pytest.mark.parametrize("upper", ["dir", "tmpfs", "tmpfs:1m"])
USERS = pytest.mark.parametrize("mapped", [False, True], ids=["", "userns"])
FS_IOC_SETFLAGS, FS_IMMUTABLE_FL = 0x40086602, 0x10


def tree(folder: Path) -> dict[str, str]:
    """Every file and directory, with mode, owner and, of a file, the text."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            known = path.lstat()
            text = path.read_text() if stat.S_ISREG(known.st_mode) and name != "payload" else ""
            found[str(path)] = f"{known.st_mode:o} {known.st_uid} {text}"
    return found


def annotate(bundle: Bundle, **values: str) -> None:
    """Annotations by what follows org.pyrun.rootfs, with _ for a dot."""
    notes = {f"org.pyrun.rootfs.{key.replace('_', '.')}": text for key, text in values.items()}
    bundle.config["annotations"] = notes


@pytest.fixture
def overlays_allowed(allow: Callable[..., None]) -> None:
    """Root allows annotations to name layers."""
    allow("org.pyrun.rootfs.overlay")


def layer(bundle: Bundle, name: str, **files: str) -> Path:
    """A directory of the bundle with these files."""
    path = bundle.path / name
    path.mkdir()
    for file, text in files.items():
        (path / file).write_text(text)
    return path


def place(container: Container) -> Path:
    return container.runtime.root / container.id / "overlay"


@UPPERS
@USERS
def test_nothing_reaches_the_rootfs(
    container: Container, bundle: Bundle, upper: str, mapped: bool
) -> None:
    bundle.file("/etc/old", "old")
    bundle.file("/etc/gone", "gone")
    if mapped:
        bundle.map_ids()
        for path in (bundle.rootfs / "etc").iterdir():
            os.chown(path, 100000, 100000)
    before = tree(bundle.rootfs)
    answers = container.ask(
        "write /etc/old er", "cat /etc/old", "write /new x", "remove /etc/gone", "ls /etc",
        "mkdir /data/sub", "stat /new", "stat /",
        "remove /home/user", "mkdir /home/user", "ls /home/user",
        flags=["--ephemeral", "--overlay-upper", upper],
    )  # fmt: skip
    assert answers[:6] == ["ok", "older", "ok", "ok", "old", "ok"]
    assert answers[6].split()[2:4] == ["0", "0"]
    assert answers[7].split()[:4] == ["d", "0755", "0", "0"]
    assert answers[8:] == ["ok", "ok", ""]
    assert tree(bundle.rootfs) == before
    assert list(container.runtime.root.glob("*")) == []


@UPPERS
def test_two_containers_share_a_rootfs(
    container: Container, make_container: Callable[[], Container], upper: str
) -> None:
    """At once: each sees only its own changes, and nothing is left of them."""
    shared = container.bundle.rootfs
    shared_file = shared / "etc/shared"
    shared_file.write_text("shared ")
    other = make_container()
    other.bundle.config["root"]["path"] = str(shared)
    for each in (container, other):
        annotate(each.bundle, ephemeral="true", overlay_upper=upper)
        name = f"/etc/{each.id}"
        each.created(f"write /etc/shared {each.id}", f"write {name} x", "ls /etc", "sleep 100")
    before = tree(shared)
    for each in (container, other):
        assert each.start().code == 0
    for each in (container, other):
        assert eventually(lambda each=each: len(each.answers()) == 3)
        assert each.answers() == ["ok", "ok", f"{each.id}\nshared"]
        inside = Path(f"/proc/{each.pid}/root/etc/shared")
        assert inside.read_text() == f"shared {each.id}"
    assert tree(shared) == before
    assert container.delete("--force").code == 0
    assert Path(f"/proc/{other.pid}/root/etc/shared").read_text() == f"shared {other.id}"


@USERS
@pytest.mark.usefixtures("overlays_allowed")
def test_order_of_layers(container: Container, bundle: Bundle, mapped: bool) -> None:
    """The topmost first, root.path last; a whiteout in one hides what is below, not above."""
    bundle.file("/f", "root")
    bundle.file("/root-only", "root")
    bundle.file("/hidden", "root")
    layer(bundle, "top", f="top")
    middle = layer(bundle, "with:colon", f="middle", **{"middle-only": "middle"})
    os.mknod(middle / "hidden", stat.S_IFCHR, os.makedev(0, 0))
    absolute = layer(bundle, "back\\slash,comma", f="absolute", hidden="absolute")
    for path in (absolute, middle):
        path.chmod(0o755)
    if mapped:
        bundle.map_ids()
    names = ["top", "with\\:colon", str(absolute).replace("\\", "\\\\")]
    annotate(bundle, overlay=":".join(names))
    verbs = ["cat /f", "cat /middle-only", "cat /root-only", "stat /hidden"]
    assert container.ask(*verbs) == ["top", "middle", "root", "error: ENOENT"]
    before = tree(bundle.path)
    flags = ["--overlay", ":".join([names[2], names[1]])]  # wins over the annotation
    found = container.ask("cat /f", "cat /hidden", "write /f x", flags=flags)
    assert found[:2] == ["absolute", "absolute"]
    after = tree(bundle.path)
    del before[str(bundle.path / "config.json")], after[str(bundle.path / "config.json")]
    assert after == before


@pytest.mark.usefixtures("overlays_allowed")
def test_eighty_layers(container: Container, bundle: Bundle) -> None:
    for number in range(80):
        layer(bundle, f"layer-{number}", **{f"f{number}": "", "all": str(number)})
    annotate(bundle, overlay=":".join(f"layer-{number}" for number in range(80)))
    all_, first, last = container.ask("cat /all", "stat /f0", "stat /f79")
    assert all_ == "0"
    assert [first[0], last[0]] == ["-", "-"]


def test_lowers_on_a_readonly_mount(container: Container, bundle: Bundle) -> None:
    """An image on a mount that nobody may write to."""
    image = bundle.path / "image"
    bundle.rootfs.rename(image)
    bundle.rootfs.mkdir()
    mount = ["mount", "--bind", "-o", "ro", image, bundle.rootfs]
    subprocess.run(mount, check=True)
    try:
        assert container.ask("write /x y", "cat /x", flags=["--ephemeral"]) == ["ok", "y"]
    finally:
        subprocess.run(["umount", bundle.rootfs], check=True)
    assert not (image / "x").exists()


@USERS
def test_readonly_root(container: Container, bundle: Bundle, mapped: bool) -> None:
    """Mount points and nodes are made all the same: in the container's own layer."""
    if mapped:
        bundle.map_ids()
    bundle.config["root"]["readonly"] = True
    bundle.linux["maskedPaths"] = ["/data"]
    bundle.config["mounts"].append({"destination": "/new/place", "type": "tmpfs"})
    answers = container.ask(
        "write /x y", "stat /new/place", "write /new/place/x y", "ls /data", flags=["--ephemeral"]
    )
    assert (answers[0], answers[1][0], answers[2:]) == ("error: EROFS", "d", ["ok", ""])
    assert not (bundle.rootfs / "new").exists()


def test_the_root_tells_nothing_of_the_host(container: Container, bundle: Bundle) -> None:
    layer(bundle, "over", f="")
    text = container.ask("mounts", flags=["--overlay", "over", "--overlay-upper", "tmpfs"])[0]
    assert mounts(text)["/"].kind == "overlay"
    assert str(bundle.path) not in text
    assert str(container.runtime.root) not in text


@pytest.mark.parametrize("word", ["shared", "rslave", "private", "unbindable"])
@pytest.mark.parametrize("upper", ["dir", "tmpfs"])
def test_the_host_sees_no_mount(
    container: Container, bundle: Bundle, word: str, upper: str
) -> None:
    """Where the host's mounts are shared with the container's, too."""
    root = container.runtime.root
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", root], check=True)
    subprocess.run(["mount", "--make-rshared", "/"], check=True)
    bundle.linux["rootfsPropagation"] = word
    try:
        before = Path("/proc/self/mountinfo").read_text()
        container.created("sleep 100", flags=["--ephemeral", "--overlay-upper", upper])
        assert Path("/proc/self/mountinfo").read_text() == before
        container.delete("--force")
        assert Path("/proc/self/mountinfo").read_text() == before
    finally:
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        subprocess.run(["umount", "--lazy", root], check=True)


def test_size_of_a_tmpfs(container: Container) -> None:
    flags = ["--ephemeral", "--overlay-upper", "tmpfs:4k"]
    found = container.ask("write /a x", "write /b x", flags=flags)
    assert found == ["ok", "error: ENOSPC"]


def test_hooks_find_the_root(container: Container, bundle: Bundle) -> None:
    """At the path that their state has, in the container's mount namespace."""
    script = bundle.path / "hook"
    out = bundle.path / "hook.out"
    root = bundle.rootfs
    script.write_text(f"#!/bin/sh\nstat -f -c %T {root} > {out}\necho x > {root}/x\n")
    script.chmod(0o755)
    bundle.config["hooks"] = {"createContainer": [{"path": str(script)}]}
    assert container.ask("cat /x", flags=["--ephemeral"]) == ["x"]
    assert out.read_text() == "overlayfs\n"
    assert not (bundle.rootfs / "x").exists()


def test_state_has_the_rootfs(container: Container, bundle: Bundle) -> None:
    container.created("sleep 100", flags=["--ephemeral"])
    assert container.state()["rootfs"] == str(bundle.rootfs)


@USERS
def test_delete_leaves_nothing(container: Container, bundle: Bundle, mapped: bool) -> None:
    """Whatever the container has written: names, depth, modes, links, flags."""
    if mapped:
        bundle.map_ids()
    container.created("sleep 100", flags=["--ephemeral"])
    upper = place(container) / "top/upper"
    outside = layer(bundle, "outside", kept="kept")
    deep = os.open(upper, os.O_RDONLY)
    for _ in range(3000):  # longer than any path
        os.mkdir("deeper" * 20, 0, dir_fd=deep)
        below = os.open("deeper" * 20, os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = below
    os.close(deep)
    for name in (b"new\nline", b"not utf-8 \xff", b"-rf", b" ", b"\\", b"*", b"1", b"2"):
        folder = os.fsencode(upper) + b"/" + name
        os.mkdir(folder)
        for inner in (b"1", b"2", b"new\nline"):
            os.mkdir(folder + b"/" + inner)
            Path(os.fsdecode(folder + b"/" + inner + b"/file")).write_text("")
    os.symlink(outside, upper / "link")
    os.symlink(outside, upper / "1/link")
    os.link(outside / "kept", upper / "1/hard")
    os.mkfifo(upper / "fifo")
    os.mknod(upper / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    for name in ("1", "2/2/file", "2/2", "fifo"):
        os.chmod(upper / name, 0)
        os.chown(upper / name, 123456, 123456)
    for name in ("*/1/file", "*/1", "2"):
        subprocess.run(["chattr", "+i", upper / name], check=True)
    subprocess.run(["chattr", "+a", upper / " "], check=True)
    assert container.delete("--force").code == 0
    assert list(container.runtime.root.glob("*")) == []
    assert (outside / "kept").read_text() == "kept"


def test_delete_of_a_stopped_one(container: Container) -> None:
    """Without --force it is the launcher's verb, which leaves it to Python."""
    container.started("mkdir /data/sub", "write /data/sub/x y", flags=["--ephemeral"])
    container.wait()
    assert (place(container) / "top/upper/data/sub/x").read_text() == "y"
    assert container.delete() == (0, "", "")
    assert list(container.runtime.root.glob("*")) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--overlay", "none"], "--overlay: layer none: no such file or directory"),
        (["--overlay", "config.json"], "layer config.json: not a directory"),
        (["--overlay", "a/../../b"], "leads out of the bundle"),
        (["--overlay", "a::b"], "names an empty path"),
        (["--overlay", "rootfs"], "a layer is named twice, or lies in another"),
        (["--overlay", "rootfs/etc"], "a layer is named twice, or lies in another"),
        (["--overlay-upper", "dir"], "needs --ephemeral or --overlay"),
        (["--ephemeral", "--overlay-upper", "disk"], "must be dir, tmpfs, or tmpfs:SIZE"),
    ],
)
def test_flags_that_make_no_sense(container: Container, words: list[str], message: str) -> None:
    result = container.run("print x", flags=words)
    assert result.code == 1
    assert message in result.err
    assert list(container.runtime.root.glob("*")) == []


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        ("", "names no layer"),
        ("../x", "leads out of the bundle"),
        ("/nowhere", "layer /nowhere: no such file or directory"),
    ],
)
@pytest.mark.usefixtures("overlays_allowed")
def test_annotations_that_make_no_sense(
    container: Container, bundle: Bundle, overlay: str, message: str
) -> None:
    annotate(bundle, overlay=overlay)
    result = container.run("print x")
    assert result.code == 1
    assert "/annotations/org.pyrun.rootfs.overlay" in result.err
    assert message in result.err


@USERS
def test_state_folder_that_takes_no_upper_layer(
    container: Container, bundle: Bundle, mapped: bool
) -> None:
    """As in a container whose root is an overlay: what to do is said, and helps."""
    if mapped:
        bundle.map_ids()
    folders = [layer(bundle, name) for name in ("low", "up", "work", "mount")]
    low, up, work, here = folders
    data = f"lowerdir={low},upperdir={up},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", data, here], check=True)
    try:
        container.runtime.root, root = here / "state", container.runtime.root
        result = container.run("write /x y", flags=["--ephemeral"])
        assert result.code == 1
        assert "it is on overlay, which can't hold a writable layer" in result.err
        assert "--overlay-upper tmpfs" in result.err
        tmpfs = ["--ephemeral", "--overlay-upper", "tmpfs"]
        assert container.ask("write /x y", flags=tmpfs) == ["ok"]
    finally:
        container.runtime.root = root
        subprocess.run(["umount", here], check=True)
