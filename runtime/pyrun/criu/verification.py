# SPDX-License-Identifier: Apache-2.0
"""Whether a restored container, before it runs on, is confined as the config says: the images may
be of another container, or have been changed."""

from __future__ import annotations

import os

from pyrun import init
from pyrun.compile.donations import namespace
from pyrun.criu import mount_table
from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrun.criu.externals import External
    from pyrun.types import Config, Facts

FILES = {
    "pid": "pid",
    "network": "net",
    "mount": "mnt",
    "ipc": "ipc",
    "uts": "uts",
    "user": "user",
    "cgroup": "cgroup",
    "time": "time",
}
PF_EXITING = 0x4  # of the flags in proc_pid_stat(5); no header has it
# One for the whole host, or for a namespace that the container may share with it.
SHARED = ("sysfs", "proc", "mqueue", "cgroup", "cgroup2", "bpf", "securityfs", "debugfs", "tracefs")


def check(pid: int | str, config: Config, facts: Facts, externals: list[External]) -> None:
    """Raise Error for a namespace that is not the one of the config, or a mount of the host's that
    the config does not name (R16, R19)."""
    for kind, file in FILES.items():
        entry = namespace(config, kind)
        if kind == "time" and entry is None:
            continue  # CRIU makes one, by which clocks go on from where they were
        found = os.stat(f"/proc/{pid}/ns/{file}")
        path = (entry or {}).get("path") or f"/proc/self/ns/{file}"
        same = os.path.samestat(found, os.stat(path))
        is_new = entry is not None and not entry.get("path")
        if same == is_new:
            raise Error(
                f"restore: the {kind} namespace of the images is not what the config wants",
                "/linux/namespaces",
                "is it the config of the container that was checkpointed?",
            )
    if namespace(config, "mount"):
        check_mounts(pid, facts, externals)


def check_label(pid: int | str, config: Config, instead: str) -> None:
    """Raise Error unless the process has the label of the config, or of --lsm-profile (TYPE:NAME)
    where there is one."""
    process = config["process"]
    wanted = process.get("apparmorProfile") or process.get("selinuxLabel") or ""
    wanted = instead.partition(":")[2] or wanted
    if not wanted:
        return
    with open(f"/proc/{pid}/attr/current", encoding="utf-8", errors="replace") as file:
        found = file.read().rstrip("\0\n")
    if wanted not in (found, found.rpartition(" (")[0]):  # AppArmor adds the mode
        raise Error(f"restore: the container has the label {found}, and not {wanted}")


def check_mounts(pid: int | str, facts: Facts, externals: list[External]) -> None:
    """Raise Error for a mount of the host's that is neither of these nor of the rootfs."""
    ours = mount_table.of("self")
    hosts = {mount.device for mount in ours if mount.kind not in SHARED}
    allowed = {mount_table.identity(external.path, ours) for external in externals}
    device, root = mount_table.identity(facts["rootfs"], ours) or ("", "")
    for mount in mount_table.of(pid):
        of_root = mount.device == device and mount_table.below(mount.root, root) is not None
        if mount.device in hosts and mount.identity not in allowed and not of_root:
            raise Error(
                f"restore: the images mount {mount.root} of the host's file system {mount.device}"
                f" at {mount.point}, which the config does not"
            )


def processes(pid: int) -> Iterator[int]:
    """A process and all of its descendants."""
    yield pid
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
            for child in file.read().split():
                yield from processes(int(child))


def is_exiting(pid: int) -> bool:
    """Whether a process is on its way out and has not come there: as an init that waits for the
    other processes of its namespace."""
    try:
        text = init.read_text(f"/proc/{pid}/stat")
    except (FileNotFoundError, ProcessLookupError):
        return False
    fields = text[text.rindex(")") + 2 :].split()
    return bool(int(fields[6]) & PF_EXITING) and fields[0] not in init.DEAD
