# SPDX-License-Identifier: Apache-2.0
"""What the kernel takes as an id map: the rules of user_namespaces(7), for users and groups."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrun.types import Config, Problem

EXTENTS = 340  # UID_GID_MAP_MAX_EXTENTS since Linux 4.15
HIGHEST = 2**32 - 1  # exclusive: the last id of an extent is at most 2^32 - 2
NAMES = ("uidMappings", "gidMappings")


def problems(holder: Config, at: str) -> Iterator[Problem]:
    """Faults in the uidMappings and gidMappings of `holder` (linux, or one mount) at `at`."""
    given = [name for name in NAMES if holder.get(name)]
    if len(given) == 1:
        other = NAMES[1 - NAMES.index(given[0])]
        yield f"{at}/{other}", f"is required beside {given[0]}"
    for name in given:
        yield from _extents(holder[name], f"{at}/{name}")


def _extents(mappings: list[dict[str, int]], at: str) -> Iterator[Problem]:
    if len(mappings) > EXTENTS:
        yield at, f"has {len(mappings)} entries: the kernel takes {EXTENTS}"
    for index, entry in enumerate(mappings):
        if entry["size"] == 0:
            yield f"{at}/{index}/size", "must be at least 1"
        for side in ("containerID", "hostID"):
            if entry[side] + entry["size"] > HIGHEST:
                yield f"{at}/{index}/{side}", "the range passes the highest id, 4294967294"
    if len(mappings) > 1:
        for side in ("containerID", "hostID"):
            yield from _overlaps(mappings, side, at)


def _overlaps(mappings: list[dict[str, int]], side: str, at: str) -> Iterator[Problem]:
    order = sorted(range(len(mappings)), key=lambda index: mappings[index][side])
    for before, after in zip(order, order[1:], strict=False):  # noqa: RUF007  an import less
        if mappings[before][side] + mappings[before]["size"] > mappings[after][side]:
            later, earlier = max(before, after), min(before, after)
            yield f"{at}/{later}/{side}", f"the range overlaps that of entry {earlier}"


def host_id(entries: list[Config], inside: int) -> int | None:
    """What an id of the container is on the host by its map, None if it is not mapped."""
    for entry in entries:
        offset: int = inside - entry["containerID"]
        if 0 <= offset < entry["size"]:
            return int(entry["hostID"]) + offset
    return None
