# SPDX-License-Identifier: Apache-2.0
"""Records for the machine's own log: `--log journald:ID` and `--log syslog:ID`, as in crun."""

from __future__ import annotations

import os
import syslog
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, socket

from pyrun.errors import Error, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    # Takes a level and one line of text. Raises OSError when it can't be written.
    Sink = Callable[[str, str], None]

SYSLOG = "/dev/log"
JOURNAL = "/run/systemd/journal/socket"
PRIORITIES = {"error": syslog.LOG_ERR, "warning": syslog.LOG_WARNING, "debug": syslog.LOG_DEBUG}


def open_sink(name: str) -> Sink:
    """The log that `--log` has named, with an id or without one. Raises Error if nobody takes
    records there."""
    service, _, ident = name.partition(":")
    if service == "journald":
        return _journal(name, ident)
    # syslog(3) does not tell whether anybody heard it.
    if not os.access(SYSLOG, os.W_OK):
        raise Error(f"--log {name}: no {SYSLOG}", hint="no system logger is running")
    syslog.openlog(ident or "pyrun", 0, syslog.LOG_USER)
    return lambda level, text: syslog.syslog(PRIORITIES[level], text)


def _journal(name: str, ident: str) -> Sink:
    # The lines of https://systemd.io/JOURNAL_NATIVE_PROTOCOL: FIELD=text without a newline in it.
    channel = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
    try:
        channel.connect(JOURNAL)
    except OSError as error:
        channel.close()
        hint = "is systemd-journald running?"
        raise from_os(error, f"--log {name}: {JOURNAL}", hint=hint) from None

    fd = channel.detach()  # open to the end of the process

    def send(level: str, text: str) -> None:
        fields = {"MESSAGE": text, "PRIORITY": PRIORITIES[level], "SYSLOG_IDENTIFIER": "pyrun"}
        if ident:
            fields["ID"] = ident
        os.write(fd, "".join(f"{key}={value}\n" for key, value in fields.items()).encode())

    return send
