# SPDX-License-Identifier: Apache-2.0
"""What the runtime opens, with its own view and rights, and hands to the executor.

A donation is a tuple: ("namespace", kind, path), ("tree", path, depth, pointer), ("fifo",),
("result",), ("overlay",). Its place in the list is its slot. A tree can be attached once, so there
is one for each field that asks for it.
"""

from __future__ import annotations

from pyrun.compile import mount_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts


def namespaces(config: Config) -> list[Config]:
    """linux.namespaces, which may be absent or null."""
    return (config.get("linux") or {}).get("namespaces") or []


def namespace(config: Config, kind: str) -> Config | None:
    """The entry of linux.namespaces for this kind, or None."""
    for entry in namespaces(config):
        if entry["type"] == kind:
            return entry
    return None


def is_new(config: Config, kind: str) -> bool:
    """Whether the container gets a namespace of this kind of its own."""
    entry = namespace(config, kind)
    return entry is not None and not entry.get("path")


def opens_sources(config: Config, facts: Facts) -> bool:
    """Whether the runtime opens bind sources and the rootfs for the executor.

    In a user namespace the executor may lack the right to reach them; a caller without privileges
    has no right to clone mounts outside of it.
    """
    return bool(facts["privileged"] and namespace(config, "user"))


def lays_apart(config: Config, facts: Facts) -> bool:
    """Whether the root is an overlay that comes from the runtime (layers.apart)."""
    if not facts["layers"]:
        return False
    # Only for a root made of layers.
    from pyrun.compile import layers

    return layers.apart(config, facts)


def donations(config: Config, facts: Facts) -> list[tuple[str, ...]]:
    """The list, in slot order."""
    found: list[tuple[str, ...]] = [
        ("namespace", entry["type"], entry["path"])
        for entry in namespaces(config)
        if entry.get("path")
    ]
    if facts["fifo"]:
        found += [("fifo",), ("result",)]
    if lays_apart(config, facts):
        found.append(("overlay",))
    if opens_sources(config, facts):
        if not facts["layers"]:
            found.append(("tree", facts["rootfs"], "recursive", "/root/path"))
        for index, mount in enumerate(config.get("mounts") or []):
            if mount_options.is_bind(mount) and not mount_options.link_to_copy(mount, facts):
                source = mount_options.source(mount, facts)
                found.append(("tree", source, mount_options.depth(mount), f"/mounts/{index}"))
        found += [("tree", node, "", pointer) for node, pointer in facts["device_sources"]]
    return found


def slot_of(facts: Facts, *donation: str) -> int:
    """The slot of one donation; facts["donations"] is the list above."""
    index: int = facts["donations"].index(donation)
    return index
