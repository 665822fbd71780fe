# SPDX-License-Identifier: Apache-2.0
"""Writing id maps and time offsets of a process in new namespaces: user_namespaces(7)."""

from __future__ import annotations

import errno
import os

from pyrun.errors import Error, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config

# Where the setuid helpers of shadow-utils live: a fixed list, since PATH may be the caller's.
HELPER_FOLDERS = ("/usr/bin", "/bin", "/usr/local/bin", "/run/wrappers/bin")


def write_maps(pid: int, config: Config, privileged: bool) -> None:
    """linux.uidMappings and gidMappings of the user namespace that `pid` is the first in.

    Without privileges a map of one's own id alone is written directly, any other one by
    newuidmap(1) and newgidmap(1), which know /etc/subuid. Raises Error.
    """
    linux = config["linux"]
    for kind, own in (("uid", os.geteuid()), ("gid", os.getegid())):
        entries = linux.get(f"{kind}Mappings") or []
        pointer = f"/linux/{kind}Mappings"
        if privileged:
            write(f"/proc/{pid}/{kind}_map", lines(entries), pointer)
        elif len(entries) == 1 and entries[0]["size"] == 1 and entries[0]["hostID"] == own:
            if kind == "gid":
                # the kernel's condition: a group could deny what others are allowed
                write(f"/proc/{pid}/setgroups", "deny", pointer)
            write(f"/proc/{pid}/{kind}_map", lines(entries), pointer)
        else:
            _help(f"new{kind}map", pid, entries, pointer)


def lines(entries: list[Config]) -> str:
    """The file's format: inside, outside, count."""
    return "".join(
        f"{entry['containerID']} {entry['hostID']} {entry['size']}\n" for entry in entries
    )


def write_time_offsets(pid: int, config: Config) -> None:
    """linux.timeOffsets, for the time namespace that children of `pid` will be in."""
    text = ""
    for clock, offset in config["linux"]["timeOffsets"].items():
        text += f"{clock} {offset.get('secs') or 0} {offset.get('nanosecs') or 0}\n"
    write(f"/proc/{pid}/timens_offsets", text, "/linux/timeOffsets")


def write(path: str, text: str, pointer: str, hint: str = "") -> None:
    """A file of a process's folder in /proc; `pointer` is the field that asks for it."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno == errno.EPERM and not hint:
            hint = "an id outside of what the caller may map"
        raise from_os(error, f"write {path}", pointer, hint) from None


def _help(name: str, pid: int, entries: list[Config], pointer: str) -> None:
    for folder in HELPER_FOLDERS:
        path = f"{folder}/{name}"
        if os.access(path, os.X_OK):
            break
    else:
        raise Error(
            f"{name} is not installed",
            pointer,
            "mapping more than one's own id needs it (Debian: the package uidmap)",
        )
    words = [str(pid)]
    for entry in entries:
        words += [str(entry["containerID"]), str(entry["hostID"]), str(entry["size"])]
    child = os.posix_spawn(path, [name, *words], {})
    _, status = os.waitpid(child, 0)
    if status:
        raise Error(
            f"{name} failed with exit status {os.waitstatus_to_exitcode(status)}",
            pointer,
            "the ranges must be the caller's in /etc/subuid and /etc/subgid; root gives them by"
            " usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER",
        )
