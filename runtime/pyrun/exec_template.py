# SPDX-License-Identifier: Apache-2.0
"""Which processes that `exec` brings into a container leave a template for the next of the same
shape, in a container of the same kind: that one takes no Python. What a template is,
template_file.py tells.
"""

from __future__ import annotations

import os

from pyrun import log, sync, template_folder
from pyrun.caller import VARIABLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.execution import Execution

# Flags that the launcher doesn't know, or leaves to Python.
FLAGS = (
    "tty", "cwd", "env", "user", "additional_gids", "cap", "apparmor", "process_label",
    "no_new_privs", "cgroup", "ignore_paused", "preserve_fds", "console_socket", "pidfd_socket",
    "trace", "handler",
)  # fmt: skip
PROCESS = ("terminal", "execCPUAffinity", "selinuxLabel")
SUBGROUP = "run.oci.systemd.subgroup"
FACTS = ("extra_env", "preserve_fds", "landlock_abi")


def leave(execution: Execution) -> None:
    """Write one for the process that has just joined, if it is a plain one. Without it the next one
    takes Python as well, and is only slower."""
    try:
        folder = template_folder.path(execution.opts, template_folder.EXEC)
        why = strangeness(execution)
        if not (why or template_folder.is_time(folder)):
            why = "the last one is new"
        if not why:
            from pyrun import exec_template_file, template_file  # once for many processes

            template_file.store(folder, exec_template_file.make(execution))
    except Exception as error:  # noqa: BLE001 - the process is there, whatever becomes of this
        why = str(error) or type(error).__name__
    if why:
        log.debug(f"no template: {why}")


def strangeness(execution: Execution) -> str:
    """What is not ordinary in a process, its container, or how it was asked for; "" for nothing."""
    opts, facts = execution.opts, execution.facts
    linux, living = execution.config["linux"], execution.living
    found = [flag for flag in FLAGS if opts.get(flag) not in (None, False, "", 0, ())]
    found += [name for name in VARIABLES if name in os.environ]
    found += [name for name in PROCESS if execution.config["process"].get(name)]
    found += [fact for fact in FACTS if facts[fact]]
    if "intelRdt" in linux or linux.get("memoryPolicy"):
        found.append("resctrl or memory nodes")
    kinds = {entry["type"] for entry in living.namespaces}
    if "user" in kinds or "mount" not in kinds or not facts["privileged"]:
        found.append("namespaces or privileges")
    # Only with systemd is there one, and what it is called is in the container's annotations.
    if SUBGROUP in execution.config["annotations"]:
        found.append("a cgroup below the container's")
    if living.paused:
        found.append("it is paused")
    points = {op[1][0] for _, op in execution.steps if op[0].startswith("sync")}
    if points - {sync.READY} or any(op[0] == "seccomp_listen" for _, op in execution.steps):
        found.append("questions to the runtime")
    return ", ".join(found)
