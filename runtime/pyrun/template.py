# SPDX-License-Identifier: Apache-2.0
"""Which containers leave a template for the next of the same shape: create and run of that one take
no Python. What a template is, template_file.py tells.
"""

from __future__ import annotations

import os
import time

from pyrun import log, state, sync
from pyrun.caller import VARIABLES
from pyrun.compile import mount_options
from pyrun.prepare import ACTING_ANNOTATIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.prepare import Prepared
    from pyrun.types import Options

FOLDER = ".cache/create"
MOST = 16
PAUSE = 250_000_000  # ns between two that are made: what changes each time costs little then

# Flags that an ordinary container is made without.
FLAGS = (
    "console_socket", "pidfd_socket", "preserve_fds", "no_pivot", "no_new_keyring", "ephemeral",
    "overlay", "overlay_upper", "systemd_cgroup", "trace", "keep", "handler", "config",
)  # fmt: skip
JOINED = ("network", "ipc", "uts", "pid")  # namespaces that may have a path
LINUX = ("intelRdt", "netDevices", "memoryPolicy", "timeOffsets", "uidMappings", "gidMappings")
FACTS = ("layers", "extra_env", "preserve_fds", "links", "landlock_abi", "own_namespaces")


def leave(prepared: Prepared, fifo: bool) -> None:
    """Write one for the container that was just made of `prepared`, if it is a plain one. Without
    it the next is made by Python as well, only slower."""
    try:
        why = strangeness(prepared) or ("" if _is_time(prepared.opts) else "the last one is new")
        if not why:
            from pyrun import template_file  # once for many containers

            data = template_file.make(prepared, fifo)
            place = folder(prepared.opts)
            os.makedirs(place, 0o700, exist_ok=True)
            template_file.store(place, "", MOST, data)
    except Exception as error:  # noqa: BLE001 - the container is there, whatever becomes of this
        why = str(error) or type(error).__name__
    if why:
        log.debug(f"no template: {why}")


def strangeness(prepared: Prepared) -> str:
    """What is not ordinary in a container or in how it was asked for; "" for nothing."""
    opts, linux = prepared.opts, prepared.config.get("linux") or {}
    found = [flag for flag in FLAGS if opts.get(flag)]
    found += [name for name in VARIABLES if name in os.environ]
    found += [name for name in LINUX if linux.get(name)]
    found += [fact for fact in FACTS if prepared.facts[fact]]
    if prepared.config.get("hooks") or prepared.config["process"].get("terminal"):
        found.append("hooks or a terminal")
    # Root has to allow some of those, each time.
    notes = prepared.config.get("annotations") or ()
    found += [key for key in notes if key.startswith(ACTING_ANNOTATIONS)]
    # A link that comes to be a source is not looked for.
    found += [
        "a link among mounts"
        for mount in prepared.config.get("mounts") or []
        if mount_options.keeps_link(mount)
    ]
    for entry in linux.get("namespaces") or []:
        if entry["type"] == "user" or (entry.get("path") and entry["type"] not in JOINED):
            found.append(f"a namespace: {entry['type']}")
    cgroup = prepared.cgroup
    if cgroup["manager"] != "cgroupfs" or cgroup["layout"] not in ("v1", "hybrid"):
        found.append("the cgroup")
    if cgroup["rootless"] or not prepared.facts["privileged"] or prepared.facts["binds_devices"]:
        found.append("privileges")
    points = {op[1][0] for _, op in prepared.steps if op[0].startswith("sync")}
    if points - {sync.READY, sync.START} or any(
        op[0] == "seccomp_listen" for _, op in prepared.steps
    ):
        found.append("questions to the runtime")
    return ", ".join(found)


def folder(opts: Options) -> str:
    """Where they are kept."""
    return os.path.join(state.root_path(opts), FOLDER)


def _is_time(opts: Options) -> bool:
    """Whether the last one is not too new."""
    try:
        return time.time_ns() - os.stat(folder(opts)).st_mtime_ns > PAUSE
    except FileNotFoundError:
        return True
