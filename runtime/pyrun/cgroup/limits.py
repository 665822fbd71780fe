# SPDX-License-Identifier: Apache-2.0
"""Carry out the writes of `resources` in the directories of a cgroup, and say what went wrong."""

from __future__ import annotations

import errno

from pyrun.cgroup import cgroupfs
from pyrun.errors import Error, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.cgroup.resources import Write

HINTS = {
    ("memory", errno.EBUSY): "the cgroup uses more than that already",
    ("memory", errno.EINVAL): "limit must not be greater than swap, which is memory and swap",
    ("cpuset", errno.EINVAL): "the parent cgroup, or this host, does not have these numbers",
    ("cpuset", errno.ERANGE): "this kernel has no such number",
    ("cpuset", errno.EACCES): "the parent cgroup does not have these numbers",
    ("cpuset", errno.ENOSPC): "the cgroup would be left without a CPU or memory node",
    ("cpu", errno.EINVAL): "the parent cgroup allows less, or the value is out of range",
    ("io", errno.ENODEV): "there is no such block device",
    ("blkio", errno.ENODEV): "there is no such block device",
    ("net_prio", errno.ENODEV): "there is no such network interface in this network namespace",
}


def apply(
    found: list[Write],
    directories: dict[str, str],
    absent: str,
    failures: dict[str, str] | None = None,
) -> None:
    """Write every value. `directories` says where the files of a controller are.

    When it is in none, `failures` may say why in words, and `absent` does otherwise. Raises Error
    with the field that asked, the file, and the kernel's words.
    """
    for pointer, controller, choices, optional in found:
        path = directories.get(controller)
        if path is None:
            if optional:
                continue
            from pyrun import kernel_lacks

            raise Error(
                f"cannot set {choices[0][0]} to {choices[0][1]}:"
                f" the {controller} controller is not available",
                pointer,
                (failures or {}).get(controller) or kernel_lacks.controller(controller) or absent,
            )
        _write_one(pointer, controller, path, choices, optional)


def _write_one(
    pointer: str, controller: str, path: str, choices: tuple[tuple[str, str], ...], optional: bool
) -> None:
    for file, value in choices:
        try:
            cgroupfs.write(f"{path}/{file}", value)
            return
        except OSError as error:
            if error.errno != errno.ENOENT:
                hint = HINTS.get((controller, error.errno or 0), "")
                raise from_os(error, f"write {value} to {path}/{file}", pointer, hint) from None
    if not optional:
        from pyrun import kernel_lacks

        names = " or ".join(file for file, _ in choices)
        raise Error(
            f"write {choices[0][1]} to {path}/{names}: no such file or directory",
            pointer,
            kernel_lacks.controller_file(names),
        )
