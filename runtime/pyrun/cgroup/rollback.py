# SPDX-License-Identifier: Apache-2.0
"""What limits are set now, as writes that set them again: for an update that fails half-way.

found = resources.writes(wanted, unified)
before = rollback.present(found, directories)
try: limits.apply(found, directories, absent)
except Error: limits.apply(before, directories, absent), and raise
"""

from __future__ import annotations

from pyrun.cgroup import cgroupfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.cgroup.resources import Write

# Files of a line for each device or interface, which is written as it reads; and what takes a line
# away that is not there yet.
NO_LINE = {
    "io.max": "rbps=max wbps=max riops=max wiops=max",
    "io.weight": "default",
    "io.bfq.weight": "default",
    "rdma.max": "hca_handle=max hca_object=max",
}


def present(found: list[Write], directories: dict[str, str]) -> list[Write]:
    """The writes that bring back what the files of `found` hold now, in the same order.

    All are optional: what cannot be read now is left out.
    """
    before: list[Write] = []
    for pointer, controller, choices, _ in found:
        path = directories.get(controller)
        for file, value in choices if path else ():
            try:
                text = cgroupfs.read(f"{path}/{file}")
            except OSError:
                continue
            before.append((pointer, controller, ((file, as_written(file, value, text)),), True))
            break
    return before


def as_written(file: str, value: str, text: str) -> str:
    """The value that sets again what `text`, the content of a file, says where `value` will."""
    if file == "memory.oom_control":
        return text.split()[1]
    key, _, rest = value.partition(" ")
    if rest and (":" in key or file in ("rdma.max", "net_prio.ifpriomap", "misc.max")):
        for line in text.splitlines():
            if line.partition(" ")[0] == key:
                return line
        return f"{key} {NO_LINE.get(file, '0')}"
    # "default 100", and then a line for each device
    first = text.partition("\n")[0] if text.startswith("default ") else text.strip()
    return first or "\n"  # a write of no bytes would not reach the kernel
