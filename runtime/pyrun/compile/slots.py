# SPDX-License-Identifier: Apache-2.0
"""Which descriptor is where. The runtime's donations count up from 0 (see donations.py); the
executor's own are named here and count down from the top."""

from __future__ import annotations

HOST = 1023  # "/" of the host, in the container's mount namespace
ROOT = 1022  # the container's root mount
TREE = 1021  # the mount in work
TARGET = 1020  # where it will go
CONTEXT = 1019  # the file system in work
PROC = 1018  # a private procfs
NULL = 1017  # the host's /dev/null
EMPTY = 1016  # an empty read-only directory, for masks
MASTER = 1015  # the terminal's two ends
PEER = 1014
CWD = 1013
HOOK_STATE = 1012
HOOK_OUTPUT = 1011
BUNDLE = 1010
START_STATE = 1009
OWN_PROC = 1008  # a private procfs in which the init finds itself
COVERED = 1007  # what a tmpfs with tmpcopyup covers
PARENT = 1006  # the directory of a destination that is not to be followed
VIEW = 1005  # a mount namespace with the host's view of paths
HOOK_STDOUT = 1004  # files for what hooks print, where annotations name some
HOOK_STDERR = 1003
RULESET = 1002  # of Landlock
LOWEST = 1002  # of the names above


def deferred(count: int) -> int:
    """For the mount that is the `count`th (from 0) to become read-only when all is mounted."""
    return LOWEST - 1 - count
