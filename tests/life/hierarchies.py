# SPDX-License-Identifier: Apache-2.0
"""Other arrangements of cgroup hierarchies than the machine's own, at /sys/fs/cgroup of a mount
namespace that is a test's: nobody else sees them.

The kernel has each controller in one hierarchy for everybody. So a v1 hierarchy can be added for a
controller that is in none yet; and a machine with v1 can show a pure v1, or v2 without controllers.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

TOP = Path("/sys/fs/cgroup")
PATIENCE = 20.0  # seconds for another test to let a controller go


def run(*words: str) -> None:
    """A command that must work."""
    subprocess.run(words, check=True)


def mounted() -> list[tuple[str, str]]:
    """(name of the folder, mount options) of each v1 hierarchy below /sys/fs/cgroup."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, rest = line.split(" - ")
        kind, _, words = rest.split(" ", 2)
        place = Path(fields.split()[4])
        if kind == "cgroup" and place.parent == TOP:
            names = [word for word in words.split(",") if word not in ("rw", "xattr")]
            names = [word for word in names if not word.startswith("release_agent=")]
            found.append((place.name, ",".join(names)))
    return found


def known() -> list[str]:
    """The controllers that v1 can have on this kernel: /proc/cgroups."""
    rows = [line.split() for line in Path("/proc/cgroups").read_text().splitlines()[1:]]
    return [name for name, _, _, enabled in rows if enabled == "1"]


def has_v1() -> bool:
    """Whether this machine has its controllers in v1 hierarchies."""
    return any(name == "memory" for name, _ in mounted())


def show_v1(*more: str, unified: bool) -> None:
    """The v1 hierarchies that are mounted, one each for `more` controllers, and maybe the v2 tree
    beside them, as on a hybrid machine."""
    hierarchies = mounted()
    present = {name for _, names in hierarchies for name in names.split(",")}
    run("umount", "-l", "-R", str(TOP))
    run("mount", "-t", "tmpfs", "-o", "mode=755", "cgroups", str(TOP))
    for folder, names in [*hierarchies, *((name, name) for name in more if name not in present)]:
        (TOP / folder).mkdir()
        _mount(names if "=" not in names else f"none,{names}", TOP / folder)
        if "," in folder:
            for name in folder.split(","):
                (TOP / name).symlink_to(folder)
    if unified:
        (TOP / "unified").mkdir()
        run("mount", "-t", "cgroup2", "cgroup2", str(TOP / "unified"))


def has_memory() -> bool:
    """Whether limits of memory can be set in what is in view, and with it the usual ones."""
    unified = TOP / "cgroup.controllers"
    return "memory" in unified.read_text().split() if unified.exists() else has_v1()


def is_unified() -> bool:
    """Whether v2 alone is in view."""
    return (TOP / "cgroup.procs").exists()


def directory(path: str) -> Path:
    """Where a cgroup is, on v1 in one of the hierarchies."""
    return TOP / ("." if is_unified() else "pids") / path.lstrip("/")


VIEWS = ("host", "unified") if has_v1() else ("host",)


@contextlib.contextmanager
def view(which: str) -> Iterator[None]:
    """Meanwhile the hierarchies are those of the host, or the unified tree alone, with such
    controllers as it has."""
    if which == "host":
        yield
        return
    from life import leftovers

    with leftovers.own_view():
        show_v2()
        yield


def show_v2() -> None:
    """The unified tree alone, as on a machine of today; it has the controllers that v1 has not."""
    run("umount", "-l", "-R", str(TOP))
    run("mount", "-t", "cgroup2", "cgroup2", str(TOP))


def _mount(names: str, place: Path) -> None:
    """One v1 hierarchy. A controller that another test has just used in the v2 tree is busy."""
    deadline = time.monotonic() + PATIENCE
    while True:
        done = subprocess.run(
            ["mount", "-t", "cgroup", "-o", names, "cgroup", str(place)],
            capture_output=True,
            text=True,
        )
        if done.returncode == 0:
            return
        assert time.monotonic() < deadline, done.stderr
        time.sleep(0.1)
