# SPDX-License-Identifier: Apache-2.0
"""The bundles of these tests: a root filesystem that holds the payload and little else, and a
config that a test changes before it is written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

Config = dict[str, Any]

FOLDERS = ("proc", "sys", "dev", "tmp", "etc", "data", "home/user")
CLOSED = ["nosuid", "noexec", "nodev"]
NAMESPACES = ("pid", "network", "ipc", "uts", "mount", "cgroup")
CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]


def mount(destination: str, kind: str, *options: str, source: str = "") -> Config:
    """An entry of mounts."""
    found: Config = {"destination": destination, "type": kind, "source": source or kind}
    if options:
        found["options"] = list(options)
    return found


def bind(source: str | Path, destination: str, *options: str) -> Config:
    """An entry of mounts that binds a path of the host."""
    return mount(destination, "bind", *(options or ("bind",)), source=str(source))


def default_config(cgroups_path: str) -> Config:
    """What an engine's config has in it, for the payload, without a terminal."""
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": ["/payload"],
            "env": ["PATH=/bin:/", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {
                name: list(CAPABILITIES) for name in ("bounding", "effective", "permitted")
            },
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": False},
        "hostname": "box",
        "mounts": [
            mount("/proc", "proc", *CLOSED),
            mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
            mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666"),
            mount("/dev/shm", "tmpfs", *CLOSED, "mode=1777", "size=65536k"),
            mount("/dev/mqueue", "mqueue", *CLOSED),
            mount("/sys", "sysfs", *CLOSED, "ro"),
        ],
        "linux": {
            "cgroupsPath": cgroups_path,
            "namespaces": [{"type": kind} for kind in NAMESPACES],
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        },
    }


def sentence(*verbs: str) -> list[str]:
    """Verbs of the payload as its arguments."""
    words: list[str] = []
    for verb in verbs:
        words += [*verb.split(" "), ";"]
    return words[:-1]


class Bundle:
    """A bundle's folder; `config` is written by save()."""

    def __init__(self, path: Path, payload: Path, cgroups_path: str) -> None:
        self.path = path
        self.rootfs = path / "rootfs"
        self.config = default_config(cgroups_path)
        for folder in FOLDERS:
            (self.rootfs / folder).mkdir(parents=True)
        (self.rootfs / "tmp").chmod(0o1777)
        os.link(payload, self.rootfs / "payload")

    @property
    def process(self) -> Config:
        """config.process."""
        found: Config = self.config["process"]
        return found

    @property
    def linux(self) -> Config:
        """config.linux."""
        found: Config = self.config["linux"]
        return found

    def namespaces(self, *kinds: str, **paths: str) -> None:
        """These and no others: new ones by name, joined ones by kind=path."""
        self.linux["namespaces"] = [{"type": kind} for kind in kinds] + [
            {"type": kind, "path": path} for kind, path in paths.items()
        ]

    def without_mount(self, *destinations: str) -> None:
        """Takes entries of mounts off the config."""
        mounts = self.config["mounts"]
        self.config["mounts"] = [m for m in mounts if m["destination"] not in destinations]

    def mount(self, destination: str) -> Config:
        """The entry of mounts at a destination."""
        return next(m for m in self.config["mounts"] if m["destination"] == destination)

    def map_ids(self, host: int = 100000, size: int = 65536) -> None:
        """A new user namespace, whose root is an ordinary user of the host. The payload's tree is
        given to it."""
        self.linux["namespaces"].append({"type": "user"})
        for kind in ("uidMappings", "gidMappings"):
            self.linux[kind] = [{"containerID": 0, "hostID": host, "size": size}]
        for folder, _, _ in os.walk(self.rootfs):
            os.chown(folder, host, host)

    def file(self, name: str, text: str, mode: int = 0o644) -> Path:
        """A file in the root filesystem."""
        path = self.rootfs / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def say(self, *verbs: str) -> None:
        """What the payload is to do, as process.args: `say("hostname", "stat /dev")`."""
        self.process["args"] = ["/payload", *sentence(*verbs)]

    def save(self) -> None:
        """Writes config.json."""
        (self.path / "config.json").write_text(json.dumps(self.config, indent=1))
