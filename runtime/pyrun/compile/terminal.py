# SPDX-License-Identifier: Apache-2.0
"""process.terminal and process.consoleSize: a terminal of the container's own devpts."""

from __future__ import annotations

from pyrun import ops, sync
from pyrun.compile.donations import namespace
from pyrun.compile.slots import MASTER, PEER, ROOT, TARGET, TREE
from pyrun.linux import O_DIRECTORY, O_PATH, S_IFREG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts, Steps

POINTER = "/process/terminal"


def wanted(config: Config) -> bool:
    """Whether the process gets a terminal."""
    return bool((config.get("process") or {}).get("terminal"))


def open_terminal(config: Config, facts: Facts) -> Steps:
    """Of the devpts at the container's /dev/pts."""
    if not wanted(config):
        return
    yield POINTER, ops.open_in_root(ROOT, "/dev/pts", O_PATH | O_DIRECTORY, 0, TARGET)
    yield POINTER, ops.open_pty(TARGET, MASTER, PEER)
    size = config["process"].get("consoleSize")
    if size:
        op = ops.set_window_size(MASTER, size["height"], size["width"])
        yield "/process/consoleSize", op


def bind_console(config: Config, facts: Facts) -> Steps:
    """/dev/console is the peer itself, by descriptor: no name in /dev/pts can stand in for it
    (CVE-2025-52565)."""
    if wanted(config) and namespace(config, "mount"):
        yield POINTER, ops.open_tree(PEER, "", 0, TREE)
        yield POINTER, ops.make_in_root(ROOT, "/dev/console", S_IFREG | 0o600, 0, TARGET)
        yield POINTER, ops.move_mount(TREE, TARGET)


def hand_over(config: Config, facts: Facts) -> Steps:
    """The master goes to whoever holds the other end: an engine's socket, or `pyrun run`."""
    if wanted(config):
        yield POINTER, ops.sync_send(sync.CONSOLE, MASTER)
        yield POINTER, ops.close_slot(MASTER)


def session(config: Config, facts: Facts) -> Steps:
    """A session of its own, with the terminal as its controlling one; stdio is the user's."""
    yield POINTER, ops.setsid()
    if wanted(config):
        yield POINTER, ops.take_terminal(PEER)
    yield POINTER, ops.reopen_null(ROOT)
    uid = ((config.get("process") or {}).get("user") or {}).get("uid") or 0
    if wanted(config):
        yield "/process/user/uid", ops.chown_terminal(PEER, uid)
    else:
        yield "/process/user/uid", ops.chown_stdio(uid)
