# SPDX-License-Identifier: Apache-2.0
"""What of a container's mounts is the host's, by names that nothing in the rootfs has a part in.

CRIU calls such mounts external: at the dump each gets a name, at restore a path of the host for
the name. Names are indices (CVE-2026-119101, CVE-2026-115520: paths as names can be forged, by
links and by directories with "]:" in their names):

    3             mounts[3], a bind mount, of the config at the dump
    3.0, 3.1, …   what is mounted below its source, if it is rbind
    device-2      a node of the host's, where the container could make none itself
    null          the host's /dev/null, over masked files
    cgroup-NAME   the container's cgroup in the hierarchy at /sys/fs/cgroup/NAME
    cgroups-NAME  the whole hierarchy
    notify        the folder of its NOTIFY_SOCKET

Which mount has which name is told by what it shows (mount_table.identity), not by where it is.

Engines write the mounts of a config in any order, and another one each time. So the images tell
which destination a name stood for, and at restore the mount that the config has there gets it.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from pyrun import notify
from pyrun.compile import devices, mount_options
from pyrun.criu import mount_table
from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.criu.mount_table import Mount
    from pyrun.types import Config, Facts

NULL, NOTIFY = "null", "notify"
END = "]:"  # in CRIU's list of names it ends what stands for a mount


class External(NamedTuple):
    """A name, and what of the host it stands for."""

    name: str
    path: str
    destination: str  # where the config wants it, "" if it is not of mounts[]


def of_config(config: Config, facts: Facts, container_path: str) -> list[External]:
    """All that the config asks for but cgroups; `container_path` is the state folder's."""
    found = []
    for index, mount in enumerate(config.get("mounts") or []):
        if mount_options.is_bind(mount) and not mount_options.link_to_copy(mount, facts):
            source = mount_options.source(mount, facts)
            found.append(External(f"{index}", source, mount_options.destination(mount)))
    if facts["binds_devices"]:
        for index, (path, _) in enumerate(devices.sources(config)):
            found.append(External(f"device-{index}", path, path))
    found.append(External(NULL, "/dev/null", ""))
    found.append(External(NOTIFY, f"{container_path}/{notify.FOLDER}", notify.INSIDE))
    return found


def of_cgroups(record: Config, ours: list[Mount], pid: int | str) -> list[External]:
    """The hierarchies, and the container's cgroup in each: that of the record, or if there is none
    that of the process `pid`."""
    found = []
    places = _places(record, ours, pid)
    for mount in ours:
        if mount.kind in ("cgroup", "cgroup2"):
            name = os.path.basename(mount.point)
            for place in places:
                if mount_table.below(place, mount.point) is not None:
                    found.append(External(f"cgroup-{name}", place, ""))
            found.append(External(f"cgroups-{name}", mount.point, ""))
    return found


def _places(record: Config, ours: list[Mount], pid: int | str) -> list[str]:
    if record["paths"]:
        below = record.get("subgroup") or ""
        return [mount_table.join(path, below) for path in dict.fromkeys(record["paths"].values())]
    found = []
    with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            _, names, path = line.rstrip("\n").split(":", 2)
            for mount in ours:
                is_it = names.split(",")[0] in mount.data if names else mount.kind == "cgroup2"
                inside = mount_table.below(path, mount.root)
                if is_it and inside is not None and mount.kind.startswith("cgroup"):
                    found.append(mount_table.join(mount.point, inside))
    return found


def destinations(externals: list[External]) -> dict[str, str]:
    """What named_as() takes: {name: destination} of those that the config has an order of."""
    return {one.name: one.destination for one in externals if _list(one.name)}


def named_as(externals: list[External], names: dict[str, str]) -> list[External]:
    """The externals by the names that they had at a dump: names[name] is the destination. Of
    several at one destination the first is the first one. What was not there then is left out."""
    free: dict[tuple[str, str], list[str]] = {}
    for name, destination in names.items():
        free.setdefault((_list(name), destination), []).append(name)
    found = []
    for one in externals:
        kind = _list(one.name)
        old = free.get((kind, one.destination))
        if old and kind:
            found.append(one._replace(name=old.pop(0)))
        elif not kind:
            found.append(one)
    return found


def _list(name: str) -> str:
    """The list of the config that the index in this name is of, "" if there is none in it."""
    kind, _, index = name.rpartition("-")
    if index.isascii() and index.isdigit() and kind in ("", "device"):
        return kind or "mounts"
    return ""


def below_rbind(config: Config, facts: Facts, ours: list[Mount]) -> dict[str, str]:
    """{"3.0": a path relative to the source of mounts[3]} of all that is mounted below the sources
    of rbind mounts."""
    found = {}
    for index, mount in enumerate(config.get("mounts") or []):
        if not mount_options.is_bind(mount) or mount_options.depth(mount) != "recursive":
            continue
        real = os.path.realpath(mount_options.source(mount, facts))
        inside = [mount_table.below(other.point, real) for other in ours]
        for number, path in enumerate(filter(None, inside)):
            found[f"{index}.{number}"] = path
    return found


def with_nested(externals: list[External], nested: dict[str, str]) -> list[External]:
    """The same, and those of below_rbind()."""
    paths = {external.name: external.path for external in externals}
    more = [
        External(name, f"{os.path.realpath(paths[name.partition('.')[0]])}/{path}", "")
        for name, path in nested.items()
        if name.partition(".")[0] in paths
    ]
    return externals + more


def name_mounts(
    table: list[Mount], externals: list[External], ours: list[Mount]
) -> list[tuple[str, str]]:
    """(mount point in the container, name) of each of a container's mounts that shows one of the
    externals. Raises Error."""
    by_identity: dict[tuple[str, str], list[External]] = {}
    for external in externals:
        shown = mount_table.identity(external.path, ours)
        if shown:
            by_identity.setdefault(shown, []).append(external)
    found = []
    used: set[str] = set()
    for mount in table:
        candidates = by_identity.get(mount.identity)
        if candidates and mount.point != "/":  # that one is told apart: it is the root
            # The same source may be mounted more than once, with different attributes.
            chosen = min(candidates, key=lambda e: (e.destination != mount.point, e.name in used))
            used.add(chosen.name)
            found.append((_checked(mount.point), chosen.name))
    return found


def _checked(point: str) -> str:
    """A mount point that CRIU can be told of. Raises Error."""
    try:
        point.encode()
    except UnicodeEncodeError:
        raise Error(f"the mount point {point!r} can't be told to criu: it is not UTF-8") from None
    for unreadable in (END, "\n"):  # CRIU takes a newline for the four characters that it reads
        if unreadable in point:
            what = f"the mount point {point!r} can't be told to criu"
            raise Error(f"{what}: it has {unreadable!r} in it")
    return point
