# SPDX-License-Identifier: Apache-2.0
"""linux.intelRdt: the container's groups in the resctrl file system, which divide caches and memory
bandwidth, and count their use: config-linux.md (IntelRdt), the kernel's filesystems/resctrl.rst.

The record {"root", "group", "monitor", "made", "shared"} goes into the intent: `made` are the
directories that are to be made, the inner one first; `shared` says that the group has a name of its
own (closID) and outlives a container that was created.
"""

from __future__ import annotations

import errno
import os

from pyrun import log
from pyrun.cgroup import cgroupfs
from pyrun.cgroup.facts import unescape
from pyrun.errors import Error, from_os, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config

POINTER = "/linux/intelRdt"
RESERVED = ("info", "mon_data", "mon_groups")  # in the root, beside the groups
HINTS = {
    errno.ENOSPC: "the processor has no more of them: see info/*/num_closids and num_rmids",
    errno.ENOENT: "monitoring may be off, or not in this processor",
}


def mount_point(mountinfo: str, filesystems: str) -> str:
    """Where resctrl is mounted, by the texts of /proc/self/mountinfo and /proc/filesystems. Raises
    Error."""
    for line in mountinfo.split("\n"):
        head, _, tail = line.partition(" - ")
        if tail.partition(" ")[0] == "resctrl":
            return unescape(head.split(" ")[4])
    if "\tresctrl\n" in filesystems:
        hint = "mount -t resctrl resctrl /sys/fs/resctrl"
        raise Error("no resctrl file system is mounted", POINTER, hint)
    hint = "it takes CONFIG_X86_CPU_RESCTRL, and a processor with Intel RDT or AMD QoS"
    raise Error("this kernel has no resctrl file system", POINTER, hint)


def host_mount_point() -> str:
    """mount_point() of this host. Raises Error."""
    return mount_point(cgroupfs.read("/proc/self/mountinfo"), cgroupfs.read("/proc/filesystems"))


def plan(rdt: Config, container_id: str, root: str) -> Config:
    """The record, by what is there already; changes nothing. Raises Error."""
    name = rdt.get("closID") or container_id
    if name in RESERVED:
        pointer = f"{POINTER}/closID" if rdt.get("closID") else POINTER
        raise Error(f"{name} is a directory of resctrl itself", pointer)
    group = root if name == "/" else f"{root}/{name}"
    there = os.path.isdir(group)
    if not there and rdt.get("closID") and not lines(rdt):
        hint = "without a schema it has to be configured beforehand"
        raise Error(f"{group}: no such directory", f"{POINTER}/closID", hint)
    if there:
        _compare(rdt, group)
    monitor = f"{group}/mon_groups/{container_id}" if rdt.get("enableMonitoring") else ""
    made = ([monitor] if monitor else []) + ([] if there else [group])
    shared = bool(rdt.get("closID"))
    return {"root": root, "group": group, "monitor": monitor, "made": made, "shared": shared}


def lines(rdt: Config) -> list[tuple[str, str]]:
    """(name of the field, line for `schemata`), in the order that the specification gives."""
    found = [(name, rdt.get(name) or "") for name in ("l3CacheSchema", "memBwSchema")]
    found += [(f"schemata/{i}", line) for i, line in enumerate(rdt.get("schemata") or ())]
    return [(name, line) for name, line in found if line]


def _compare(rdt: Config, group: str) -> None:
    """A group that is there is others' too: the two fields may only say what it has. `schemata` is
    written in any case, by the specification's words."""
    for name, line in lines(rdt):
        if name.startswith("schemata"):
            continue
        present = _values(_read(f"{group}/schemata"))
        for domain, value in _values(line).items():
            if present.get(domain) != value:
                kind, number = domain
                raise Error(
                    f"{group} exists, with another value of {kind} for cache {number}:"
                    f" {present.get(domain) or 'none'}, not {value}",
                    f"{POINTER}/{name}",
                )


def _values(text: str) -> dict[tuple[str, str], str]:
    """(resource, domain) -> value, of lines as `L3:0=ff;1=f`."""
    found = {}
    for line in text.splitlines():
        kind, _, domains = line.partition(":")
        for entry in domains.split(";"):
            number, _, value = entry.partition("=")
            found[kind.strip(), number.strip()] = value.strip().lower().lstrip("0") or "0"
    return found


def create(record: Config, rdt: Config) -> None:
    """The directories, and what is written to `schemata`. The record, which is on disk by now, is
    corrected where a directory turns out to be somebody else's. Raises Error."""
    there = record["group"] not in record["made"]
    for path in reversed(record["made"]):
        try:
            os.mkdir(path, 0o755)
        except FileExistsError:
            record["made"] = record["made"][record["made"].index(path) + 1 :]
            raise Error(f"mkdir {path}: file exists", POINTER, "another container's?") from None
        except OSError as error:
            raise _failed(error, record["root"], f"mkdir {path}", POINTER) from None
    for name, line in lines(rdt):
        if not there or name.startswith("schemata"):
            _write(record, f"{record['group']}/schemata", line, f"{POINTER}/{name}")


def update(record: Config, rdt: Config) -> str:
    """Write its lines to `schemata` of a living container's group; what was there before, for
    restore(). Raises Error; nothing has changed then."""
    path = f"{record['group']}/schemata"
    before = _read(path)
    try:
        for name, line in lines(rdt):
            _write(record, path, line, f"{POINTER}/{name}")
    except Error:
        restore(record, before)
        raise
    return before


def restore(record: Config, schemata: str) -> None:
    """Bring back what update() has found. A failure is a warning: what led here is the error."""
    for line in schemata.splitlines():
        try:
            _write(record, f"{record['group']}/schemata", line.strip(), POINTER)
        except Error as error:
            log.warning(str(error))


def join(record: Config, pid: int) -> None:
    """A process into the group, and from there into its monitoring group. Raises Error."""
    _write(record, f"{record['group']}/tasks", str(pid), POINTER)
    if record["monitor"]:
        _write(record, f"{record['monitor']}/tasks", str(pid), f"{POINTER}/enableMonitoring")


def remove(record: Config, *, created: bool) -> None:
    """What was made for the container: of one that was created, not the group with a name of its
    own; else that one too, unless somebody else has come into it. Raises Error."""
    for path in record["made"]:
        if path == record["group"] and record["shared"] and (created or _in_use(path)):
            continue
        try:
            os.rmdir(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise from_os(error, f"rmdir {path}") from None


def _in_use(group: str) -> bool:
    try:
        return bool(_read(f"{group}/tasks").strip())
    except Error:
        return False  # it was not made


def _read(path: str) -> str:
    try:
        return cgroupfs.read(path)
    except OSError as error:
        raise from_os(error, f"read {path}", POINTER) from None


def _write(record: Config, path: str, line: str, pointer: str) -> None:
    """One line in one write(2), as the kernel wants it."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, f"{line}\n".encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise _failed(error, record["root"], f"write {line} to {path}", pointer) from None


def _failed(error: OSError, root: str, doing: str, pointer: str) -> Error:
    """With what resctrl itself says of its last command."""
    try:
        status = cgroupfs.read(f"{root}/info/last_cmd_status").strip()
    except OSError:
        status = ""
    detail = f": {status}" if status not in ("", "ok") else ""
    number = error.errno or 0
    return Error(f"{doing}: {reason(number)}{detail}", pointer, HINTS.get(number, ""))
