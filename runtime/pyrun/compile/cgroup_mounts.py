# SPDX-License-Identifier: Apache-2.0
"""mounts[] of type cgroup: what the container sees at /sys/fs/cgroup, on each layout of the host.

facts["cgroup_layout"] is "v1", "hybrid", "v2" or "none"; facts["cgroup_hierarchies"] lists the v1
hierarchies as (directory name, mount options, path of the container's cgroup on the host).
"""

from __future__ import annotations

from pyrun import ops
from pyrun.compile.donations import is_new, namespace
from pyrun.compile.id_maps import host_id
from pyrun.compile.mount_options import destination, propagate
from pyrun.compile.slots import CONTEXT, HOST, ROOT, TARGET, TREE
from pyrun.errors import Error
from pyrun.linux import AT_RECURSIVE, MOUNT_ATTR_RDONLY, S_IFDIR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts, Steps

# What crun's users do, too. The directory is made in the v2 tree, or on v1 in the tmpfs.
MOUNT_IT = (
    "mkdir /sys/fs/cgroup/systemd"
    " && mount -t cgroup -o none,name=systemd,xattr cgroup /sys/fs/cgroup/systemd"
)
DIRECTORY = S_IFDIR | 0o755
ROOT_MOUNT = "/sys/fs/cgroup"
FORCE_V1 = "run.oci.systemd.force_cgroup_v1"


def mount_cgroup(
    mount: Config, options: Config, pointer: str, config: Config, facts: Facts
) -> Steps:
    """One mount on v2, or by the type cgroup2; else a tmpfs with a directory for each hierarchy."""
    if _is_forced(mount, config):
        known = {**facts, "cgroup_hierarchies": _systemd_alone(facts)}
        yield from _hierarchies(mount, options, pointer, config, known)
    elif facts["cgroup_layout"] == "v2" or mount["type"] == "cgroup2":
        yield from _unified(mount, options, pointer, config, facts)
    else:
        yield from _hierarchies(mount, options, pointer, config, facts)


def forces_v1(config: Config) -> bool:
    """Whether the annotation for it has a mount show systemd's own v1 hierarchy, whatever the
    layout of the host."""
    if not (config.get("annotations") or {}).get(FORCE_V1):
        return False
    mounts = config.get("mounts") or []
    kinds = ("cgroup", "cgroup2")
    return any(mount.get("type") in kinds and _is_forced(mount, config) for mount in mounts)


def _is_forced(mount: Config, config: Config) -> bool:
    place: str = (config.get("annotations") or {}).get(FORCE_V1) or ""
    return place != "" and place.rstrip("/") == destination(mount).rstrip("/")


def _systemd_alone(facts: Facts) -> list[tuple[str, list[str], str]]:
    """The hierarchy in which a systemd without cgroup v2 keeps its services. Raises Error."""
    found = [entry for entry in facts["cgroup_hierarchies"] if "name=systemd" in entry[1]]
    if not found:
        raise Error(
            "the hierarchy name=systemd of cgroup v1 is not mounted on this host",
            f"/annotations/{FORCE_V1}",
            f"mount it: {MOUNT_IT}",
        )
    return [("systemd", words, path) for _, words, path in found]


def _unified(mount: Config, options: Config, pointer: str, config: Config, facts: Facts) -> Steps:
    joined = facts["privileged"] and facts["mounts_cgroups"] and not namespace(config, "user")
    if is_new(config, "cgroup") or joined:
        yield pointer, ops.fsopen("cgroup2", CONTEXT)
        yield pointer, ops.fsconfig(CONTEXT, "source", "cgroup")
        yield pointer, ops.fsmount(CONTEXT, options["set"], TREE)
    else:
        # A mount by the host's cgroup namespace would set the options of the whole tree anew, and
        # its nsdelegate be gone. From a user namespace it is not allowed.
        place = ROOT_MOUNT if facts["cgroup_layout"] == "v2" else f"{ROOT_MOUNT}/unified"
        yield pointer, ops.open_tree(HOST, place, AT_RECURSIVE, TREE)
        yield pointer, ops.mount_setattr(TREE, 0, options["set"], options["clear"], 0)
    yield pointer, ops.make_in_root(ROOT, destination(mount), DIRECTORY, 0, TARGET)
    yield pointer, ops.move_mount(TREE, TARGET)
    yield from propagate(TREE, options, pointer)


def _hierarchies(
    mount: Config, options: Config, pointer: str, config: Config, facts: Facts
) -> Steps:
    yield pointer, ops.fsopen("tmpfs", CONTEXT)
    yield pointer, ops.fsconfig(CONTEXT, "source", "tmpfs")
    yield pointer, ops.fsconfig(CONTEXT, "mode", "755")
    if (config.get("linux") or {}).get("mountLabel"):
        from pyrun.compile import labels  # rare

        yield from labels.context("tmpfs", config)
    yield pointer, ops.fsmount(CONTEXT, options["set"] & ~MOUNT_ATTR_RDONLY, TREE)
    for name, _, _ in facts["cgroup_hierarchies"]:
        yield pointer, ops.make_in_root(TREE, f"/{name}", DIRECTORY, 0, TARGET)
        if "," in name:
            for controller in name.split(","):
                yield pointer, ops.symlinkat(name, TREE, controller)
    if options["set"] & MOUNT_ATTR_RDONLY:
        yield pointer, ops.mount_setattr(TREE, 0, MOUNT_ATTR_RDONLY, 0, 0)
    yield pointer, ops.make_in_root(ROOT, destination(mount), DIRECTORY, 0, TARGET)
    yield pointer, ops.move_mount(TREE, TARGET)
    yield from propagate(TREE, options, pointer)
    for name, words, path in facts["cgroup_hierarchies"]:
        if is_new(config, "cgroup"):
            yield pointer, ops.fsopen("cgroup", CONTEXT)
            yield pointer, ops.fsconfig(CONTEXT, "source", "cgroup")
            for word in words:
                key, equals, value = word.partition("=")
                yield pointer, ops.fsconfig(CONTEXT, key, value if equals else None)
            yield pointer, ops.fsmount(CONTEXT, options["set"], TREE)
        else:
            yield pointer, ops.open_tree(HOST, path, AT_RECURSIVE, TREE)
            yield pointer, ops.mount_setattr(TREE, 0, options["set"], options["clear"], 0)
        place = f"{destination(mount)}/{name}"
        yield pointer, ops.make_in_root(ROOT, place, DIRECTORY, 0, TARGET)
        yield pointer, ops.move_mount(TREE, TARGET)


def owner(config: Config, facts: Facts) -> int | None:
    """The host's uid of the user who is to own the container's v2 cgroup, so that he can divide it:
    where it is the root of a new cgroup namespace and is mounted writable (config-linux.md, Cgroup
    ownership). None where it stays the runtime's."""
    if facts["cgroup_layout"] != "v2" or not facts["privileged"] or not is_new(config, "cgroup"):
        return None
    for mount in config.get("mounts") or []:
        kind = mount.get("type") in ("cgroup", "cgroup2") and mount.get("source") == "cgroup"
        kind = kind and not _is_forced(mount, config)
        if kind and destination(mount) == ROOT_MOUNT and "ro" not in (mount.get("options") or ()):
            break
    else:
        return None
    uid: int = ((config.get("process") or {}).get("user") or {}).get("uid") or 0
    if not namespace(config, "user"):
        return uid
    return host_id((config.get("linux") or {}).get("uidMappings") or [], uid)
