# SPDX-License-Identifier: Apache-2.0
"""From the flags of `checkpoint` and `restore`, the config and the host to what CRIU is asked."""

from __future__ import annotations

import os
import stat
from typing import Any

from pyrun.compile import cgroup_mounts, layers, mount_options
from pyrun.compile.capabilities import LANDLOCK
from pyrun.compile.donations import namespace, namespaces
from pyrun.criu import messages, service
from pyrun.errors import Error
from pyrun.linux import NAMESPACES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.criu.images import Directory
    from pyrun.types import Config, Options

# The name of a network or pid namespace that the config joins by its path. CRIU does not save it,
# and restores into the one that it is handed by this name.
EXTERNAL = {"network": "joined-network", "pid": "joined-pid"}
JOINED = {"ipc": "ipc", "uts": "uts"}  # those that it can join by path
ANNOTATION = "org.criu.config"
CONFIG_FILE = "/etc/criu/runc.conf"  # runc's place: hosts have their rules for containers there
LOG_LEVEL = 4  # all but what CRIU's own developers need
SWITCHES = ("tcp_established", "ext_unix_sk", "shell_job", "file_locks", "auto_dedup", "lazy_pages")


def check(config: Config) -> None:
    """Raise Error for what CRIU can't save, or not so that it would be the same."""
    for index, entry in enumerate(namespaces(config)):
        if entry.get("path") and entry["type"] not in (*EXTERNAL, *JOINED):
            raise Error(
                f"a container that joins a {entry['type']} namespace can't be checkpointed",
                f"/linux/namespaces/{index}/path",
            )
    if not namespace(config, "mount"):
        raise Error(
            "a container without a mount namespace can't be checkpointed", "/linux/namespaces"
        )
    for index, mount in enumerate(config.get("mounts") or []):
        pointer = f"/mounts/{index}"
        rare = mount_options.parse(mount, pointer)["rare"]
        if "idmap" in rare or "ridmap" in rare:
            raise Error("a container with id-mapped mounts can't be checkpointed", pointer)
        if mount_options.destination(mount) == "/" and not mount_options.on_existing(mount):
            raise Error("a container with a mount over its root can't be checkpointed", pointer)
    if LANDLOCK in (config.get("annotations") or {}):
        raise Error(
            "a container with Landlock rules can't be checkpointed",
            f"/annotations/{LANDLOCK}",
            "no kernel tells them, so they would not be there when it is restored",
        )
    if ((config.get("linux") or {}).get("seccomp") or {}).get("listenerPath"):
        raise Error(
            "a container with a seccomp agent can't be checkpointed", "/linux/seccomp/listenerPath"
        )
    if layers.asked(config, {}):
        raise Error(
            "a container with a root made of layers can't be checkpointed",
            hint="its writable layer would be gone when it is restored",
        )


def check_cgroup(config: Config, record: Config) -> None:
    """The same for a container with the cgroup of `record`."""
    if record["layout"] == "v2" and cgroup_mounts.forces_v1(config):
        raise Error(
            "a container with a cgroup v1 mount on a host with cgroup v2 can't be checkpointed",
            f"/annotations/{cgroup_mounts.FORCE_V1}",
        )


def leaves_network(opts: Options, config: Config) -> bool:
    """Whether what is in the network namespace is not saved, and a hook's affair at restore. It is
    if there are hooks that may have filled it: CRIU could not restore half a pair of devices whose
    other end is the host's (as under Docker), nor could they make what is there already."""
    if "network" in opts["empty_ns"]:
        return True
    hooks = config.get("hooks") or {}
    entry = namespace(config, "network")
    is_new = bool(entry) and not (entry or {}).get("path")
    return is_new and bool(hooks.get("prestart") or hooks.get("createRuntime"))


def cgroup_mode(opts: Options, config: Config) -> int:
    """What CRIU does about cgroups. If told to ignore them, it would not make a cgroup namespace
    either: there it moves processes, and no more."""
    mode = opts["manage_cgroups_mode"] or "soft"
    if mode == "ignore" and namespace(config, "cgroup"):
        return messages.CGROUPS_AS_THEY_ARE
    return messages.CGROUP_MODES[mode]


def options(opts: Options, config: Config, images: Directory, work: Directory, log: str) -> Any:
    """What both verbs have in common. Raises Error."""
    found = messages.Options(
        images_dir_fd=images.fd,
        work_dir_fd=work.fd,
        log_level=LOG_LEVEL,
        log_file=log,
        notify_scripts=True,
        manage_cgroups=True,
        manage_cgroups_mode=cgroup_mode(opts, config),
        # With both, CRIU takes what --shell-job is about for the container's own, and breaks.
        orphan_pts_master=has_terminal(config) or not opts["shell_job"],
    )
    for name in SWITCHES:
        if opts[name]:
            setattr(found, name, True)
    for kind in opts["empty_ns"]:
        if kind != "network":
            raise Error(f"--empty-ns {kind}: criu can leave a network namespace empty, no other")
    if leaves_network(opts, config):
        found.empty_ns |= NAMESPACES["network"]
    found.network_lock = network_lock(opts)
    return found


def has_terminal(config: Config) -> bool:
    """Whether the container has a terminal of its own."""
    return bool((config.get("process") or {}).get("terminal"))


def network_lock(opts: Options) -> int:
    """How CRIU holds back packets meanwhile: by the programs of iptables, its own default, or where
    they are not installed by nftables, for which it has a library."""
    if opts["network_lock"]:
        return messages.NETWORK_LOCKS[opts["network_lock"]]
    usual = service.program("iptables-restore") and service.program("ip6tables-restore")
    return messages.NETWORK_LOCKS["iptables" if usual else "nftables"]


def config_file(config: Config) -> str:
    """The file with more options of CRIU for this container, "" for none. Raises Error.

    CRIU's options can start programs: a file that others than root (or the caller) may write, as
    one in a rootfs would be, is refused.
    """
    notes = config.get("annotations") or {}
    path = notes.get(ANNOTATION)
    pointer = f"/annotations/{ANNOTATION}"
    if path == "" or (path is None and not os.path.exists(CONFIG_FILE)):
        return ""
    path, pointer = (CONFIG_FILE, "") if path is None else (path, pointer)
    if not path.startswith("/"):
        raise Error(f"{path!r} is not an absolute path", pointer)
    try:
        real = os.path.realpath(path, strict=True)
        while True:
            found = os.stat(real)
            if found.st_uid not in (0, os.geteuid()) or (
                found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX
            ):
                raise Error(
                    f"{path}: others than root may write {real}",
                    pointer,
                    "it can have criu start programs",
                )
            if real == "/":
                return str(path)
            real = os.path.dirname(real)
    except OSError as error:
        raise Error(f"{path}: {os.strerror(error.errno or 0).lower()}", pointer) from None


def joined(config: Config, kind: str) -> str:
    """The path of the namespace that the config joins, "" if it does not."""
    entry = namespace(config, kind) or {}
    path: str = entry.get("path") or ""
    return path
