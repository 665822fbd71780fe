# SPDX-License-Identifier: Apache-2.0
"""linux.namespaces and linux.timeOffsets: which are made by the clone that starts the executor,
and which need a first stage: an executor that enters or makes some, then clones the init."""

from __future__ import annotations

import errno

from pyrun import ops, sync
from pyrun.compile import hooks, sysctl_names
from pyrun.compile.donations import is_new, namespace, namespaces, slot_of
from pyrun.compile.process import labelled, landlocked
from pyrun.compile.slots import HOOK_OUTPUT, OWN_PROC, PEER, ROOT, RULESET, START_STATE
from pyrun.errors import Error
from pyrun.linux import CLONE_NEWCGROUP, CLONE_NEWTIME, CLONE_NEWUSER, NAMESPACES, PR_SET_DUMPABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts, Steps

POINTER = "/linux/namespaces"


def _late(config: Config) -> int:
    """The flags of new ones that the init makes itself, when it is in its cgroup (that becomes the
    cgroup namespace's root) and root of its user namespace (that owns the message queues)."""
    late = NAMESPACES["ipc"] if is_new(config, "user") and is_new(config, "ipc") else 0
    return late | (CLONE_NEWCGROUP if is_new(config, "cgroup") else 0)


def _new(config: Config) -> int:
    """The flags of all other new ones."""
    flags = 0
    for entry in namespaces(config):
        if not entry.get("path"):
            flags |= NAMESPACES[entry["type"]]
    return flags & ~_late(config)


def _has_offsets(config: Config) -> bool:
    return bool((config.get("linux") or {}).get("timeOffsets")) and is_new(config, "time")


def _staged(config: Config) -> bool:
    """Whether the first clone can't make the new namespaces: they would belong to the wrong user
    namespace, or their offsets could not be written any more."""
    joined = [entry["type"] for entry in namespaces(config) if entry.get("path")]
    return "user" in joined or (is_new(config, "user") and bool(joined)) or _has_offsets(config)


def clone_flags(config: Config) -> int:
    """CLONE_NEW* for the clone that starts the executor."""
    return 0 if _staged(config) else _new(config)


def enter(config: Config, facts: Facts) -> Steps:
    """Join what is to be joined, make what the clone has not made."""
    _spare_host(config, facts)
    if facts["privileged"]:
        # Before the first setns: whoever is inside must not trace us or look at our memory.
        yield POINTER, ops.prctl(PR_SET_DUMPABLE, 0)
    yield from join(config, facts)
    if _staged(config):
        yield from _make(config)
    if not facts["privileged"]:
        # Not before the maps are written: the caller could not open our /proc/<pid>/uid_map.
        yield POINTER, ops.prctl(PR_SET_DUMPABLE, 0)


def _spare_host(config: Config, facts: Facts) -> None:
    """What would change a namespace that is the host's, by whatever path, is refused (R20)."""
    parameters = (config.get("linux") or {}).get("sysctl") or {}
    kinds = {sysctl_names.namespace(sysctl_names.segments(key) or ()) for key in parameters}
    if config.get("hostname") or config.get("domainname"):
        kinds.add("uts")
    if (config.get("linux") or {}).get("netDevices"):
        kinds.add("network")
    for kind in facts.get("own_namespaces", ()):
        if kind == "mount" or kind in kinds:
            raise Error(
                f"the path leads to the {kind} namespace of the host, which would be changed",
                _pointer(config, kind),
                "leave out the path for a new one",
            )


def join(config: Config, facts: Facts) -> Steps:
    """With privileges, the user namespace last: in it we have none over the others. Without, it
    comes first: only in it we have any. A joined pid namespace is for our children (fork_late)."""
    entries = [entry for entry in namespaces(config) if entry.get("path")]
    entries.sort(key=lambda entry: (entry["type"] == "user") == facts["privileged"])
    for entry in entries:
        kind, path = entry["type"], entry["path"]
        slot = slot_of(facts, "namespace", kind, path)
        yield _pointer(config, kind), ops.setns(slot, NAMESPACES[kind])


def _make(config: Config) -> Steps:
    rest = _new(config)
    if rest & CLONE_NEWUSER:
        yield _pointer(config, "user"), ops.unshare(CLONE_NEWUSER)
        yield "/linux/uidMappings", ops.sync(sync.ID_MAPS)
        rest &= ~CLONE_NEWUSER
    if _has_offsets(config):
        yield _pointer(config, "time"), ops.unshare(CLONE_NEWTIME)
        yield "/linux/timeOffsets", ops.sync(sync.TIME_OFFSETS)
        rest &= ~CLONE_NEWTIME
    if not _joins_pid(config):
        yield POINTER, ops.fork_init(rest)
    elif rest:
        yield POINTER, ops.unshare(rest)


def _joins_pid(config: Config) -> bool:
    entry = namespace(config, "pid")
    return entry is not None and bool(entry.get("path"))


def _pointer(config: Config, kind: str) -> str:
    for index, entry in enumerate(namespaces(config)):
        if entry["type"] == kind:
            return f"{POINTER}/{index}"
    return POINTER


def become_root(config: Config, facts: Facts) -> Steps:
    """Root of the user namespace owns what we make from here on. (All-new namespaces: the maps
    were written before the plan was sent.)"""
    if not namespace(config, "user"):
        return
    maps = (config.get("linux") or {}).get("uidMappings") or []
    if maps and all(entry["containerID"] != 0 for entry in maps):
        return
    pointer = "/linux/uidMappings"
    yield pointer, ops.tolerate(errno.EINVAL, ops.setresgid(0))
    yield pointer, ops.tolerate(errno.EINVAL, ops.setresuid(0))


def unshare_late(config: Config, facts: Facts) -> Steps:
    """Once we are where and who those namespaces are to belong to."""
    if flags := _late(config):
        yield POINTER, ops.unshare(flags)


def forget_host(config: Config, facts: Facts) -> Steps:
    """No descriptor that leads to the host, or to another namespace, is left to whoever gets at
    this process: from here on it can be seen from inside."""
    kept = (ROOT, PEER, OWN_PROC) if labelled(config) else (ROOT, PEER)
    yield POINTER, ops.close_all_but(_numbers(facts, *kept))


def forget_all(config: Config, facts: Facts) -> Steps:
    """The same of what only the set-up needed: the init may wait long for `start`."""
    kept = [START_STATE, HOOK_OUTPUT, *(slot for _, _, slot in hooks.files(config))]
    kept += [RULESET] if landlocked(config) else []
    yield POINTER, ops.close_all_but(_numbers(facts, *kept))


def _numbers(facts: Facts, *slots: int) -> bytes:
    kept = list(slots)
    if facts["fifo"]:
        kept += [slot_of(facts, "fifo"), slot_of(facts, "result")]
    return b"".join(number.to_bytes(4, facts["byteorder"]) for number in kept)


def fork_late(config: Config, facts: Facts) -> Steps:
    """A joined pid namespace is entered when there is nothing left that somebody inside could
    watch or disturb."""
    if _joins_pid(config):
        yield _pointer(config, "pid"), ops.fork_init(0)


def loopback(config: Config, facts: Facts) -> Steps:
    """A new network namespace has `lo`, down."""
    if is_new(config, "network"):
        yield _pointer(config, "network"), ops.loopback_up()


def net_devices(config: Config, facts: Facts) -> Steps:
    """The host's devices come in by the runtime: only from there they can be seen."""
    if (config.get("linux") or {}).get("netDevices"):
        pointer = "/linux/netDevices"
        if not facts["privileged"]:
            raise Error("moving network devices of the host needs the rights of its root", pointer)
        yield pointer, ops.sync(sync.NET_DEVICES)


def keyring(config: Config, facts: Facts) -> Steps:
    """Keys of the caller's session are not the container's. A kernel may lack keyrings."""
    if not facts["no_new_keyring"]:
        op = ops.join_session_keyring(f"_ses.{facts['id']}")
        yield "", ops.tolerate(errno.ENOSYS, op)
