# SPDX-License-Identifier: Apache-2.0
"""Facts: what the compiler has to know of this host, this caller and this command line, gathered
once into a plain dictionary. Reading only; nothing here has an effect."""

from __future__ import annotations

import _stat
import errno
import fcntl
import os
import sys

from pyrun import caller
from pyrun.compile import devices, mount_options
from pyrun.errors import Error, from_os, reason
from pyrun.state import in_user_namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts, Options

NS_GET_USERNS = 0xB701  # ioctl_ns(2)
HOST_CGROUPS = 0xEFFFFFFB  # PROC_CGROUP_INIT_INO: the inode of the first cgroup namespace


def gather(config: Config, opts: Options, bundle: str, fifo: bool) -> Facts:
    """The facts; `fifo`: somebody else starts the container later. Raises Error."""
    caller.check_kernel(os.uname().release)
    rootfs = rootfs_path(config, bundle)
    capabilities = caller.effective_capabilities()
    nested = in_user_namespace()
    privileged = caller.is_privileged(capabilities)
    preserve, listen = caller.inherited(opts.get("preserve_fds") or 0)
    facts: Facts = {
        "id": opts["id"],
        "bundle": bundle,
        "rootfs": rootfs,
        "machine": os.uname().machine,
        "byteorder": sys.byteorder,
        "capabilities": capabilities,
        "privileged": privileged,
        "may_setgroups": may_setgroups(config, capabilities),
        "no_pivot": bool(opts.get("no_pivot")),
        "no_new_keyring": bool(opts.get("no_new_keyring")),
        "preserve_fds": preserve,
        "fifo": fifo,
        "extra_env": listen,
        "notify": False,
        "own_namespaces": own_namespaces(config),
        "sources": sources(config, bundle),
        "links": links(config, bundle),
        "device_sources": devices.sources(config),
        # mknod(2) is for the first user namespace alone: everywhere else nodes are bound
        "binds_devices": nested or devices.in_user_namespace(config),
        "mounts_cgroups": may_mount_cgroups(config),
        "has_kcore": os.path.exists("/proc/kcore"),
        "security_modules": caller.security_modules(config),
        "memory_nodes": caller.memory_nodes(config),
        "landlock_abi": caller.landlock_abi(config),
        "seccomp": b"",
        "seccomp_flags": 0,
        "cgroup_layout": "none",
        "cgroup_hierarchies": [],
        "stdio": standard_streams(),
        "layers": root_layers(config, opts, bundle, nested=nested, privileged=privileged),
    }
    return facts


def root_layers(
    config: Config, opts: Options, bundle: str, *, nested: bool, privileged: bool
) -> Facts:
    """Of what the root is made, {} if it is root.path itself. Raises Error."""
    flags = opts.get("ephemeral") or opts.get("overlay") or opts.get("overlay_upper")
    names = config.get("annotations") or ()
    if not flags and not any(name.startswith("org.pyrun.rootfs.") for name in names):
        return {}
    # Only for a root made of layers.
    from pyrun import layers

    return layers.facts(config, opts, bundle, nested=nested, privileged=privileged)


def standard_streams() -> list[tuple[int, int]]:
    """What 0, 1 and 2 are that the container gets of us: device and inode, by which a checkpoint
    finds them among its descriptors."""
    found = map(os.fstat, (0, 1, 2))  # the launcher leaves none closed
    return [(status.st_dev, status.st_ino) for status in found]


def rootfs_path(config: Config, bundle: str) -> str:
    """root.path as the bundle means it, checked to be a directory. Raises Error."""
    path = os.path.join(bundle, config["root"]["path"])
    try:
        real = os.path.realpath(path, strict=True)
    except OSError as error:
        raise from_os(error, f"rootfs {path}", "/root/path") from None
    if not os.path.isdir(real):
        raise Error(f"rootfs {path}: not a directory", "/root/path")
    return real


def may_setgroups(config: Config, capabilities: int) -> bool:
    """Not in a user namespace whose only group is an unprivileged caller's: user_namespaces(7)."""
    linux = config.get("linux") or {}
    kinds = [entry["type"] for entry in linux.get("namespaces") or []]
    if "user" not in kinds or capabilities >> 6 & 1:  # CAP_SETGID
        return True
    maps = linux.get("gidMappings") or []
    return len(maps) > 1 or sum(entry["size"] for entry in maps) > 1


def own_namespaces(config: Config) -> list[str]:
    """The types whose path in linux.namespaces leads to the namespace that we are in ourselves."""
    found = []
    for entry in (config.get("linux") or {}).get("namespaces") or []:
        file = {"mount": "mnt", "network": "net"}.get(entry["type"], entry["type"])
        try:
            if entry.get("path") and os.path.samefile(entry["path"], f"/proc/self/ns/{file}"):
                found.append(entry["type"])
        except OSError:
            continue  # whoever opens it says why that fails
    return found


def may_mount_cgroups(config: Config) -> bool:
    """Whether the config joins a cgroup namespace by whose view the v2 tree can be mounted: it
    belongs to our user namespace or to one below it, and is not the host's."""
    entries = (config.get("linux") or {}).get("namespaces") or []
    path = next((e["path"] for e in entries if e["type"] == "cgroup" and e.get("path")), "")
    if not path:
        return False
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False  # whoever opens it says why that fails
    try:
        os.close(fcntl.ioctl(fd, NS_GET_USERNS))
        return os.fstat(fd).st_ino != HOST_CGROUPS
    except OSError:
        return False  # EPERM: outside of what we can see
    finally:
        os.close(fd)


def sources(config: Config, bundle: str) -> dict[str, str]:
    """What each bind source is: "directory", "file", or "" when it is not there."""
    found = {}
    for index, mount in enumerate(config.get("mounts") or []):
        if mount_options.is_bind(mount):
            path = mount_options.source(mount, {"bundle": bundle})
            found[path] = kind(path, f"/mounts/{index}/source")
    return found


def links(config: Config, bundle: str) -> dict[str, str]:
    """What the bind sources lead to that are symbolic links, and to be taken as such."""
    found = {}
    for mount in config.get("mounts") or []:
        if mount_options.is_bind(mount) and mount_options.keeps_link(mount):
            path = mount_options.source(mount, {"bundle": bundle})
            try:
                found[path] = os.readlink(path)
            except OSError:
                continue  # no link
    return found


def kind(path: str, pointer: str) -> str:
    """What is there: "directory", "file", "" for nothing. Raises Error where we may not look."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError) as error:
        number = getattr(error, "errno", None) or errno.EINVAL
        raise Error(f"bind source {path}: {reason(number)}", pointer) from None
    return "directory" if _stat.S_ISDIR(mode) else "file"
