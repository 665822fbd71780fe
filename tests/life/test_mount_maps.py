# SPDX-License-Identifier: Apache-2.0
"""idmap, ridmap, uidMappings and gidMappings of mounts: whose the files are in the container."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from life.bundles import Bundle, bind, mount
from life.runtimes import Container
from life.test_mounts import mounted
from needs import needs

with_peers = pytest.mark.with_peers
differs = pytest.mark.differs
pytestmark = needs("userns")

OLD = "came with 1.2"
NOBODY = 65534  # who owns what the container has no id for


def ids(*extents: tuple[int, int, int]) -> list[dict[str, int]]:
    return [{"containerID": a, "hostID": b, "size": c} for a, b, c in extents]


def maps(uid: int, gid: int, size: int = 65536) -> dict[str, Any]:
    return {"uidMappings": ids((0, uid, size)), "gidMappings": ids((0, gid, size))}


@pytest.fixture
def source(bundle: Bundle) -> Iterator[Path]:
    """A directory on a file system that can be id-mapped, with a mount below it."""
    place = bundle.path / "source"
    place.mkdir()
    with mounted(place, "-t", "tmpfs", "source"):
        (place / "file").write_text("text")
        os.chown(place / "file", 5, 6)
        (place / "below").mkdir()
        with mounted(place / "below", "-t", "tmpfs", "below"):
            (place / "below/deep").write_text("deep")
            os.chown(place / "below/deep", 5, 6)
            yield place


def owner(answer: str) -> tuple[int, int]:
    """Of an answer to `stat`."""
    uid, gid = answer.split()[2:4]
    return int(uid), int(gid)


@with_peers
@differs(runc=OLD)
def test_maps_of_the_mount(container: Container, bundle: Bundle, source: Path) -> None:
    """uidMappings, gidMappings, each with containerID, hostID and size; both ways."""
    bundle.config["mounts"].append({**bind(source, "/data", "bind", "idmap"), **maps(1000, 2000)})
    found, made, wrote = container.ask("stat /data/file", "stat /data", "write /data/new x")
    assert owner(found) == (1005, 2006)
    assert owner(made) == (1000, 2000)
    assert wrote == "error: EOVERFLOW"  # root is nobody there


@with_peers
@differs(runc=OLD)
def test_maps_of_the_container(container: Container, bundle: Bundle, source: Path) -> None:
    """Who is root in the container is root in the mount, and on the host's disk."""
    bundle.map_ids()
    bundle.config["mounts"].append(bind(source, "/data", "bind", "idmap"))
    found, wrote = container.ask("stat /data/file", "write /data/new x")
    assert owner(found) == (5, 6)
    assert wrote == "ok"
    assert (source / "new").stat().st_uid == 0


@with_peers
@differs(runc=OLD)
def test_inline(container: Container, bundle: Bundle, source: Path) -> None:
    text = "idmap=uids=0-1000-5#5-3000-1;gids=0-2000-10"
    bundle.config["mounts"].append(bind(source, "/data", "bind", text))
    found, top = container.ask("stat /data/file", "stat /data")
    assert (owner(found), owner(top)) == ((3000, 2006), (1000, 2000))


@with_peers
@differs(runc=OLD)
def test_inline_and_relative(container: Container, bundle: Bundle, source: Path) -> None:
    """@: ids of the container; without it, of the host."""
    bundle.map_ids()
    option = "idmap=uids=@5-0-1#0-7-1;gids=@6-1-1#0-100000-1"
    bundle.config["mounts"].append(bind(source, "/data", "bind", option))
    found, top = container.ask("stat /data/file", "stat /data")
    assert (owner(found), owner(top)) == ((0, 1), (NOBODY, 0))


@pytest.mark.parametrize(("option", "deep"), [("idmap", (5, 6)), ("ridmap", (1005, 2006))])
def test_depth(
    container: Container, bundle: Bundle, source: Path, option: str, deep: tuple[int, int]
) -> None:
    entry = {**bind(source, "/data", "rbind", option), **maps(1000, 2000)}
    bundle.config["mounts"].append(entry)
    file, below = container.ask("stat /data/file", "stat /data/below/deep")
    assert (owner(file), owner(below)) == ((1005, 2006), deep)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("word", ["idmap", ""])
def test_a_new_file_system(container: Container, bundle: Bundle, own: bool, word: str) -> None:
    """In a user namespace of the container's own too; the option may be missing."""
    if own:
        bundle.map_ids()
    base = 100000 if own else 0
    options = ["mode=755", *([word] if word else [])]
    # from the file system's own ids, which start at 0 in any user namespace, to the host's
    bundle.config["mounts"].append(
        {
            **mount("/data", "tmpfs", *options),
            "uidMappings": ids((0, base + 7, 100)),
            "gidMappings": ids((0, base + 9, 100)),
        }
    )
    assert owner(container.ask("stat /data")[0]) == (7, 9)


def test_a_new_file_system_with_the_maps_of_the_container(
    container: Container, bundle: Bundle
) -> None:
    bundle.map_ids()
    bundle.config["mounts"].append(mount("/data", "tmpfs", "idmap", "mode=755"))
    found, wrote = container.ask("stat /data", "write /data/new x")
    assert (owner(found), wrote) == ((0, 0), "ok")


def test_of_a_joined_user_namespace(
    make_container: Callable[[], Container], bundle: Bundle, container: Container, source: Path
) -> None:
    other = make_container()
    other.bundle.map_ids()
    other.started("sleep 100")
    bundle.namespaces("mount", "pid", "uts", user=f"/proc/{other.pid}/ns/user")
    bundle.without_mount("/sys", "/dev/mqueue")
    bundle.config["mounts"].append(bind(source, "/data", "bind", "idmap"))
    assert owner(container.ask("stat /data/file")[0]) == (5, 6)


@pytest.mark.pyrun_only("the text")
def test_a_file_system_without_id_maps(container: Container, bundle: Bundle) -> None:
    bundle.config["mounts"].append({**bind("/proc/self", "/data", "bind", "idmap"), **maps(1, 1)})
    result = container.run("print x")
    assert result.code == 1
    assert "/mounts/6/options: id-map the mount at /data: invalid argument" in result.err
    assert "can't be id-mapped on this kernel" in result.err


@pytest.mark.pyrun_only("the text")
def test_without_any_maps(container: Container, bundle: Bundle, source: Path) -> None:
    bundle.config["mounts"].append(bind(source, "/data", "bind", "idmap"))
    result = container.run("print x")
    assert result.code == 1
    assert "give the mount uidMappings and gidMappings" in result.err
