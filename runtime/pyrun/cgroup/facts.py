# SPDX-License-Identifier: Apache-2.0
"""Where the cgroup hierarchies are mounted on this host, and where this process is in each."""

from __future__ import annotations

from pyrun.cgroup import cgroupfs
from pyrun.errors import from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Options of a v1 mount that are no controllers (cgroup_show_options in the kernel).
_FLAGS = frozenset(
    ("rw", "ro", "noprefix", "xattr", "clone_children", "cpuset_v2_mode", "favordynmods")
    + ("release_agent",)
)
ROOT = "/sys/fs/cgroup"
NAMED = "name=systemd"  # a hierarchy of v1 without controllers


def facts() -> dict[str, Any]:
    """What `driver.plan` needs to know of this host, as plain JSON-able data.

    `layout`: "v1" (controllers in v1 hierarchies), "hybrid" (the same, and a v2 tree beside them),
    "v2", or "none" (no hierarchy mounted). `mounts`: {controller: [mount point, root of the mount
    in its hierarchy]}, where a named v1 hierarchy is "name=…" and the v2 tree is "". `own`:
    {controller: this process's cgroup}. `beside`, on v2 and where there is one: as in `mounts`, the
    v1 hierarchy name=systemd, for `add_beside`. Reads /proc/self/mountinfo and /proc/self/cgroup
    once.
    """
    try:
        return parse(cgroupfs.read("/proc/self/mountinfo"), cgroupfs.read("/proc/self/cgroup"))
    except OSError as error:
        raise from_os(error, f"read {error.filename}") from None


def parse(mountinfo: str, own: str) -> dict[str, Any]:
    """`facts` from the text of mountinfo and of cgroup (proc_pid_mountinfo(5), cgroups(7))."""
    found = _mounts(mountinfo)
    unified = found.get("")
    beside = {}
    legacy = len(found) > (unified is not None)
    if unified and (unified[0] == ROOT or not legacy):
        # The kernel may still list v1 hierarchies in /proc/self/cgroup, or a v1 mount may lie
        # hidden under this one: whoever mounted v2 at the well-known place wants v2.
        layout = "v2"
        if NAMED in found:
            beside["beside"] = found[NAMED]
        found = {"": unified}
    elif legacy:
        layout = "hybrid" if unified else "v1"
    else:
        layout = "none"
    return {"layout": layout, "mounts": found, "own": in_each(own), **beside}


def add_beside(known: dict[str, Any]) -> None:
    """On a v2 host, have the facts `known` count the v1 hierarchy name=systemd among the mounts,
    as the last, if it is there to be seen."""
    place = known.pop("beside", None)
    # One from before may lie hidden under the v2 tree: each cgroup of v1 has this file, none of v2.
    if place and cgroupfs.exists(f"{place[0]}/cgroup.clone_children"):
        known["mounts"][NAMED] = place


def _mounts(mountinfo: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in mountinfo.split("\n"):  # splitlines() knows more ends than the kernel escapes
        head, dash, tail = line.partition(" - cgroup")
        if not dash:
            continue
        fields = head.split(" ")
        place = [unescape(fields[4]), unescape(fields[3])]
        kind = tail.split(" ")
        if kind[0] == "2":
            names = [""]
        elif kind[0] == "":
            names = [name for name in kind[2].split(",") if name.partition("=")[0] not in _FLAGS]
        else:
            continue
        for name in names:
            # A hierarchy mounted twice (a nested engine's copy): the well-known place wins.
            if name not in found or (
                place[0].startswith(ROOT) and not found[name][0].startswith(ROOT)
            ):
                found[name] = place
    return found


def in_each(text: str) -> dict[str, str]:
    """{controller: the cgroup of a process}, from its /proc/PID/cgroup."""
    own: dict[str, str] = {}
    for line in filter(None, text.split("\n")):
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        for name in names.split(","):
            own[name] = path
    return own


def unescape(field: str) -> str:
    """A path of mountinfo, which has space, tab, newline and backslash as three octal digits."""
    if "\\" not in field:
        return field
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, char)
    return field
