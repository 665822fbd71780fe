# SPDX-License-Identifier: Apache-2.0
"""The bundle of a check: a root filesystem that holds the payload and little else, and a config
that the check changes before it is written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

Config = dict[str, Any]

FOLDERS = ("proc", "sys", "dev", "tmp", "etc", "data", "work")
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
    """A config that every runtime takes: what engines ask for, for the payload, no terminal."""
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
            mount("/sys", "sysfs", *CLOSED, "ro"),
        ],
        "linux": {
            "cgroupsPath": cgroups_path,
            "namespaces": [{"type": kind} for kind in NAMESPACES],
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        },
    }


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

    @property
    def mounts(self) -> list[Config]:
        """config.mounts."""
        found: list[Config] = self.config["mounts"]
        return found

    @mounts.setter
    def mounts(self, entries: list[Config]) -> None:
        self.config["mounts"] = entries

    def hook(self, kind: str, *words: str, **more: Any) -> None:
        """Adds a hook of a kind: its path and the arguments after the first."""
        entry = {"path": words[0], "args": list(words), **more}
        self.config.setdefault("hooks", {}).setdefault(kind, []).append(entry)

    def namespace(self, kind: str, path: str | None = None) -> None:
        """A new namespace of this kind, or the one at a path."""
        self.without_namespace(kind)
        self.linux["namespaces"].append({"type": kind} | ({"path": path} if path else {}))

    def without_namespace(self, *kinds: str) -> None:
        """Takes namespaces off the config."""
        kept = [entry for entry in self.linux["namespaces"] if entry["type"] not in kinds]
        self.linux["namespaces"] = kept

    def without_mount(self, *destinations: str) -> None:
        """Takes entries of mounts off the config."""
        self.mounts[:] = [
            entry for entry in self.mounts if entry["destination"] not in destinations
        ]

    def capabilities(self, *names: str) -> None:
        """These besides the usual ones."""
        for kind in ("bounding", "effective", "permitted"):
            self.process["capabilities"][kind] += names

    def map_ids(self, host: int = 100000, size: int = 65536) -> None:
        """A new user namespace, whose root is an ordinary user of the host. The root filesystem is
        given to it."""
        self.namespace("user")
        for kind in ("uidMappings", "gidMappings"):
            self.linux[kind] = [{"containerID": 0, "hostID": host, "size": size}]
        for folder, _, files in os.walk(self.rootfs):
            for name in (folder, *(f"{folder}/{file}" for file in files if file != "payload")):
                os.chown(name, host, host, follow_symlinks=False)

    def file(self, name: str, text: str = "", mode: int = 0o644) -> Path:
        """A file in the root filesystem."""
        path = self.rootfs / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def say(self, *verbs: str) -> None:
        """What the payload is to do, as process.args: `say("hostname", "stat /dev")`."""
        words: list[str] = []
        for verb in verbs:
            words += [*verb.split(" "), ";"]
        self.process["args"] = ["/payload", *words[:-1]]

    def save(self) -> None:
        """Writes config.json."""
        (self.path / "config.json").write_text(json.dumps(self.config, indent=1))
