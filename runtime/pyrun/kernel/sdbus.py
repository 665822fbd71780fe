# SPDX-License-Identifier: Apache-2.0
"""Speaking with systemd's manager over D-Bus: sd-bus(3), org.freedesktop.systemd1(5). Imported only
for containers of the systemd cgroup driver.

A value goes with its signature, in D-Bus's letters: "s" takes a str, "b" a bool, "t" and the other
numbers an int, "aX" a list, "(XY)" a tuple, and "v" a pair (signature, value).
"""

from __future__ import annotations

import errno
import os
import time

from pyrun.errors import Error, reason
from pyrun.kernel import _sdbus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ffi, lib = _sdbus.ffi, _sdbus.lib

SYSTEMD = (b"org.freedesktop.systemd1", b"/org/freedesktop/systemd1")
MANAGER = b"org.freedesktop.systemd1.Manager"
DBUS = (b"org.freedesktop.DBus", b"/org/freedesktop/DBus")
DBUS_INTERFACE = b"org.freedesktop.DBus"
JOBS = "type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'"
# Of an address, what need not be escaped: the D-Bus specification, "Server Addresses".
_PLAIN = "-_/.*0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
PATIENCE = 30.0  # seconds that systemd gets for an answer, or for a job
NUMBERS = {
    "y": "uint8_t", "n": "int16_t", "q": "uint16_t", "i": "int32_t", "u": "uint32_t",
    "x": "int64_t", "t": "uint64_t", "d": "double", "b": "int",
}  # fmt: skip


class RefusedError(Error):
    """An answer of the bus or of systemd that is an error; `name` is D-Bus's name for it."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


def own_socket(user: bool) -> str:
    """Where the manager itself listens: for root, or for its user."""
    folder = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return f"{folder if user else '/run'}/systemd/private"


def _open(found: Any, path: str) -> bool:
    """Connect to a peer that is no bus; False if nobody is there."""
    if not os.path.exists(path) or lib.sd_bus_new(found) < 0:
        return False
    address = "".join(chr(c) if chr(c) in _PLAIN else f"%{c:02x}" for c in os.fsencode(path))
    ready = lib.sd_bus_set_address(found[0], f"unix:path={address}".encode()) >= 0
    if ready and lib.sd_bus_start(found[0]) >= 0:
        return True
    lib.sd_bus_unref(found[0])
    return False


class Bus:
    """A connection to the system's manager, or to that of the user. Raises Error."""

    def __init__(self, user: bool) -> None:
        found = ffi.new("sd_bus **")
        number = (lib.sd_bus_open_user if user else lib.sd_bus_open_system)(found)
        # Where there is no bus, the manager may be listening itself.
        self._direct = number < 0 and _open(found, own_socket(user))
        if number < 0 and not self._direct:
            if user:
                hint = "DBUS_SESSION_BUS_ADDRESS, or XDG_RUNTIME_DIR with a bus in it, names it"
            else:
                hint = "systemd is spoken to through it: is the package dbus installed?"
            what = f"connect to the {'user' if user else 'system'} bus"
            raise Error(f"{what}: {reason(-number)}", hint=hint)
        self._bus = found[0]

    def close(self) -> None:
        """The connection is not used any more."""
        lib.sd_bus_flush_close_unref(self._bus)

    def follow_jobs(self) -> None:
        """From here on wait() hears of every job that ends. Raises Error."""
        if self._direct:
            return  # a manager tells those who have connected to itself
        self._call(DBUS, DBUS_INTERFACE, "AddMatch", ("s", JOBS))

    def manage(self, member: str, *arguments: tuple[str, Any]) -> str:
        """Call a method of systemd's manager; the job that it answers with, "" for an answer
        without. Raises RefusedError with systemd's words."""
        return self._call(SYSTEMD, MANAGER, member, *arguments)

    def _call(
        self,
        peer: tuple[bytes, bytes],
        interface: bytes,
        member: str,
        *arguments: tuple[str, Any],
    ) -> str:
        call, answer = ffi.new("sd_bus_message **"), ffi.new("sd_bus_message **")
        error = ffi.new("sd_bus_error *")
        try:
            name = member.encode()
            _check(lib.sd_bus_message_new_method_call(self._bus, call, *peer, interface, name))
            for signature, value in arguments:
                append(call[0], signature, value)
            number = lib.sd_bus_call(self._bus, call[0], int(PATIENCE * 1e6), error, answer)
            if number < 0:
                words = _text(error.message) or reason(-number)
                raise RefusedError(f"systemd: {member}: {words}", _text(error.name))
            job = ffi.new("char **")
            found = lib.sd_bus_message_read_basic(answer[0], b"o", job) > 0
            return _text(job[0]) if found else ""
        finally:
            lib.sd_bus_error_free(error)
            lib.sd_bus_message_unref(call[0])
            lib.sd_bus_message_unref(answer[0])

    def wait(self, job: str) -> str:
        """Until a job has ended: its result, "done" when all is well. Raises Error."""
        deadline = time.monotonic() + PATIENCE
        message = ffi.new("sd_bus_message **")
        while (left := deadline - time.monotonic()) > 0:
            number = lib.sd_bus_process(self._bus, message)
            if number == 0:
                number = lib.sd_bus_wait(self._bus, int(left * 1e6))
                if number == -errno.EINTR:
                    continue
            _check(number)
            if message[0] == ffi.NULL:
                continue
            try:
                result = _result(message[0], job)
            finally:
                lib.sd_bus_message_unref(message[0])
                message[0] = ffi.NULL
            if result:
                return result
        raise Error(f"systemd: the job is not done after {PATIENCE:g} seconds")


def _result(message: Any, job: str) -> str:
    """What a JobRemoved signal says of this job; "" for any other message."""
    if lib.sd_bus_message_is_signal(message, MANAGER, b"JobRemoved") <= 0:
        return ""
    number, text = ffi.new("uint32_t *"), ffi.new("char **")
    _check(lib.sd_bus_message_read_basic(message, b"u", number))
    words = []
    for kind in (b"o", b"s", b"s"):  # job, unit, result
        _check(lib.sd_bus_message_read_basic(message, kind, text))
        words.append(_text(text[0]))
    return words[2] if words[0] == job else ""


def append(message: Any, signature: str, value: Any) -> None:
    """Add one value of a single complete type to a message. Raises Error."""
    kind = signature[0]
    if kind in "a(v":
        if kind == "v":
            contents, parts = value[0], [value]
        elif kind == "a":
            contents, parts = signature[1:], [(signature[1:], item) for item in value]
        else:
            contents = signature[1:-1]
            parts = list(zip(contents, value, strict=True))  # no struct of ours holds another
        inside = b"r" if kind == "(" else kind.encode()
        _check(lib.sd_bus_message_open_container(message, inside, contents.encode()))
        for inner, item in parts:
            append(message, inner, item)
        _check(lib.sd_bus_message_close_container(message))
    elif kind in NUMBERS:
        pointer = ffi.new(f"{NUMBERS[kind]} *", value)
        _check(lib.sd_bus_message_append_basic(message, kind.encode(), pointer))
    else:
        text = ffi.new("char[]", value.encode("utf-8", "surrogateescape"))
        _check(lib.sd_bus_message_append_basic(message, kind.encode(), text))


def _text(pointer: Any) -> str:
    return "" if pointer == ffi.NULL else ffi.string(pointer).decode("utf-8", "replace")


def _check(number: int) -> None:
    if number < 0:
        raise Error(f"speaking with systemd: {reason(-number)}")
