# SPDX-License-Identifier: Apache-2.0
"""A mount that fails: which of source, destination, type and options is at fault."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from life.bundles import Bundle, bind, mount
from life.runtimes import Container

pyrun_only = pytest.mark.pyrun_only


def file_in_the_way(config: dict[str, Any], bundle: Bundle) -> None:
    bundle.file("etc/name", "x")
    config["mounts"].append(mount("/etc/name/deeper", "tmpfs"))


def link_in_the_way(config: dict[str, Any], bundle: Bundle) -> None:
    (bundle.rootfs / "loop").symlink_to("/loop")
    config["mounts"].append(mount("/loop/x", "tmpfs"))


def read_only_root(config: dict[str, Any], bundle: Bundle) -> None:
    """A mount point that is missing in a read-only mount."""
    config["mounts"].append(bind(bundle.rootfs / "etc", "/data", "rbind", "ro"))
    config["mounts"].append(mount("/data/none", "tmpfs"))


def overlay(options: str) -> Callable[[dict[str, Any], Bundle], None]:
    def change(config: dict[str, Any], bundle: Bundle) -> None:
        words = options.format(rootfs=bundle.rootfs).split(",")
        config["mounts"].append(mount("/data", "overlay", *words))

    return change


def in_user_namespace(config: dict[str, Any], bundle: Bundle) -> None:
    bundle.map_ids()
    config["mounts"].append(mount("/data", "securityfs", source="mem"))


def file_onto_folder(config: dict[str, Any], bundle: Bundle) -> None:
    config["mounts"].append(bind(bundle.file("etc/name", "x"), "/data"))


def folder_onto_file(config: dict[str, Any], bundle: Bundle) -> None:
    bundle.file("etc/name", "x")
    config["mounts"].append(bind(bundle.rootfs / "data", "/etc/name"))


MOUNTS: dict[str, tuple[Callable[[dict[str, Any], Bundle], object], str]] = {
    "file onto folder": (
        file_onto_folder,
        r"mounts\[6\] \(.*/etc/name → /data\): move_mount: .*: the source is not a directory, /data"
        r" in the container is one",
    ),
    "folder onto file": (
        folder_onto_file,
        r"mounts\[6\] .*: the source is a directory, /etc/name in the container is not",
    ),
    "file in the way": (
        file_in_the_way,
        r"mounts\[6\] .*: not a directory: /etc/name in the container is a regular file, not a"
        r" directory",
    ),
    "link in the way": (
        link_in_the_way,
        r"mounts\[6\] .*: too many levels of symbolic links: /loop in the container is a symbolic"
        r" link to /loop",
    ),
    "read-only": (
        read_only_root,
        r"mounts\[7\] .*: read-only file system: the mount point is missing \(/data/none in the"
        r" container\), and its file system is read-only",
    ),
    "unknown type": (
        lambda config, _: config["mounts"].append(mount("/data", "nosuchfs")),
        r"mounts\[6\]\.type .*: fsopen nosuchfs: no such device: this kernel has no file system"
        r" nosuchfs: `modprobe nosuchfs` on the host",
    ),
    "bind as a type": (
        lambda config, _: config["mounts"].append(mount("/data", "bind", "ro")),
        r"config.json: /mounts/6/type: type bind is no file system",
    ),
    "value of an option": (
        lambda config, _: config["mounts"].append(mount("/data", "tmpfs", "size=1x")),
        r"mounts\[6\]\.options .*: fsconfig size=1x: invalid argument"
        r" \(tmpfs: Bad value for 'size'\)",
    ),
    "unknown option": (
        lambda config, _: config["mounts"].append(mount("/data", "tmpfs", "sice=1")),
        r"fsconfig sice=1: invalid argument \(tmpfs: Unknown parameter 'sice'\)",
    ),
    "missing layer": (
        overlay("lowerdir={rootfs}/none:{rootfs}/etc"),
        r"mounts\[6\]\.options .*: no such file or directory: /\S+/rootfs/none is not on the host",
    ),
    "layer within a layer": (
        overlay("lowerdir={rootfs}/etc,upperdir={rootfs}/data,workdir={rootfs}/data"),
        r"mounts\[6\] .*: fsmount: invalid argument: the file system refuses one of the options, or"
        r" what is in its source; the kernel's log \(dmesg\) may say more",
    ),
    "not in a user namespace": (
        in_user_namespace,
        r"mounts\[6\] \(mem → /data\): fsmount: operation not permitted: a user namespace may mount"
        r" these types only: ",
    ),
    "no block device": (
        lambda config, bundle: config["mounts"].append(
            mount("/data", "ext4", source=str(bundle.rootfs))
        ),
        r"mounts\[6\].*: the source .*/rootfs is no block device",
    ),
}


@pyrun_only("the text")
@pytest.mark.parametrize("name", MOUNTS)
def test_mounts(container: Container, bundle: Bundle, name: str) -> None:
    change, text = MOUNTS[name]
    bundle.say("print x")
    change(bundle.config, bundle)
    result = container.create()
    assert result.code == 1
    assert re.search(text, result.err), result.err
    assert result.err.count("\n") == 1
