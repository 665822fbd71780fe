# SPDX-License-Identifier: Apache-2.0
"""Facts: what the compiler has to know of this host, this caller and this command line, gathered
once into a plain dictionary. Reading only; nothing here has an effect."""

from __future__ import annotations

import _stat
import errno
import fcntl
import os
import sys

from pyrun.compile import devices, mount_options
from pyrun.errors import Error, from_os, reason
from pyrun.init import read_text
from pyrun.state import in_user_namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts, Options

KERNEL_FLOOR = (5, 14)  # openat2, mount_setattr, close_range, cgroup.kill


def gather(config: Config, opts: Options, bundle: str, fifo: bool) -> Facts:
    """The facts; `fifo`: somebody else starts the container later. Raises Error."""
    release = os.uname().release
    check_kernel(release)
    rootfs = rootfs_path(config, bundle)
    capabilities = effective_capabilities()
    nested = in_user_namespace()
    # CAP_SYS_ADMIN as root: whether namespaces can be made without a user namespace
    privileged = bool(capabilities >> 21 & 1) and os.geteuid() == 0
    preserve, listen = inherited(opts.get("preserve_fds") or 0)
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
        "has_kcore": os.path.exists("/proc/kcore"),
        "security_modules": security_modules(config),
        "memory_nodes": memory_nodes(config),
        "seccomp": b"",
        "seccomp_flags": 0,
        "cgroup_layout": "none",
        "cgroup_hierarchies": [],
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


def inherited(extra: int) -> tuple[int, list[tuple[str, str]]]:
    """(how many descriptors from 3 on go to the container, environment that tells it of them).

    Those of socket activation come first, if they were meant for this process: sd_listen_fds(3).
    """
    listen = 0
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        text = os.environ.get("LISTEN_FDS", "")
        listen = int(text) if text.isascii() and text.isdigit() else 0
    for fd in range(3, 3 + listen + extra):
        try:
            fcntl.fcntl(fd, fcntl.F_GETFD)
        except OSError:
            raise Error(
                f"descriptor {fd} is to be preserved, but it is not open",
                hint=f"--preserve-fds {extra}, LISTEN_FDS {listen}: they start at 3",
            ) from None
    names = [("LISTEN_FDS", str(listen)), ("LISTEN_PID", "1")] if listen else []
    if listen and "LISTEN_FDNAMES" in os.environ:
        names.append(("LISTEN_FDNAMES", os.environ["LISTEN_FDNAMES"]))
    return listen + extra, names


def check_kernel(release: str) -> None:
    """Refuse a kernel without the calls that everything here is built on. Raises Error."""
    words = release.split(".")
    numbers = tuple(int("".join(c for c in word[:4] if c.isdigit()) or 0) for word in words[:2])
    if numbers < KERNEL_FLOOR:
        raise Error(f"this kernel is Linux {release}: pyrun needs 5.14 or newer")


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


def effective_capabilities() -> int:
    """CapEff of this process: capabilities(7)."""
    for line in read_text("/proc/self/status").splitlines():
        if line.startswith("CapEff:"):
            return int(line[7:], 16)
    return 0


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


def security_modules(config: Config) -> list[str]:
    """Which of those that the config has a label for are at work here."""
    process, linux = config.get("process") or {}, config.get("linux") or {}
    found = []
    if process.get("apparmorProfile") and _apparmor():
        found.append("AppArmor")
    if (process.get("selinuxLabel") or linux.get("mountLabel")) and _selinux():
        found.append("SELinux")
    return found


def _selinux() -> bool:
    """Its own file system is known when it is on: selinux(8)."""
    return "selinuxfs" in read_text("/proc/filesystems").split()


def _apparmor() -> bool:
    try:
        return read_text("/sys/module/apparmor/parameters/enabled").startswith("Y")
    except PermissionError:
        return True  # it keeps its state from us: the kernel will answer
    except OSError:
        return False


def memory_nodes(config: Config) -> str:
    """The nodes of this host that have memory, as in `0-3,7`; "" where nobody asks, and for a
    kernel without NUMA."""
    if not (config.get("linux") or {}).get("memoryPolicy"):
        return ""
    try:
        return read_text("/sys/devices/system/node/has_memory")
    except OSError:
        return ""


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
