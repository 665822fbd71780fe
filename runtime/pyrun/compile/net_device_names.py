# SPDX-License-Identifier: Apache-2.0
"""What a network device may be called: dev_valid_name() of the kernel, and config-linux.md's
template with `%d`, for which the kernel puts in a number."""

from __future__ import annotations

LONGEST = 15  # bytes: IFNAMSIZ holds a NUL too
TEMPLATE = "%d"


def problem(name: str, *, template: bool = False) -> str:
    """Why this is no name of a network device, "" if it is one; `template`: it may end in `%d`."""
    if template and name.endswith(TEMPLATE):
        name = name.removesuffix(TEMPLATE) + "00"  # as long, for it has to fit as it is
    if name in ("", ".", ".."):
        return "must be the name of a network device"
    if len(name.encode()) > LONGEST:
        return f"is longer than {LONGEST} bytes"
    if any(character.isspace() or character in "/:" for character in name):
        return "must not contain spaces, / or :"
    if "%" in name:
        return "must not contain %, but for %d at the end of a new name"
    return ""


def inside(host: str, device: dict[str, str]) -> str:
    """The name that a device gets in the container: its own, unless another is given."""
    return device.get("name") or host
