# SPDX-License-Identifier: Apache-2.0
"""What a restored container is checked for before it runs on."""

from __future__ import annotations

import io
from typing import Any

import pytest

from pyrun.criu import mount_table, verification
from pyrun.criu.externals import External
from pyrun.criu.mount_table import Mount
from pyrun.errors import Error

FACTS: dict[str, Any] = {"rootfs": "/bundle/rootfs"}
SHOWN = {"/bundle/rootfs": ("8:1", "/bundle/rootfs"), "/srv": ("8:2", "/srv")}


def mount(device: str, root: str, point: str, kind: str = "ext4") -> Mount:
    """A line of a table."""
    return Mount(1, 0, device, root, point, ("rw",), kind, ("rw",))


HOST = [mount("8:1", "/", "/"), mount("8:2", "/", "/mnt"), mount("0:5", "/", "/sys", "sysfs")]
ROOT = mount("8:1", "/bundle/rootfs", "/")


def check(monkeypatch: pytest.MonkeyPatch, *table: Mount) -> None:
    """Checks a container with these mounts, whose config binds /srv."""
    monkeypatch.setattr(mount_table, "of", lambda pid: HOST if pid == "self" else list(table))
    monkeypatch.setattr(mount_table, "identity", lambda path, _ours: SHOWN.get(path))
    verification.check_mounts(7, FACTS, [External("0", "/srv", "/data")])


def test_what_the_config_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rootfs and what is below it, the bind mount, and what is the container's own."""
    check(
        monkeypatch,
        ROOT,
        mount("8:1", "/bundle/rootfs/etc", "/etc"),
        mount("8:2", "/srv", "/data"),
        mount("0:77", "/", "/dev", "tmpfs"),
        mount("0:5", "/", "/sys", "sysfs"),
    )


@pytest.mark.parametrize(
    "other",
    [
        mount("8:1", "/", "/host"),
        mount("8:1", "/bundle/rootfs2", "/x"),
        mount("8:1", "/bundle", "/x"),
        mount("8:2", "/", "/data"),
        mount("8:2", "/srv/below", "/data"),
    ],
    ids=lambda found: found.root,
)
def test_what_it_does_not_name(monkeypatch: pytest.MonkeyPatch, other: Mount) -> None:
    with pytest.raises(Error, match="which the config does not"):
        check(monkeypatch, ROOT, other)


@pytest.mark.parametrize(
    ("kinds", "wrong"),
    [
        (["pid"], "pid"),  # a new one is wanted, and it is in ours
        ([], ""),
    ],
)
def test_namespaces(kinds: list[str], wrong: str) -> None:
    """Of ourselves: all are the host's."""
    config = {"linux": {"namespaces": [{"type": kind} for kind in kinds]}}
    if wrong:
        with pytest.raises(Error, match=f"the {wrong} namespace of the images"):
            verification.check("self", config, FACTS, [])
    else:
        verification.check("self", config, FACTS, [])


@pytest.mark.parametrize(
    ("process", "instead", "fine"),
    [
        ({}, "", True),
        ({"apparmorProfile": "box"}, "", True),
        ({"apparmorProfile": "other"}, "", False),
        ({"selinuxLabel": "box"}, "", False),
        ({}, "apparmor:box", True),
        ({"apparmorProfile": "box"}, "apparmor:other", False),
    ],
)
def test_label(
    process: dict[str, str], instead: str, fine: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the mode that AppArmor adds; SELinux has none."""
    text = "elsewhere\0" if process.get("selinuxLabel") else "box (enforce)\n"
    monkeypatch.setattr("builtins.open", lambda *_words, **_more: io.StringIO(text))
    config = {"process": process}
    if fine:
        verification.check_label(7, config, instead)
    else:
        with pytest.raises(Error, match="has the label"):
            verification.check_label(7, config, instead)


def test_joined_namespace() -> None:
    """Another one than the path leads to."""
    entry = {"type": "network", "path": "/proc/self/ns/ipc"}
    with pytest.raises(Error, match="the network namespace"):
        verification.check("self", {"linux": {"namespaces": [entry]}}, FACTS, [])
    entry["path"] = "/proc/self/ns/net"
    verification.check("self", {"linux": {"namespaces": [entry]}}, FACTS, [])
