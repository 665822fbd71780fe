# SPDX-License-Identifier: Apache-2.0
"""What a failure says: the exception that reaches the user, and the kernel's words for errno."""

from __future__ import annotations

import os

GENERIC = 1  # any failure of pyrun's own
EXEC_FAILURE = 255  # `exec` could not run the process


class Error(Exception):
    """A failure as the user reads it, on one line.

    `message` says what was tried and what the kernel answered; `pointer` is the JSON pointer of
    the config field that asked for it ("" when none did); `hint` says what to try; `code` is the
    exit code of the verb.
    """

    def __init__(
        self, message: str, pointer: str = "", hint: str = "", code: int = GENERIC
    ) -> None:
        super().__init__(message)
        self.message = message
        self.pointer = pointer
        self.hint = hint
        self.code = code

    def __str__(self) -> str:
        where = f"config.json {self.pointer}: " if self.pointer else ""
        hint = f": {self.hint}" if self.hint else ""
        return f"{where}{self.message}{hint}".replace("\n", "\\n")


class UnreadError(Error):
    """A file could not be read this time, for want of something: that says nothing of its
    content."""


class ConfigError(Error):
    """Every problem of one config at once: a list of (JSON pointer, message)."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{pointer or '/'}: {text}" for pointer, text in problems))

    def __str__(self) -> str:
        return f"config.json: {self.message}".replace("\n", "\\n")


def reason(number: int) -> str:
    """The kernel's words for an errno, in the lower case that engines look for in our output."""
    words = os.strerror(number)
    return words[:1].lower() + words[1:] if words[1:2].islower() else words


def from_os(error: OSError, doing: str, pointer: str = "", hint: str = "") -> Error:
    """An Error for a failed system call: `doing` names the operation and its object."""
    return Error(f"{doing}: {reason(error.errno or 0)}", pointer, hint)
