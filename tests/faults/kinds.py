# SPDX-License-Identifier: Apache-2.0
"""The kinds of container that are swept over, and what each takes of the machine: in a virtual
machine there are others than here (docs/vm.md)."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from life import hierarchies
from life.bundles import Bundle, mount
from life.runtimes import Container
from life.systemd_units import BY_SYSTEMD, SLICE

MEMORY = 96 << 20  # bytes, before `update`
UPDATED = 64 << 20
DEPTH, UPDATED_DEPTH = 7, 5  # cgroup.max.depth, where no controller is to be had in v2
CONSOLE = "console"  # the socket, beside the bundles: a path of at most 107 bytes
HOOK = "/bin/sh"
WITNESS = "witness"  # what hooks have left, one line each


class Kind(NamedTuple):
    """`change`: of the bundle. `view`: shows other hierarchies than the machine's, in the mount
    namespace of the test. `options`: global ones."""

    change: Callable[[Bundle], None] = lambda _bundle: None
    needs: tuple[str, ...] = ()
    view: Callable[[], None] = lambda: None
    options: tuple[str, ...] = ()
    terminal: bool = False
    python: bool = False

    def flags(self, container: Container, verb: str) -> list[str | Path]:
        """What the verb is told besides."""
        if verb == "update":
            return update_flags(container)
        path = place_of(container.bundle) / CONSOLE
        if not self.terminal or verb not in ("create", "run", "exec"):
            return []
        return [*(["--detach", "--tty"] if verb == "exec" else []), "--console-socket", path]


def place_of(bundle: Bundle) -> Path:
    """Where the test keeps what is not the container's."""
    return bundle.path.parent.parent


def update_flags(container: Container) -> list[str | Path]:
    """The memory limit, or what a cgroup has without any controller."""
    if hierarchies.has_memory():
        return ["--memory", str(UPDATED)]
    path = container.bundle.path / "resources.json"
    path.write_text(json.dumps({"unified": {"cgroup.max.depth": str(UPDATED_DEPTH)}}))
    return ["--resources", path]


def limited(bundle: Bundle) -> None:
    """With the limit that `update` changes, and a mount at a link of the image to the host."""
    resources = bundle.linux["resources"]
    if hierarchies.has_memory():
        resources["memory"] = {"limit": MEMORY}
    else:
        resources["unified"] = {"cgroup.max.depth": str(DEPTH)}
    outside = place_of(bundle) / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "marker").write_text("of the host")
    link = bundle.rootfs / "astray"
    if not link.is_symlink():
        link.symlink_to(outside)
    bundle.config["mounts"].append(mount("/astray/in/here", "tmpfs", "mode=755"))


def staged(bundle: Bundle) -> None:
    """In a user namespace, by two stages, with hooks that are the runtime's."""
    bundle.map_ids()
    bundle.linux["namespaces"].append({"type": "time"})
    bundle.linux["timeOffsets"] = {"boottime": {"secs": 500000}}
    bundle.config["hooks"] = {
        kind: [witness(bundle, kind)] for kind in ("createRuntime", "poststart", "poststop")
    }


def hooked(bundle: Bundle) -> None:
    """With all kinds of hooks."""
    kinds = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
    bundle.config["hooks"] = {kind: [witness(bundle, kind)] for kind in kinds}
    hook = {"path": "/payload", "args": ["/payload", "print", "x"]}
    bundle.config["hooks"]["startContainer"] = [hook]


def witness(bundle: Bundle, kind: str) -> dict[str, object]:
    """A hook that says that it was there."""
    script = f"echo {kind} >> {place_of(bundle) / WITNESS}"
    return {"path": HOOK, "args": ["sh", "-c", script]}


def with_terminal(bundle: Bundle) -> None:
    """Its terminal goes to a console socket."""
    bundle.process["terminal"] = True


def by_systemd(bundle: Bundle) -> None:
    """systemd makes its cgroup."""
    bundle.linux["cgroupsPath"] = f"{SLICE}:life:{bundle.path.name}"


def show_v2() -> None:
    """The unified tree alone; on a machine with v1, without controllers."""
    if not (hierarchies.TOP / "cgroup.procs").exists():
        hierarchies.show_v2()


def show_v1() -> None:
    """No v2 tree at all."""
    hierarchies.show_v1(unified=False)


KINDS = {
    "plain": Kind(),  # whatever can goes the short way, without Python
    "python": Kind(python=True),
    "userns": Kind(staged),
    "terminal": Kind(with_terminal, terminal=True),
    "hooks": Kind(hooked),
    "v1": Kind(needs=("cgroup_v1_controllers",), view=show_v1),
    "v2": Kind(view=show_v2),
    "systemd": Kind(by_systemd, needs=("systemd",), options=tuple(BY_SYSTEMD)),
}


class Console:
    """An engine's console socket: what it gets is looked at by nobody, and closed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen(64)
        self.socket.settimeout(0)

    def drain(self) -> None:
        """Close all terminals that have come."""
        while True:
            try:
                connection, _ = self.socket.accept()
            except BlockingIOError:
                return
            with connection:
                _, fds, _, _ = socket.recv_fds(connection, 4096, 4, socket.MSG_DONTWAIT)
                for fd in fds:
                    os.close(fd)

    def close(self) -> None:
        """And its path is gone."""
        self.socket.close()
        self.path.unlink()
