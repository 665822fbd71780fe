# SPDX-License-Identifier: Apache-2.0
"""idmap and ridmap: which ids of a mount's file system appear as which. The kernel takes the maps
as a user namespace, and only of somebody with rights over that and over the file system: so the
runtime, which has both, sets them, on the mount that the executor shows it (idmapped_mounts.py)."""

from __future__ import annotations

from pyrun import ops, sync
from pyrun.compile import id_maps
from pyrun.compile.donations import namespace
from pyrun.errors import Error
from pyrun.linux import AT_RECURSIVE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts, Steps

INLINE = {"uids": "uidMappings", "gids": "gidMappings"}


def apply(
    mount: Config, options: Config, place: tuple[str, int], config: Config, facts: Facts
) -> Steps:
    """Have the runtime map the ids of the mount in the slot. Raises Error."""
    pointer, tree = place
    if not facts["privileged"]:
        raise Error(
            "id-mapped mounts need privileges: the caller is not root", f"{pointer}/options"
        )
    wanted(mount, options["rare"], pointer, config)
    yield f"{pointer}/options", ops.sync_send(sync.MOUNT_MAP, tree)


def flags(rare: Config) -> int:
    """AT_* of mount_setattr(2)."""
    return AT_RECURSIVE if "ridmap" in rare else 0


def wanted(mount: Config, rare: Config, pointer: str, config: Config) -> Config:
    """{"uidMappings", "gidMappings"}: the option's, the mount's or the container's; {"path"} of a
    user namespace for those of one that the container joins. Raises Error."""
    text = rare.get("ridmap") or rare.get("idmap") or ""
    own = {name: mount[name] for name in id_maps.NAMES if mount.get(name)}
    if text and own:
        raise Error("the mount has id maps of its own, and others in options", f"{pointer}/options")
    if text:
        return _inline(text, pointer, config)
    if own:
        return own
    entry = namespace(config, "user")
    if entry is None:
        raise Error(
            "idmap without id maps takes those of the container, which has none",
            f"{pointer}/options",
            "give the mount uidMappings and gidMappings, or the container a user namespace",
        )
    if entry.get("path"):
        return {"path": entry["path"]}
    return {name: config["linux"][name] for name in id_maps.NAMES}


def _inline(text: str, pointer: str, config: Config) -> Config:
    """crun's `idmap=uids=0-1-10#20-40-5;gids=@0-0-10`: inside, outside, count; with a @ the outside
    is an id of the container."""
    found: Config = {}
    for part in text.split(";"):
        kind, _, words = part.partition("=")
        if kind not in INLINE or INLINE[kind] in found:
            raise _malformed(text, pointer)
        name = INLINE[kind]
        found[name] = []
        for word in words.split("#"):
            numbers = word.removeprefix("@").split("-")
            if len(numbers) != 3 or not all(n.isascii() and n.isdigit() for n in numbers):
                raise _malformed(text, pointer)
            inside, outside, size = map(int, numbers)
            if word.startswith("@"):
                found[name] += _relative((inside, outside, size), name, pointer, config)
            else:
                found[name].append(_entry(inside, outside, size))
    for where, problem in id_maps.problems(found, ""):
        raise Error(f"idmap={text}: {where[1:]} {problem}", f"{pointer}/options")
    return found


def _malformed(text: str, pointer: str) -> Error:
    hint = "as in idmap=uids=0-1000-10#10-2000-5;gids=0-1000-15"
    return Error(f"idmap={text}: not a list of id maps", f"{pointer}/options", hint)


def _entry(inside: int, outside: int, size: int) -> dict[str, int]:
    return {"containerID": inside, "hostID": outside, "size": size}


def _relative(
    wanted: tuple[int, int, int], name: str, pointer: str, config: Config
) -> list[dict[str, int]]:
    """Ids of the container as ids of the host; a range that the container's map has in pieces
    comes in pieces."""
    inside, outside, size = wanted
    found = []
    for entry in (config.get("linux") or {}).get(name) or []:
        first = max(outside, entry["containerID"])
        count = min(outside + size, entry["containerID"] + entry["size"]) - first
        if count > 0:
            host = entry["hostID"] + first - entry["containerID"]
            found.append(_entry(inside + first - outside, host, count))
    if sum(entry["size"] for entry in found) != size:
        what = f"linux.{name} does not map {outside} to {outside + size - 1}, as idmap with @ needs"
        raise Error(what, f"{pointer}/options")
    return found
