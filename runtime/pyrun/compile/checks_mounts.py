# SPDX-License-Identifier: Apache-2.0
"""Rules about mounts and the root filesystem that the config alone decides. See compile.checks."""

from __future__ import annotations

from pyrun.compile import id_maps
from pyrun.compile.mount_options import destination, is_bind, on_existing
from pyrun.schema_check import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrun.types import Config, Problem

# Files of /proc that lxcfs and nested runtimes may cover: none of them is written to, or trusted,
# by a runtime. A mount on anything else there could make a write of ours land elsewhere
# (CVE-2019-16884, CVE-2025-52881).
PROC_FILES = (
    "/proc/cpuinfo", "/proc/diskstats", "/proc/loadavg", "/proc/meminfo", "/proc/slabinfo",
    "/proc/stat", "/proc/swaps", "/proc/uptime", "/proc/sys/crypto/fips_enabled",
    "/proc/sys/kernel/ns_last_pid",
)  # fmt: skip

MOUNT_FIELDS = ("maskedPaths", "readonlyPaths", "rootfsPropagation", "devices")  # of linux


def mount_types(config: Config) -> Iterator[Problem]:
    """`type: bind` alone names a file system that no kernel has: say so, for mount(2) does not."""
    for index, mount in enumerate(config.get("mounts", ())):
        kind = mount.get("type", "")
        if is_bind(mount):
            if not mount.get("source"):
                yield f"/mounts/{index}/source", "is required for a bind mount"
        elif kind in {"bind", "rbind", "none", ""} and not on_existing(mount):
            what = f"type {kind} is no file system" if kind else "there is no type"
            yield (
                f"/mounts/{index}/type",
                f'{what}: for a bind mount, add "bind" or "rbind" to options',
            )


def proc_mounts(config: Config) -> Iterator[Problem]:
    """Nothing but procfs goes on /proc, and below it only files that no runtime relies on (R4)."""
    for index, mount in enumerate(config.get("mounts", ())):
        path = destination(mount)
        if on_existing(mount):
            continue
        if path == "/proc":
            # A bind of the host's /proc is a procfs too: rootless engines do this for --pid=host.
            bind = is_bind(mount)
            if mount.get("source") != "/proc" if bind else mount.get("type") != "proc":
                yield f"/mounts/{index}/destination", "only a mount of type proc can be at /proc"
        elif path.startswith("/proc/") and path not in PROC_FILES:
            yield f"/mounts/{index}/destination", f"mounts at {path} are refused: below /proc"


def mount_maps(config: Config) -> Iterator[Problem]:
    for index, mount in enumerate(config.get("mounts", ())):
        yield from id_maps.problems(mount, f"/mounts/{index}")


def own_mount_namespace(config: Config) -> Iterator[Problem]:
    """Without a mount namespace these would change the mounts and files of the host (R20)."""
    linux = config.get("linux", {})
    if any(namespace["type"] == "mount" for namespace in linux.get("namespaces", ())):
        return
    asked = [f"/linux/{name}" for name in MOUNT_FIELDS if linux.get(name)]
    if config.get("root", {}).get("readonly"):
        asked.append("/root/readonly")
    if config.get("mounts"):
        asked.append("/mounts")
    for pointer in asked:
        yield pointer, "needs a mount namespace in linux.namespaces"


def absolute_paths(config: Config) -> Iterator[Problem]:
    linux = config.get("linux", {})
    for name in ("maskedPaths", "readonlyPaths"):
        for index, path in enumerate(linux.get(name, ())):
            if not path.startswith("/"):
                yield f"/linux/{name}/{index}", f"must be absolute, not {shown(path)}"


CHECKS = (mount_types, proc_mounts, mount_maps, own_mount_namespace, absolute_paths)
