# SPDX-License-Identifier: Apache-2.0
"""What `create` leaves for the verbs that need no Python: the file that the launcher reads. The
format is drawn in runtime/launcher/fast.h.

All policy is here: which verbs are ordinary for this container, and what there is to remove.
"""

from __future__ import annotations

import os
from _struct import Struct
from binascii import crc32

from pyrun import _build, init, jsonscan, log, report
from pyrun.cgroup import procs
from pyrun.errors import Error
from pyrun.state import FAST, INTENT, STATE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.state import Container
    from pyrun.types import Config

MAGIC = b"pyfa"
VERSION = 1
LIMIT = 65536
START, DELETE, KILL, DESCRIBE, LEGACY = 1, 2, 4, 8, 16

HEAD = Struct("=4sIII")  # up to the CRC, which is that of everything behind it
BODY = Struct("=IIiIQ QQq QQq 40s")


def leave(container: Container) -> None:
    """Write the file; both records are in place. Without it every verb works, only slower."""
    data = pack(container)
    if len(data) > LIMIT:
        return
    try:
        container.replace(FAST, data)
    except Error as error:
        log.debug(str(error))


def pack(container: Container) -> bytes:
    """The file's content."""
    record = container.intent["cgroup"]
    frozen, legacy = frozen_file(record)
    folders = procs.directories(record)
    texts = (*description(container), frozen, *folders)
    strings = b"".join(os.fsencode(text) + b"\0" for text in texts)
    body = BODY.pack(
        HEAD.size + BODY.size + len(strings),
        ordinary(container) | (LEGACY if legacy else 0),
        container.state["init_process_pid"],
        len(folders),
        container.state["init_process_start"],
        *_seen(container, INTENT),
        *_seen(container, STATE),
        container.intent["boot_id"].encode(),
    )
    body += strings
    return HEAD.pack(MAGIC, VERSION, _build.CHECKSUM, crc32(body)) + body


def ordinary(container: Container) -> int:
    """The verbs for which nothing is to be done but what fast.c does."""
    intent = container.intent
    found = DESCRIBE
    if not intent["hooks"].get("poststart") and not intent.get("notify"):
        found |= START
    # What another manager than cgroupfs has made is not removed by rmdir(2) alone.
    # Nor is what the container wrote into a layer of its own; and resctrl's groups are no cgroups.
    by_python = intent["hooks"].get("poststop") or intent["cgroup"]["manager"] == "systemd"
    if not (by_python or intent.get("layers") or "intel_rdt" in intent):
        found |= DELETE
    if intent["own_pids"]:
        found |= KILL
    return found


def description(container: Container) -> tuple[str, str, str]:
    """What `state` prints, in three parts: pid and status, both of which change, go in between."""
    text = jsonscan.dumps(report.describe_as(container, init.RUNNING), "  ")
    pid = container.state["init_process_pid"]
    # Only the version and the id stand before them, and neither can hold a quote.
    before, name, rest = text.partition('"pid": ')
    between, _, behind = rest.removeprefix(str(pid)).partition(init.RUNNING)
    return before + name, between, behind


def frozen_file(record: Config) -> tuple[str, bool]:
    """As procs.frozen looks: (its path or "", whether it is v1's)."""
    paths = record["paths"]
    if "freezer" in paths:
        return f"{paths['freezer']}/freezer.state", True
    return (f"{paths['']}/cgroup.freeze" if "" in paths else ""), False


def _seen(container: Container, name: str) -> tuple[int, int, int]:
    """By what fast.c recognizes the record that this was made from."""
    found = os.stat(name, dir_fd=container.fd, follow_symlinks=False)
    return found.st_ino, found.st_size, found.st_mtime_ns
