# SPDX-License-Identifier: Apache-2.0
"""A root made of layers: the facts about it, its place in the state folder, and its removal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pyrun import failure, host, layers, removal, state
from pyrun.compile.layers import make
from pyrun.errors import Error
from unit.configs import isolated

KEY = "org.pyrun.rootfs.overlay"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    for name in ("rootfs", "a", "b:c"):
        (tmp_path / "bundle" / name).mkdir(parents=True)
    (tmp_path / "bundle/link").symlink_to("a")
    (tmp_path / "bundle/file").write_text("")
    return tmp_path / "bundle"


def facts(bundle: Path, note: str = "", *, nested: bool = False, **opts: Any) -> dict[str, Any]:
    config = {**isolated(), "annotations": {KEY: note} if note else {}}
    opts = {"id": "box", "root": str(bundle / "state"), **opts}
    return host.root_layers(config, opts, str(bundle), nested=nested, privileged=True)


def test_facts(bundle: Path) -> None:
    (bundle / "a").chmod(0o751)
    assert facts(bundle, "link:b\\:c") == {
        "pointer": f"/annotations/{KEY}",
        "lowers": [f"{bundle}/a", f"{bundle}/b:c", f"{bundle}/rootfs"],
        "upper": "dir",
        "size": "",
        "folder": f"{bundle}/state/box/overlay",
        "mode": 0o751,
        "userxattr": False,
    }
    assert facts(bundle, ephemeral=True)["lowers"] == [f"{bundle}/rootfs"]
    assert facts(bundle, nested=True, ephemeral=True)["userxattr"]
    assert facts(bundle) == {}


@pytest.mark.parametrize(
    ("path", "message"),
    [("none", "layer none: no such file or directory"), ("file", "layer file: not a directory")],
)
def test_layers_that_are_none(bundle: Path, path: str, message: str) -> None:
    with pytest.raises(Error) as raised:
        facts(bundle, f"a:{path}")
    assert raised.value.pointer == f"/annotations/{KEY}"
    assert raised.value.message == message
    assert raised.value.hint
    with pytest.raises(Error) as raised:
        facts(bundle, overlay=path)
    assert (raised.value.pointer, raised.value.message) == ("", f"--overlay: {message}")


def container(bundle: Path) -> state.Container:
    root = str(bundle / "state")
    found = state.claim({"root": root}, "box")
    found.intent = {"layers": {"linux": {}}}
    return found


@pytest.mark.parametrize("upper", ["dir", "tmpfs"])
def test_place(bundle: Path, upper: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "file_system", lambda _fd: "ext4")
    (bundle / "a").chmod(0o751)
    os.umask(os.umask(0o077))
    layers.make_place(container(bundle), facts(bundle, "a", overlay_upper=upper))
    place = bundle / "state/box/overlay"
    assert sorted(os.listdir(place)) == ["0", "1", "top"]
    assert os.readlink(place / "0") == f"{bundle}/a"
    assert os.readlink(place / "1") == f"{bundle}/rootfs"
    made = sorted(f"{path.name} {path.stat().st_mode:o}" for path in (place / "top").iterdir())
    assert made == (["upper 40751", "work 40700"] if upper == "dir" else [])


@pytest.mark.parametrize("kind", ["overlay", "nfs4", "fuse.sshfs", "vfat"])
def test_place_that_takes_no_upper(
    bundle: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "file_system", lambda _fd: kind)
    with pytest.raises(Error, match=f"it is on {kind}, which can't hold a writable layer: try"):
        layers.make_place(container(bundle), facts(bundle, "a"))


def test_file_system() -> None:
    fd = os.open("/proc/self", os.O_RDONLY)
    assert layers.file_system(fd) == "proc"
    os.close(fd)


def test_removal(bundle: Path) -> None:
    """Odd names, depth, modes, links: without privileges too. What a link leads to stays."""
    box = container(bundle)
    top = bundle / "state/box/overlay"
    (top / "a/1/2/3").mkdir(parents=True)
    (top / "1/2/3").mkdir(parents=True)
    (top / "0").symlink_to(bundle / "a")
    (bundle / "a/kept").write_text("")
    (top / "a/new\nline").write_text("")
    (top / os.fsdecode(b"a/\xff")).mkdir()
    (top / "a/1/link").symlink_to(bundle / "a")
    deep = os.open(top, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("deeper", dir_fd=deep)
        deep, above = os.open("deeper", os.O_RDONLY, dir_fd=deep), deep
        os.close(above)
    os.close(deep)
    for name in ("a/1/2", "a/1", "a", "1/2", "deeper/deeper"):
        (top / name).chmod(0)
    removal.remove(box, "overlay")
    assert os.listdir(box.fd) == []
    assert (bundle / "a/kept").exists()


def test_removal_says_what_it_can_not(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = container(bundle)
    (bundle / "state/box/overlay/a").mkdir(parents=True)

    def refuse(*_args: object, **_keywords: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "rmdir", refuse)
    with pytest.raises(Error, match="state/box/overlay: permission denied"):
        box.remove()


@pytest.mark.parametrize(
    ("operation", "number", "hint"),
    [("fsmount", 22, "the kernel's log says which"), ("fsmount", 40, "named twice")],
)
@pytest.mark.parametrize("flags", [{"overlay": "a"}, {}])
def test_failures_have_hints(
    bundle: Path, operation: str, number: int, hint: str, flags: dict[str, str]
) -> None:
    known = facts(bundle, "a", **flags)
    steps = [(pointer, op) for pointer, op in make(known) if op[0] == operation]
    error = failure.explain(steps, {"root": {"path": "rootfs"}}, 0, (number, 0, b""))
    where = "root.path (rootfs)" if flags else f"annotations.{KEY}"
    assert error.message.startswith(f"{where}: {operation}: ")
    assert hint in error.hint
