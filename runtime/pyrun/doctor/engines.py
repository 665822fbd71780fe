# SPDX-License-Identifier: Apache-2.0
"""Which engines are installed, and whether they know pyrun: README.md has what to write."""

from __future__ import annotations

import json
import os
import tomllib

from pyrun.doctor.finding import gap, ok

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from pyrun.doctor.finding import Finding
    from pyrun.doctor.host import Host


def engines(host: Host) -> list[Finding]:
    """One for each engine that is installed, or one that says there is none."""
    found = []
    for name, (program, files, runtimes, section) in ENGINES.items():
        if host.program(program):
            found.append(_engine(host, name, files(host), runtimes, section))
    return found or [ok("engines", "none of " + ", ".join(ENGINES) + " is installed")]


def _engine(
    host: Host,
    name: str,
    files: list[str],
    runtimes: Callable[[dict[str, Any]], Iterator[str]],
    section: str,
) -> Finding:
    for file in files:
        text = host.text(file)
        try:
            config = json.loads(text or "{}") if file.endswith(".json") else tomllib.loads(text)
        except ValueError as error:
            return gap(name, f"{file}: {error}", "the engine can't read it either: mend it")
        for path in runtimes(config):
            if os.path.basename(path).startswith("pyrun"):
                if host.program(path) if "/" not in path else host.exists(path):
                    return ok(name, f"knows {path} ({file})")
                return gap(name, f"{file} names {path}, which is not there", "make install")
    return gap(name, "does not know pyrun", f"{section} in {files[-1]}, as README.md has it")


def _tables(config: Any, *path: str) -> Iterator[dict[str, Any]]:
    """The tables of each runtime below `path`; nothing where something else stands."""
    for word in path:
        config = config.get(word) if isinstance(config, dict) else None
    if isinstance(config, dict):
        yield from (table for table in config.values() if isinstance(table, dict))


def _podman(config: dict[str, Any]) -> Iterator[str]:
    """containers.conf(5): a list of paths for each name."""
    engine = config.get("engine")
    table = engine.get("runtimes") if isinstance(engine, dict) else None
    for paths in (table if isinstance(table, dict) else {}).values():
        yield from (path for path in paths if isinstance(path, str))
    default = engine.get("runtime") if isinstance(engine, dict) else None
    if isinstance(default, str) and default.startswith("/"):
        yield default


def _docker(config: dict[str, Any]) -> Iterator[str]:
    """daemon.json: runtimes.NAME.path."""
    yield from (str(table.get("path", "")) for table in _tables(config, "runtimes"))


def _containerd(config: dict[str, Any]) -> Iterator[str]:
    """config.toml, versions 2 and 3: options.BinaryName of the CRI's runtimes."""
    for plugin in ("io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"):
        for table in _tables(config, "plugins", plugin, "containerd", "runtimes"):
            options = table.get("options")
            yield str(options.get("BinaryName", "") if isinstance(options, dict) else "")


def _crio(config: dict[str, Any]) -> Iterator[str]:
    """crio.conf(5): runtime_path of each runtime."""
    for table in _tables(config, "crio", "runtime", "runtimes"):
        yield str(table.get("runtime_path", ""))


def _with_drop_ins(host: Host, *bases: str) -> list[str]:
    """Each file's drop-ins come first, the file to edit last."""
    found = []
    for base in bases:
        found += [f"{base}.d/{name}" for name in host.names(f"{base}.d") if name.endswith(".conf")]
        found.append(base)
    return found


def _podman_files(host: Host) -> list[str]:
    own = (
        [] if host.is_root or not host.home else [f"{host.home}/.config/containers/containers.conf"]
    )
    files = ("/usr/share/containers/containers.conf", "/etc/containers/containers.conf", *own)
    return _with_drop_ins(host, *files)


# name: (its program, its files, how they name runtimes, what to add)
ENGINES: dict[
    str,
    tuple[
        str,
        Callable[[Host], list[str]],
        Callable[[dict[str, Any]], Iterator[str]],
        str,
    ],
] = {
    "podman": ("podman", _podman_files, _podman, "name it under [engine.runtimes]"),
    "docker": ("dockerd", lambda _: ["/etc/docker/daemon.json"], _docker, "name it under runtimes"),
    "containerd": (
        "containerd",
        lambda _: ["/etc/containerd/config.toml"],
        _containerd,
        "add a runtime with its path as BinaryName",
    ),
    "cri-o": (
        "crio",
        lambda host: _with_drop_ins(host, "/etc/crio/crio.conf"),
        _crio,
        "add a runtime with its path as runtime_path",
    ),
}
