# SPDX-License-Identifier: Apache-2.0
"""The unit of a container under systemd, from linux.cgroupsPath: names and places, pure.
systemd.unit(5), systemd.slice(5)."""

from __future__ import annotations

from pyrun.cgroup.facts import NAMED
from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

POINTER = "/linux/cgroupsPath"
PREFIX = "pyrun"
SLICE = ".slice"
LONGEST = 255  # UNIT_NAME_MAX of systemd, without the final NUL
_CHARACTERS = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@"  # a unit's name
)


def plan(
    record: dict[str, Any], asked: str, container_id: str, facts: dict[str, Any], uid: int
) -> None:
    """Add to a record of cgroup/plan.py what the systemd driver needs: `unit`, `slice`, `user`
    (whose manager it is: facts["user_manager"], or the system's), and in `paths` where the unit's
    cgroup will be, in every hierarchy. `uid` is the caller's, for his own manager's place.

    Raises Error for a path of another form, and for a host without a hierarchy that is systemd's.
    """
    mounts = facts["mounts"]
    where = "" if facts["layout"] == "v2" else home(mounts)
    if where not in mounts:
        raise Error(
            "the systemd cgroup driver (--systemd-cgroup) finds no cgroups of systemd on this host",
            hint=f"neither cgroup v2 nor v1's hierarchy {NAMED} is mounted; leave out"
            " --systemd-cgroup, with a cgroupsPath that is a path",
        )
    user: bool = facts["user_manager"]
    parent, unit = names(asked, container_id, user)
    above = _user_manager(facts["own"].get(where, "/"), uid) if user else ""
    above = above.removeprefix(mounts[where][1].rstrip("/"))
    place = f"{above}{expand(parent)}/{unit}"
    record |= {
        "unit": unit,
        "slice": parent,
        "user": user,
        "mount": mounts[where][0] if facts["layout"] == "v2" else "",
        "paths": {name: f"{mount.rstrip('/')}{place}" for name, (mount, _) in mounts.items()},
    }


def home(hierarchies: Iterable[str]) -> str:
    """Of a host's hierarchies, as facts.facts() names them, that in which systemd has its units.
    Where v2 is beside v1 it has them in both."""
    return NAMED if NAMED in hierarchies else ""


def names(asked: str, container_id: str, user: bool) -> tuple[str, str]:
    """(the slice, the unit in it) for a cgroupsPath, which may be "". Raises Error."""
    parts = asked.split(":") if asked else ["", PREFIX, container_id]
    if len(parts) != 3 or not parts[2]:
        raise Error(
            f'expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got'
            f' "{asked}" instead',
            POINTER,
            "such as system.slice:pyrun:box; or leave out --systemd-cgroup. An engine's setting for"
            " it must be that of who gives the path: SystemdCgroup of containerd, cgroupDriver of"
            " the kubelet",
        )
    parent, prefix, name = parts
    parent = parent or ("user.slice" if user else "system.slice")
    if name.endswith(SLICE):
        unit = name
        expand(unit)
        if unit == "-.slice":
            raise Error("-.slice is that of the whole host", POINTER, "give the container a name")
    else:
        unit = f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
    expand(parent)
    if not _CHARACTERS.issuperset(unit) or len(unit) > LONGEST:
        raise Error(
            f'"{unit}" is no name of a unit of systemd',
            POINTER if asked else "",
            r"letters, digits, and :-_.\@, at most 255 of them",
        )
    return parent, unit


def expand(name: str) -> str:
    """The place of a slice below its manager's cgroup: "" for -.slice, and "/a.slice/a-b.slice" for
    a-b.slice. Raises Error for what is no name of a slice."""
    stem = name.removesuffix(SLICE)
    if stem == "-" and name.endswith(SLICE):
        return ""
    parts = stem.split("-")
    if not name.endswith(SLICE) or not all(parts) or not _CHARACTERS.issuperset(stem):
        raise Error(f'"{name}" is no name of a slice', POINTER, "such as system.slice, a-b.slice")
    if len(name) > LONGEST:
        raise Error("the name of the slice has more than 255 characters", POINTER)
    return "".join(f"/{'-'.join(parts[: n + 1])}{SLICE}" for n in range(len(parts)))


def _user_manager(own: str, uid: int) -> str:
    """The cgroup of the user's manager: the one that we run below, or the place where systemd has
    it (user@.service(5))."""
    parts = own.split("/")
    for index, part in enumerate(parts):
        if part.startswith("user@") and part.endswith(".service"):
            return "/".join(parts[: index + 1])
    return f"/user.slice/user-{uid}.slice/user@{uid}.service"
