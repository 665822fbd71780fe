# SPDX-License-Identifier: Apache-2.0
"""What the executor has seen where an operation failed (runtime/executor/evidence.h): read, and
taken apart. The image chose much of it. Loaded when something has failed."""

from __future__ import annotations

import os
import select
from _struct import Struct

from pyrun import pack

LIMIT = 4096  # bytes
PATIENCE = 1000  # milliseconds
_IDS = Struct("=II")
_SIGHTING = Struct("=iIIIIii24sHH")


class Sighting:
    """A file as the container's user sees it: `number` is the errno of looking at it, or 0; then,
    `mode` is that of a link (its target the `content`), or 0."""

    __slots__ = (
        "capabilities", "content", "flags", "gid", "mode", "number", "path", "readable", "size",
        "uid",
    )  # fmt: skip

    def __init__(self, fields: tuple[int, ...], capabilities: bytes, path: bytes) -> None:
        self.number, self.mode, self.uid, self.gid, self.flags, readable, self.size = fields
        self.readable = bool(readable)
        self.capabilities = capabilities
        self.path = path
        self.content = b""


def receive(fd: int) -> bytes:
    """What follows a report, until the executor's end: from its socket or the result fifo. What it
    looks at may hold it up (a FUSE, a seccomp agent): then the report has to do."""
    data = b""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    os.set_blocking(fd, False)
    while len(data) < LIMIT:
        try:
            # First: poll(2) tells no end of a fifo that was opened after its writer had gone.
            part = os.read(fd, LIMIT - len(data))
        except BlockingIOError:
            if poll.poll(PATIENCE):
                continue
            break
        except OSError:  # reset: it ended with something of ours unread
            break
        if not part:
            break
        data += part
    return data


def user(data: bytes) -> str:
    """Who has seen it, as uid:gid; "" when that is not known."""
    if len(data) < _IDS.size:
        return ""
    uid, gid = _IDS.unpack_from(data)
    return f"{uid}:{gid}"


def sightings(data: bytes) -> list[Sighting]:
    """In the order in which they were made; a cut one ends the list."""
    found = []
    at = _IDS.size
    while len(data) - at >= _SIGHTING.size:
        *fields, capabilities, path, content = _SIGHTING.unpack_from(data, at)
        at += _SIGHTING.size
        if len(data) - at < path + content:
            break
        seen = Sighting(tuple(fields), capabilities, data[at : at + path])
        seen.content = data[at + path : at + path + content]
        found.append(seen)
        at += path + content
    return found


def text(data: bytes) -> str:
    """Bytes that an image chose, as a terminal may show them."""
    words = data.decode("utf-8", "replace")
    if words.isprintable() and "\ufffd" not in words:
        return words
    pack.complete()
    words = data.decode("utf-8", "backslashreplace")
    return words if words.isprintable() else words.encode("unicode_escape").decode("ascii")


def messages(data: bytes) -> str:
    """What the kernel says of a file system context, errors first: fsopen(2). Each begins with
    "e ", "w " or "i "."""
    lines = [line for line in data.split(b"\n") if line[1:2] == b" "]
    wanted = [line for line in lines if line[:1] == b"e"] or lines
    return ", ".join(text(line[2:]).strip() for line in wanted)
