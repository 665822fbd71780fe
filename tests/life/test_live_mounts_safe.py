# SPDX-License-Identifier: Apache-2.0
"""mounts add and remove: what they refuse, and what they never do."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from life.bundles import Bundle, bind, mount
from life.live import Inside, add, init, record, remove, verb, view
from life.runtimes import Container, eventually
from needs import needs

pytestmark = [pytest.mark.pyrun_only("the verb"), needs("root")]


@pytest.fixture
def source(bundle: Bundle) -> Path:
    """A directory to bind, with a file in it."""
    path = bundle.path / "source"
    (path / "below").mkdir(parents=True)
    (path / "file").write_text("text")
    return path


@contextlib.contextmanager
def covered(container: Container, place: str) -> Iterator[None]:
    """Something that somebody else has mounted in the container meanwhile."""

    def in_container(*call: Any) -> None:
        code = f"""
import ctypes, os
libc = ctypes.CDLL(None)
assert libc.setns(os.open("/proc/{init(container)}/ns/mnt", os.O_RDONLY), 0) == 0
assert libc.{call[0]}(*{call[1:]}) == 0
"""
        subprocess.run([sys.executable, "-c", code], check=True)

    in_container("mount", b"tmpfs", place.encode(), b"tmpfs", 0, None)
    yield
    in_container("umount2", place.encode(), 0)


@pytest.mark.parametrize(
    "last",
    [
        bind("/etc", "/etc/a/file"),
        bind("/etc", "/data"),
        mount("/tmp", "tmpfs", "size=1x"),
        mount("/tmp", "nofs"),
    ],
    ids=lambda entry: f"{entry['type']} {entry['destination']}",
)
def test_all_or_nothing(inside: Inside, source: Path, bundle: Bundle, last: Any) -> None:
    before = inside.ask("mounts")
    entries = [
        bind(source / "file", "/data/file"),
        mount("/home", "tmpfs"),
        bind(source, "/home/sub"),
        bind(source / "file", "/etc/a"),
    ]
    if last["destination"] == "/data":
        (bundle.rootfs / "data").rmdir()
        bundle.file("/data", "a file")
        entries = entries[1:]
    result = verb(inside.container, "add", *entries, last)
    assert result.code == 1
    number = len(entries)
    assert result.err.startswith(f"pyrun: mounts[{number}]")
    assert inside.ask("mounts") == before
    assert record(inside.container) == []


def test_links_of_the_container_stay_in_it(inside: Inside, bundle: Bundle, source: Path) -> None:
    outside = bundle.path / "outside"
    outside.mkdir()
    for name in ("link", "home/chain"):
        (bundle.rootfs / name).symlink_to(outside)
    (bundle.rootfs / "up").symlink_to("../../../../../../tmp")
    before = Path("/proc/self/mountinfo").read_text()
    add(inside.container, *(bind(source, place) for place in ("/link/x", "/up/pyrun-y")))
    assert {f"{outside}/x", "/tmp/pyrun-y"} <= inside.mounts().keys()
    assert list(outside.iterdir()) == []
    assert not Path("/tmp/pyrun-y").exists()
    assert Path("/proc/self/mountinfo").read_text() == before


def test_nothing_else_is_ever_removed(container: Container, bundle: Bundle, source: Path) -> None:
    """The container moves its directories about: what is at the place now is none of ours."""
    for name in ("kept", "vol"):
        (bundle.rootfs / name / "d").mkdir(parents=True)
    bundle.config["mounts"].append(mount("/kept/d", "tmpfs", "ro"))
    container.started("sleep 100")
    entry = bind(source, "/vol/d")
    add(container, entry)
    for old, new in (("vol", "gone"), ("kept", "vol")):
        (bundle.rootfs / old).rename(bundle.rootfs / new)
    before = view(container)
    result = verb(container, "remove", entry)
    assert result.code == 1
    assert result.err == (
        f"pyrun: mounts[0] ({source} → /vol/d): check_mount: stale file handle: what is mounted"
        " there is not what `mounts add` has mounted, or nothing is\n"
    )
    assert view(container) == before
    (bundle.rootfs / "vol").rename(bundle.rootfs / "kept")
    (bundle.rootfs / "gone").rename(bundle.rootfs / "vol")
    remove(container, entry)


def test_none_is_removed_unless_all_are(inside: Inside, source: Path) -> None:
    entries = [bind(source, "/data"), bind(source, "/home")]
    add(inside.container, *entries)
    before = inside.ask("mounts")
    result = verb(inside.container, "remove", *entries, bind(source, "/tmp"))
    assert (result.code, result.err) == (
        1,
        "pyrun: - /2/destination: nothing was mounted at /tmp by `mounts add`\n",
    )
    with covered(inside.container, "/home"):
        result = verb(inside.container, "remove", *entries)
    assert result.code == 1
    assert f"mounts[1] ({source} → /home): check_mount: stale file handle" in result.err
    assert inside.ask("mounts") == before
    remove(inside.container, *entries)


def test_twice_at_one_place(inside: Inside, source: Path) -> None:
    add(inside.container, mount("/data", "tmpfs"))
    add(inside.container, bind(source, "/data"))
    assert inside.ask("ls /data").split() == ["below", "file"]
    remove(inside.container, bind(source, "/data"))
    assert inside.mounts()["/data"].kind == "tmpfs"
    remove(inside.container, mount("/data", "tmpfs"))
    assert "/data" not in inside.mounts()


@pytest.mark.parametrize("paused", [False, True])
def test_not_started_or_paused(container: Container, source: Path, paused: bool) -> None:
    container.created("cat /data/file")
    if paused:
        assert container.runtime("pause", container.id).code == 0
    add(container, bind(source, "/data"))
    if paused:
        assert container.runtime("resume", container.id).code == 0
    assert container.start().code == 0
    assert eventually(lambda: container.answers() == ["text"])
    container.wait()
    assert container.delete().code == 0


def test_without_pivot(container: Container, bundle: Bundle, source: Path) -> None:
    """The root of its mount namespace is the host's then, the container's is another."""
    inside = Inside(container, "--no-pivot")
    inside.ask("print up")
    before = Path("/proc/self/mountinfo").read_text()
    add(container, bind(source, "/data"))
    assert inside.ask("cat /data/file") == "text"
    remove(container, bind(source, "/data"))
    assert inside.ask("ls /data") == ""
    assert Path("/proc/self/mountinfo").read_text() == before
    inside.end()


def test_without_a_mount_namespace(container: Container, bundle: Bundle, source: Path) -> None:
    bundle.namespaces("pid", "uts")
    bundle.config["mounts"] = []
    container.started("sleep 100")
    result = verb(container, "add", bind(source, "/data"))
    assert result.code == 1
    assert "has no mount namespace of its own: what is mounted would be mounted on" in result.err


def test_stopped_and_unknown(container: Container, source: Path) -> None:
    result = verb(container, "add", bind(source, "/data"))
    assert (result.code, result.err) == (1, f"pyrun: container does not exist: {container.id}\n")
    container.started("print x")
    container.wait()
    for action in ("add", "remove"):
        result = verb(container, action, bind(source, "/data"))
        assert (result.code, result.err) == (1, "pyrun: container not running\n")


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"source": "/x"}, "/0/destination: is required"),
        (bind("/nope", "/data"), "/0/source: bind source /nope: no such file or directory"),
        (mount("/data", "bind"), "/0/type: type bind is no file system: for a bind mount, add"),
        (mount("/data", "tmpfs", "rro"), "/0/options/0: the mount option 'rro' is for bind mounts"),
        (mount("/", "tmpfs"), "/0/destination: / of a running container is not to be covered"),
        (mount("/proc", "proc"), "/0/destination: /proc of a running container is not to be cov"),
        (mount("/x", "cgroup"), "/0/type: cgroups are mounted when the container is created"),
        (bind("/etc", "/proc/1"), "/0/destination: mounts at /proc/1 are refused: below /proc"),
        (mount("/proc", "proc", "remount"), "/0/options: a change of a mount that is there is not"),
    ],
    ids=str,
)
def test_words(container: Container, entry: Any, text: str) -> None:
    container.created("sleep 100")
    before = view(container)
    result = verb(container, "add", entry)
    assert result.code == 1
    assert text in result.err
    assert result.err.startswith("pyrun: - ") or result.err.startswith("pyrun: -: ")
    assert view(container) == before


def test_words_of_the_command_line(container: Container, bundle: Bundle) -> None:
    container.created("sleep 100")
    for words, text in (
        (("list", container.id, "-"), "mounts: 'list' is neither add nor remove\n"),
        (("add", container.id, "/nope"), "read /nope: no such file or directory\n"),
        (("add", container.id), "mounts: FILE is missing\n"),
    ):
        result = container.runtime("mounts", *words)
        assert result.code == 1
        assert result.err.startswith(f"pyrun: {text}")
    result = container.runtime("mounts", "add", container.id, "-", stdin='{"a": 1}')
    assert result.code == 1
    assert result.err.startswith("pyrun: -: must hold a JSON array of mounts, not an object")
