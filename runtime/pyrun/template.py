# SPDX-License-Identifier: Apache-2.0
"""Which containers leave a template for the next of the same shape: create and run of that one take
no Python. What a template is, template_file.py tells.
"""

from __future__ import annotations

import os

from pyrun import log, sync, template_folder
from pyrun.caller import VARIABLES
from pyrun.compile import cgroup_mounts, mount_options
from pyrun.prepare import ACTING_ANNOTATIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.prepare import Prepared

# Flags that an ordinary container is made without.
FLAGS = (
    "console_socket", "pidfd_socket", "preserve_fds", "no_pivot", "ephemeral",
    "overlay", "overlay_upper", "systemd_cgroup", "trace", "keep", "handler", "config",
)  # fmt: skip
JOINED = ("network", "ipc", "uts", "pid")  # namespaces that may have a path
LINUX = ("netDevices", "memoryPolicy", "timeOffsets", "uidMappings", "gidMappings")
FACTS = ("layers", "extra_env", "preserve_fds", "links", "landlock_abi", "own_namespaces")


def leave(prepared: Prepared, fifo: bool) -> None:
    """Write one for the container that was just made of `prepared`, if it is a plain one. Without
    it the next is made by Python as well, only slower."""
    try:
        folder = template_folder.path(prepared.opts, template_folder.CREATE)
        why = strangeness(prepared)
        if not (why or template_folder.is_time(folder)):
            why = "the last one is new"
        if not why:
            from pyrun import template_file  # once for many containers

            template_file.store(folder, template_file.make(prepared, fifo))
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
    if "intelRdt" in linux:  # an empty one says that there is a group of the container's own
        found.append("resctrl")
    found += [fact for fact in FACTS if prepared.facts[fact]]
    if prepared.config.get("hooks") or prepared.config["process"].get("terminal"):
        found.append("hooks or a terminal")
    notes = prepared.config.get("annotations") or ()
    acting = [key for key in notes if key.startswith(ACTING_ANNOTATIONS)]
    if acting:
        from pyrun.compile import acting_annotations  # which was asked before

        # Root has to allow some of those, each time. A scope's properties are systemd's alone.
        found += [key for key in acting if not acting_annotations.is_usual_property(key)]
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
    if cgroup["manager"] != "cgroupfs" or (cgroup["layout"] == "v2" and len(cgroup["paths"]) > 1):
        found.append("the cgroup")
    if cgroup_mounts.owner(prepared.config, prepared.facts):
        found.append("a cgroup that is given away")
    if cgroup["rootless"] or not prepared.facts["privileged"] or prepared.facts["binds_devices"]:
        found.append("privileges")
    points = {op[1][0] for _, op in prepared.steps if op[0].startswith("sync")}
    if points - {sync.READY, sync.START} or any(
        op[0] == "seccomp_listen" for _, op in prepared.steps
    ):
        found.append("questions to the runtime")
    return ", ".join(found)
