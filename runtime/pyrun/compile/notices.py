# SPDX-License-Identifier: Apache-2.0
"""What a config asks for and does not get, where the specification wants a warning and no error.

Loaded only where somebody reads warnings: `pyrun validate`, and --log-level warning or debug.
"""

from __future__ import annotations

from pyrun.linux import CAPABILITIES
from pyrun.schema_check import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrun.types import Config, Problem

CAPABILITY_SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")
KERNEL_MEMORY = ("kernel", "kernelTCP")


def notices(config: Config) -> Iterator[Problem]:
    """(pointer, message) of each such wish. The config's shape is right."""
    yield from capabilities(config)
    yield from kernel_memory(config)


def capabilities(config: Config) -> Iterator[Problem]:
    """config.md, Linux Process: a value that the kernel does not know or grant "MUST be logged as a
    warning"."""
    sets = (config.get("process") or {}).get("capabilities") or {}
    for kind in CAPABILITY_SETS:
        for index, name in enumerate(sets.get(kind) or ()):
            at = f"/process/capabilities/{kind}/{index}"
            if name not in CAPABILITIES:
                yield at, f"no such capability, so it is ignored: {shown(name)}"
            elif kind == "ambient":
                needed = ("permitted", "inheritable")
                if lacking := [other for other in needed if name not in (sets.get(other) or ())]:
                    yield at, f"{name} is not raised: it is not {' or '.join(lacking)}"


def kernel_memory(config: Config) -> Iterator[Problem]:
    """Limits that config-linux.md calls NOT RECOMMENDED, and that kernels no longer have."""
    resources = (config.get("linux") or {}).get("resources") or {}
    memory = resources.get("memory") or {}
    for name in KERNEL_MEMORY:
        if memory.get(name, 0) > 0:
            yield (
                f"/linux/resources/memory/{name}",
                "is ignored: kernels count this memory in memory.limit",
            )
