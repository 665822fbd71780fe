# SPDX-License-Identifier: Apache-2.0
"""What the payload's `mounts` says, line by line."""

from __future__ import annotations


class Mount:
    """A line of mountinfo: proc_pid_mountinfo(5)."""

    def __init__(self, line: str) -> None:
        before, after = (part.split(" ") for part in line.split(" - "))  # the source may be empty
        self.root, self.place = before[3], before[4]
        self.options = set(before[5].split(","))
        self.tags = before[6:]
        self.kind, self.source = after[0], after[1]
        self.data = set(after[2].split(","))


def mounts(answer: str) -> dict[str, Mount]:
    """By their places; the uppermost of several at one."""
    found = map(Mount, answer.splitlines())
    return {entry.place: entry for entry in found}
