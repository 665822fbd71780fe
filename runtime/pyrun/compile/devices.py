# SPDX-License-Identifier: Apache-2.0
"""linux.devices, and the nodes and links that every container has in /dev (config-linux.md)."""

from __future__ import annotations

import errno

from pyrun import ops
from pyrun.compile import mount_options
from pyrun.compile.donations import namespace, opens_sources, slot_of
from pyrun.compile.slots import HOST, ROOT, TARGET, TREE
from pyrun.linux import (
    MS_PRIVATE,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFREG,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts, Steps

DEFAULTS = (
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
)
LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
)
TYPES = {"c": S_IFCHR, "u": S_IFCHR, "b": S_IFBLK, "p": S_IFIFO}
POINTER = "/linux/devices"
PTMX = "/dev/ptmx"  # always the link to the container's own devpts


def makedev(major: int, minor: int) -> int:
    """makedev(3)."""
    return (
        (major & 0xFFF) << 8
        | (major & ~0xFFF) << 32
        | (minor & 0xFF)
        | (minor & ~0xFF) << 12
    )  # fmt: skip


def _dev_mount(config: Config) -> Config | None:
    for mount in config.get("mounts") or []:
        if mount_options.destination(mount) == "/dev" and not mount_options.on_existing(mount):
            found: Config = mount
            return found
    return None


def _bound(config: Config) -> bool:
    """/dev is the host's (there is one devtmpfs): it has its nodes, and is not ours to change."""
    mount = _dev_mount(config)
    if mount is None:
        return False
    return mount_options.is_bind(mount) or mount.get("type") == "devtmpfs"


def _listed(config: Config) -> list[Config]:
    return (config.get("linux") or {}).get("devices") or []


def _ours(config: Config) -> list[tuple[str, Config]]:
    """(pointer, device) of what is to be made: in a /dev of the host's nothing is."""
    bound = _bound(config)
    return [
        (f"{POINTER}/{index}", device)
        for index, device in enumerate(_listed(config))
        if device["path"] != PTMX
        and not (
            bound and mount_options.destination({"destination": device["path"]})[:5] == "/dev/"
        )
    ]


def _missing_defaults(config: Config) -> list[tuple[str, int, int]]:
    listed = [device["path"] for device in _listed(config)]
    return [entry for entry in DEFAULTS if f"/dev/{entry[0]}" not in listed]


def in_user_namespace(config: Config) -> bool:
    """Whether the container has one, new or joined."""
    return namespace(config, "user") is not None


def sources(config: Config) -> list[tuple[str, str]]:
    """(path, pointer) of the nodes of the host that are bound where mknod(2) is not allowed."""
    if not namespace(config, "mount"):
        return []
    defaults = [] if _bound(config) else _missing_defaults(config)
    found = [(f"/dev/{name}", POINTER) for name, _, _ in defaults]
    return found + [
        (device["path"], pointer) for pointer, device in _ours(config) if device["type"] != "p"
    ]


def fill(directory: int, config: Config, facts: Facts) -> Steps:
    """Links and default nodes, into a /dev that is not attached yet: nobody can be in the way."""
    for name, target in (*LINKS, *([("core", "/proc/kcore")] if facts["has_kcore"] else [])):
        yield POINTER, ops.tolerate(errno.EEXIST, ops.symlinkat(target, directory, name))
    yield POINTER, ops.tolerate(errno.ENOENT, ops.unlinkat(directory, "ptmx"))
    yield POINTER, ops.symlinkat("pts/ptmx", directory, "ptmx")
    if not facts["binds_devices"]:
        for name, major, minor in _missing_defaults(config):
            node = (S_IFCHR | 0o666, makedev(major, minor), 0, 0)
            yield POINTER, ops.make_node(directory, name, *node)


def make_all(config: Config, facts: Facts) -> Steps:
    """What could not be made in the detached /dev: a /dev of the image, binds, listed devices."""
    if not namespace(config, "mount"):
        return
    # Where /dev is the host's, no link of the image may lead there.
    resolve = RESOLVE_NO_XDEV if _bound(config) else 0
    if not resolve:
        yield from _make_defaults(config, facts)
    for pointer, device in _ours(config):
        if facts["binds_devices"] and device["type"] != "p":
            yield from _bind(device["path"], pointer, config, facts, resolve)
        else:
            yield from _node(device, pointer, resolve)


def _make_defaults(config: Config, facts: Facts) -> Steps:
    if _dev_mount(config) is None:
        # In the image itself: a link could lead to a volume of the host's (CVE-2026-47766).
        resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV
        yield POINTER, ops.make_in_root(ROOT, "/dev", S_IFDIR | 0o755, resolve, TARGET)
        yield from fill(TARGET, config, facts)
    if facts["binds_devices"]:
        for name, _, _ in _missing_defaults(config):
            yield from _bind(f"/dev/{name}", POINTER, config, facts)


def _bind(path: str, pointer: str, config: Config, facts: Facts, resolve: int = 0) -> Steps:
    tree = TREE
    if opens_sources(config, facts):
        tree = slot_of(facts, "tree", path, "", pointer)
    else:
        yield pointer, ops.open_tree(HOST, path, 0, TREE)
    # As a peer of the host's /dev it would hand on what the container mounts over it.
    yield pointer, ops.mount_setattr(tree, 0, 0, 0, MS_PRIVATE)
    yield pointer, ops.make_in_root(ROOT, path, S_IFREG | 0o644, resolve, TARGET)
    yield pointer, ops.move_mount(tree, TARGET)


def _node(device: Config, pointer: str, resolve: int) -> Steps:
    directory, _, name = device["path"].rstrip("/").rpartition("/")
    number = 0
    if device["type"] != "p":
        number = makedev(device["major"], device["minor"])
    mode = device.get("fileMode")
    mode = TYPES[device["type"]] | ((0o666 if mode is None else mode) & 0o7777)
    owner = (device.get("uid") or 0, device.get("gid") or 0)
    yield pointer, ops.make_in_root(ROOT, directory or "/", S_IFDIR | 0o755, resolve, TARGET)
    yield pointer, ops.make_node(TARGET, name, mode, number, *owner)
