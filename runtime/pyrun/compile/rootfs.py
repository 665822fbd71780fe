# SPDX-License-Identifier: Apache-2.0
"""root and linux.rootfsPropagation: the root is a mount of our own over "/" (or, for hooks, over
the rootfs), then becomes "/"."""

from __future__ import annotations

import errno

from pyrun import ops
from pyrun.compile.donations import lays_apart, namespace, opens_sources, slot_of
from pyrun.compile.mount_options import PROPAGATION, destination, from_host, on_existing
from pyrun.compile.slots import CONTEXT, EMPTY, HOST, NULL, ROOT, TARGET
from pyrun.linux import (
    AT_RECURSIVE,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_PRIVATE,
    MS_SHARED,
    O_DIRECTORY,
    O_PATH,
    S_IFDIR,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts, Steps

PROPAGATION_POINTER = "/linux/rootfsPropagation"


def prepare(config: Config, facts: Facts) -> Steps:
    """Cut the host off: nothing that is mounted from here on reaches it. Without a mount namespace
    the host's mounts are left alone (R20)."""
    if not namespace(config, "mount"):
        yield "/root/path", ops.open_host(facts["rootfs"], O_PATH | O_DIRECTORY, ROOT)
        return
    yield "/root/path", ops.open_host("/", O_PATH | O_DIRECTORY, HOST)
    flag = from_host(config)
    yield PROPAGATION_POINTER, ops.mount_setattr(HOST, AT_RECURSIVE, 0, 0, flag)
    if flag == MS_SHARED:
        # pivot_root(2) refuses a shared parent, and attaching our root would reach the host
        yield PROPAGATION_POINTER, ops.mount_setattr(HOST, 0, 0, 0, MS_PRIVATE)
    root = ROOT
    if lays_apart(config, facts):
        root = slot_of(facts, "overlay")
    elif facts["layers"]:
        # Only for a root made of layers.
        from pyrun.compile import layers

        yield from layers.make(facts["layers"])
    elif opens_sources(config, facts):
        root = slot_of(facts, "tree", facts["rootfs"], "recursive", "/root/path")
    else:
        # Before the cover, which may go over it.
        yield "/root/path", ops.open_tree(HOST, facts["rootfs"], AT_RECURSIVE, ROOT)
    yield from _unshare(config, facts, root)
    if _masks(config):
        yield from _covers(config, facts)
    yield "/root/path", ops.open_host(place(config, facts), O_PATH | O_DIRECTORY, TARGET)
    yield "/root/path", ops.move_mount(root, TARGET)
    if root != ROOT:
        yield "/root/path", ops.open_in_root(root, "/", O_PATH | O_DIRECTORY, 0, ROOT)


def place(config: Config, facts: Facts) -> str:
    """Where the root is attached until it becomes the root: over "/", which every host has and
    every caller may use. Hooks that come before that look for the mounts below the rootfs's own
    path; over a shared mount of the host, the host would see them there too."""
    hooks = config.get("hooks") or {}
    before = any(hooks.get(kind) for kind in ("prestart", "createRuntime", "createContainer"))
    if not before or facts["no_pivot"] or from_host(config) == MS_SHARED:
        return "/"
    path: str = facts["rootfs"]
    return path


def _masks(config: Config) -> bool:
    return bool((config.get("linux") or {}).get("maskedPaths"))


def _covers(config: Config, facts: Facts) -> Steps:
    """What masks are made of. The empty directory goes where the root goes, which hides it: only an
    attached mount can be cloned before kernel 6.15. It comes before the root: later, it would cover
    it."""
    pointer = "/linux/maskedPaths"
    yield pointer, ops.open_host("/dev/null", O_PATH, NULL)
    yield pointer, ops.check_device(NULL, 1, 3)
    yield pointer, ops.fsopen("tmpfs", CONTEXT)
    yield pointer, ops.fsconfig(CONTEXT, "source", "tmpfs")
    for key, value in (("nr_blocks", "1"), ("nr_inodes", "1"), ("mode", "755")):
        yield pointer, ops.fsconfig(CONTEXT, key, value)
    if (config.get("linux") or {}).get("mountLabel"):
        from pyrun.compile import labels  # rare

        yield from labels.context("tmpfs", config)
    attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
    yield pointer, ops.fsmount(CONTEXT, attributes, EMPTY)
    yield pointer, ops.open_host(place(config, facts), O_PATH | O_DIRECTORY, TARGET)
    yield pointer, ops.move_mount(EMPTY, TARGET)


def _unshare(config: Config, facts: Facts, root: int) -> Steps:
    """A clone of a shared mount is its peer: what is mounted in it appears on the host (R20), and
    pivot_root(2) refuses it. propagate() makes it what the config wants it to be."""
    flag = from_host(config)
    alone = MS_PRIVATE if flag == MS_SHARED else flag
    if flag == MS_SHARED or opens_sources(config, facts):
        yield "/root/path", ops.mount_setattr(root, AT_RECURSIVE, 0, 0, alone)


def make_cwd(config: Config, facts: Facts) -> Steps:
    """A working directory that the image lacks is made, while the root is still writable."""
    cwd = (config.get("process") or {}).get("cwd")
    if cwd and namespace(config, "mount"):
        yield "/process/cwd", ops.make_in_root(ROOT, cwd, S_IFDIR | 0o755, 0, TARGET)


def readonly(config: Config, facts: Facts) -> Steps:
    """By descriptor, so that no /proc of the image is asked where the root is (CVE-2026-115521)."""
    if config["root"].get("readonly") and namespace(config, "mount"):
        yield "/root/readonly", ops.mount_setattr(ROOT, 0, MOUNT_ATTR_RDONLY, 0, 0)


def pivot(config: Config, facts: Facts) -> Steps:
    """Become the root, and lose the host."""
    if not namespace(config, "mount"):
        yield "/root/path", ops.chroot(ROOT)
    elif facts["no_pivot"]:
        # It lies over "/" already, so there is nothing to move: `..` leads back to it from there.
        # What of the host stays below can't be reached; but an unmasked proc or sysfs among it
        # would let the container mount another one.
        for path in ("/proc", "/sys"):
            yield "/root/path", ops.tolerate(errno.EINVAL, ops.detach_host(path))
        yield "/root/path", ops.chroot(ROOT)
    else:
        yield "/root/path", ops.pivot_root(ROOT, _layers(config, facts))


def _layers(config: Config, facts: Facts) -> int:
    """How many mounts lie over the root, once it is the root: the host's, and what is over that:
    the cover of _covers(), and with mounts at "/" what they cover."""
    if place(config, facts) != "/":
        return 1
    covered = sum(
        destination(mount) == "/" and not on_existing(mount) for mount in config.get("mounts") or []
    )
    return 1 + _masks(config) + covered


def propagate(config: Config, facts: Facts) -> Steps:
    """linux.rootfsPropagation of the root itself, as the container sees it."""
    word = (config.get("linux") or {}).get("rootfsPropagation")
    if word and namespace(config, "mount"):
        flag, recursive = PROPAGATION[word]
        flags = AT_RECURSIVE if recursive else 0
        yield PROPAGATION_POINTER, ops.mount_setattr(ROOT, flags, 0, 0, flag)
