# SPDX-License-Identifier: Apache-2.0
"""The points at which the executor waits for the runtime; runtime/executor/plan.h draws how."""

from __future__ import annotations

ID_MAPS = 1  # in a new user namespace: write the maps
TIME_OFFSETS = 2  # a time namespace for the children exists: write its offsets
CONSOLE = 3  # here is the terminal's master
RUNTIME_HOOKS = 4  # mounted, before pivot_root: run prestart and createRuntime
CREATE_STATE = 5  # a file with the state (creating) for createContainer hooks
START_STATE = 6  # a file with the state (created) for startContainer hooks
HOOK_OUTPUT = 7  # a file for what they print
READY = 8  # all is done but what `start` starts
START = 9  # the runtime that created us also starts us (`run`)
NET_DEVICES = 10  # we are in the network namespace: move devices of the host into it
LAYERS = 11  # here is the overlay that is to be the root
LISTENER = 12  # the filter is loaded: fetch its listener, which a seccomp agent waits for
MOUNT_MAP = 13  # here is a mount that is to be id-mapped
MOUNT = 14  # here is a mount that gets its place next
HOOK_STDOUT = 15  # the file that an annotation names for what hooks print
HOOK_STDERR = 16

NAMES = {
    ID_MAPS: "the id maps",
    TIME_OFFSETS: "the time offsets",
    CONSOLE: "the console",
    RUNTIME_HOOKS: "prestart and createRuntime hooks",
    CREATE_STATE: "the state for hooks",
    START_STATE: "the state for hooks",
    HOOK_OUTPUT: "a file for hooks' output",
    READY: "ready",
    START: "start",
    NET_DEVICES: "the network devices",
    LAYERS: "the root made of layers",
    LISTENER: "the seccomp listener",
    MOUNT_MAP: "the id maps of a mount",
    MOUNT: "a mount that gets its place",
    HOOK_STDOUT: "the file for hooks' stdout",
    HOOK_STDERR: "the file for hooks' stderr",
}
