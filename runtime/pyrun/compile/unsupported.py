# SPDX-License-Identifier: Apache-2.0
"""Fields of the specification that this version can't honour: refused, never passed over."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Problem

PROCESS: tuple[str, ...] = ()
LINUX: tuple[str, ...] = ()


def problems(config: Config) -> list[Problem]:
    """(pointer, message) for each such field that asks for something."""
    places: list[tuple[str, Config, tuple[str, ...]]] = [
        ("/process", config.get("process") or {}, PROCESS),
        ("/linux", config.get("linux") or {}, LINUX),
    ]
    return [
        (f"{pointer}/{name}", "not supported by this version")
        for pointer, part, names in places
        for name in names
        if part.get(name)
    ]
