# SPDX-License-Identifier: Apache-2.0
"""What `delete --force` goes by where intent.json is damaged: the file `fast` says a second time
what cgroup and which boot it was (shortcut.py), and has a checksum. Loaded in that case alone."""

from __future__ import annotations

import os
from binascii import crc32

from pyrun import _build, init, log, shortcut, state
from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.state import Container
    from pyrun.types import Config


def intent(container: Container, damage: Error) -> Config:
    """A record by which processes, cgroup and folder go. What only the lost one knew stays: hooks,
    layers, resctrl's groups; that is a warning. Raises `damage` where there is nothing to go by.
    """
    data = _content(container, state.FAST)
    found = _from_fast(container, data) or _from_state(container)
    if not found:
        damage.hint = (
            f"nothing else tells what is to be undone: end the container's processes, remove"
            f" its cgroup and then {container.path}"
        )
        raise damage
    log.warning(f"{damage}: poststop hooks are not run, layers and resctrl groups may be left")
    return found


def _content(container: Container, name: str) -> bytes:
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        fd = os.open(name, flags, dir_fd=container.fd)
    except OSError:
        return b""
    try:
        return os.read(fd, shortcut.LIMIT)
    finally:
        os.close(fd)


def _from_fast(container: Container, data: bytes) -> Config:
    """{} for what is not such a file, whole and of this build."""
    head, body = shortcut.HEAD.size, shortcut.HEAD.size + shortcut.BODY.size
    if len(data) < body:
        return {}
    magic, version, build, crc = shortcut.HEAD.unpack_from(data)
    known = (magic, version, build) == (shortcut.MAGIC, shortcut.VERSION, _build.CHECKSUM)
    if not known or crc != crc32(data[head:]):
        return {}
    fields = shortcut.BODY.unpack_from(data, head)
    strings = [os.fsdecode(part) for part in data[body:].split(b"\0")]
    if len(strings) < 4 + fields[3]:
        return {}
    frozen, folders = strings[3], strings[4 : 4 + fields[3]]
    boot = fields[-1].rstrip(b"\0").decode("ascii", "replace")
    return _record(container, boot, _cgroup(frozen, folders))


def _cgroup(frozen: str, folders: list[str]) -> Config:
    """The record of cgroup/plan.py, as far as ending and removing it goes."""
    folder, _, file = frozen.rpartition("/")
    paths = {str(index): path for index, path in enumerate(folders) if path != folder}
    if folder:
        paths["" if file == "cgroup.freeze" else "freezer"] = folder
    layout = "v2" if folders == [folder] and "" in paths else "v1"
    return {"manager": "cgroupfs", "layout": layout, "paths": paths, "rootless": False}


def _from_state(container: Container) -> Config:
    """The pid alone: believed if its record was written in this boot, which ends tmpfs as well as
    processes. The cgroup is not known then."""
    try:
        record = container.read_state()
        written = os.stat(state.STATE, dir_fd=container.fd, follow_symlinks=False).st_mtime
    except (Error, OSError):
        return {}
    if not record:
        return {}
    booted = next(
        (int(line.split()[1]) for line in init.read_text("/proc/stat").splitlines()
         if line.startswith("btime ")),
        0,
    )  # fmt: skip
    boot = init.boot_id() if booted and written > booted else ""
    log.warning("which cgroup it was is not known: it may be left, without processes")
    return _record(container, boot, _cgroup("", []))


def _record(container: Container, boot: str, cgroup: Config) -> Config:
    return {
        "ociVersion": "",
        "id": container.id,
        "bundle": "",
        "rootfs": "",
        "created": "",
        "boot_id": boot,
        "cgroup": cgroup,
        "annotations": {},
        "hooks": {},
        "own_pids": True,
        "umask": 0o022,
    }
