# SPDX-License-Identifier: Apache-2.0
"""The config that `pyrun spec` writes: a shell in the usual namespaces, as `runc spec` has it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config

VERSION = "1.3.0"  # of the specification

_CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]


def default(owner: tuple[int, int] | None = None) -> Config:
    """A new config for a bundle whose root filesystem is `rootfs`.

    With `owner`, the (uid, gid) of a caller without privileges, it is the rootless one: that user
    is root in a user namespace, and what needs more privileges is left out.
    """
    config: Config = {
        "ociVersion": VERSION,
        "process": _process(),
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "runc",
        "mounts": _mounts(),
        "linux": _linux(),
    }
    return config if owner is None else _rootless(config, *owner)


def _process() -> Config:
    return {
        "terminal": True,
        "user": {"uid": 0, "gid": 0},
        "args": ["sh"],
        "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
        "cwd": "/",
        "capabilities": {
            name: list(_CAPABILITIES) for name in ("bounding", "effective", "permitted", "ambient")
        },
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
        "noNewPrivileges": True,
    }


def _mount(path: str, kind: str, source: str, options: str = "") -> Config:
    mount: Config = {"destination": path, "type": kind, "source": source}
    if options:
        mount["options"] = options.split()
    return mount


def _mounts() -> list[Config]:
    closed = "nosuid noexec nodev"
    return [
        _mount("/proc", "proc", "proc"),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid strictatime mode=755 size=65536k"),
        _mount(
            "/dev/pts",
            "devpts",
            "devpts",
            "nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5",
        ),
        _mount("/dev/shm", "tmpfs", "shm", f"{closed} mode=1777 size=65536k"),
        _mount("/dev/mqueue", "mqueue", "mqueue", closed),
        _mount("/sys", "sysfs", "sysfs", f"{closed} ro"),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", f"{closed} relatime ro"),
    ]


def _linux() -> Config:
    return {
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")],
        "maskedPaths": [
            "/proc/acpi",
            "/proc/asound",
            "/proc/kcore",
            "/proc/keys",
            "/proc/latency_stats",
            "/proc/timer_list",
            "/proc/timer_stats",
            "/proc/sched_debug",
            "/sys/firmware",
            "/proc/scsi",
        ],
        "readonlyPaths": [
            "/proc/bus",
            "/proc/fs",
            "/proc/irq",
            "/proc/sys",
            "/proc/sysrq-trigger",
        ],
    }


def _rootless(config: Config, uid: int, gid: int) -> Config:
    linux = config["linux"]
    del linux["resources"]  # no cgroup to write to
    linux["uidMappings"] = [{"containerID": 0, "hostID": uid, "size": 1}]
    linux["gidMappings"] = [{"containerID": 0, "hostID": gid, "size": 1}]
    # The network stays the host's: nobody could connect a new one.
    linux["namespaces"] = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "user")]
    for mount in config["mounts"]:
        if mount["destination"] == "/dev/pts":
            mount["options"].remove("gid=5")  # a group outside the map
        if mount["destination"] == "/sys":  # sysfs can't be mounted over the host's network
            mount["type"] = "none"
            mount["source"] = "/sys"
            mount["options"].insert(0, "rbind")
    return config
