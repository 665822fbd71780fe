# SPDX-License-Identifier: Apache-2.0
"""Carry out the writes of `resources` in the directories of a cgroup, and say what went wrong."""

from __future__ import annotations

import errno

from pyrun.cgroup import cgroupfs
from pyrun.errors import Error, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cgroup.resources import Write

HINTS = {
    ("memory", errno.EBUSY): "the cgroup uses more than that already",
    ("memory", errno.EINVAL): "limit must not be greater than swap, which is memory and swap",
    ("cpuset", errno.EINVAL): "the parent cgroup, or this host, does not have these numbers",
    ("cpuset", errno.ERANGE): "this kernel has no such number",
    ("cpuset", errno.EACCES): "the parent cgroup does not have these numbers",
    ("cpuset", errno.EBUSY): "a cgroup below it has others of these numbers: shrink that one first",
    ("cpuset", errno.ENOSPC): "the cgroup would be left without a CPU or memory node",
    ("cpu", errno.EINVAL): "the parent cgroup allows less, or the value is out of range",
    ("pids", errno.EINVAL): "the kernel can't have more than 4194304: -1 is no limit",
    ("blkio", errno.EOPNOTSUPP): "the device's scheduler is not bfq, which alone has weights",
    ("io", errno.EOPNOTSUPP): "the device's scheduler is not bfq, which alone has weights",
    ("io", errno.ENODEV): "there is no such block device",
    ("blkio", errno.ENODEV): "there is no such block device",
    ("net_prio", errno.ENODEV): "there is no such network interface in this network namespace",
    ("rdma", errno.ENODEV): "there is no such RDMA device",
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

    The kernel wants limit <= memsw and burst <= quota at any moment. In a fresh cgroup the order of
    `found` does; in one that has limits, growing ones may need the other. So a value refused as
    invalid (EINVAL) is tried again after the rest, as long as that gets any further.
    """
    while found:
        again: list[tuple[Write, Error]] = []
        for write in found:
            path = directories.get(write[1])
            if path is None:
                if not write[3]:
                    raise _absent(write, (failures or {}).get(write[1], ""), absent)
            elif refused := _write_one(write, path):
                again.append((write, refused))
        if len(again) == len(found):
            raise again[0][1]
        found = [write for write, _ in again]


def check_usage(memory: dict[str, Any], path: str) -> None:
    """Raise Error for a limit below what the v2 cgroup at `path` uses, where `memory` asks for that
    (checkBeforeUpdate): v1's kernel refuses one, v2's would kill."""
    limit = memory.get("limit") or 0
    if not memory.get("checkBeforeUpdate") or limit <= 0:
        return
    pointer = "/linux/resources/memory/limit"
    try:
        used = int(cgroupfs.read(f"{path}/memory.current"))
    except FileNotFoundError:
        return  # without the controller, setting the limit fails
    except OSError as error:
        raise from_os(error, f"read {path}/memory.current", pointer) from None
    if limit < used:
        raise Error(
            f"the limit of {limit} bytes is below the {used} that are in use",
            pointer,
            "checkBeforeUpdate asks for this check",
        )


def _absent(write: Write, why: str, otherwise: str) -> Error:
    from pyrun import kernel_lacks

    pointer, controller, choices, _ = write
    return Error(
        f"cannot set {choices[0][0]} to {choices[0][1]}:"
        f" the {controller} controller is not available",
        pointer,
        why or kernel_lacks.controller(controller) or otherwise,
    )


def _write_one(write: Write, path: str) -> Error | None:
    """None when it is done; the Error when another order may help; raises any other."""
    pointer, controller, choices, optional = write
    for file, value in choices:
        try:
            cgroupfs.write(f"{path}/{file}", value)
            return None
        except OSError as error:
            if error.errno == errno.ENOENT:
                continue
            hint = HINTS.get((controller, error.errno or 0), "")
            failure = from_os(error, f"write {value} to {path}/{file}", pointer, hint)
            if error.errno == errno.EINVAL:
                return failure
            raise failure from None
    if optional:
        return None
    from pyrun import kernel_lacks

    names = " or ".join(file for file, _ in choices)
    raise Error(
        f"write {choices[0][1]} to {path}/{names}: no such file or directory",
        pointer,
        kernel_lacks.controller_file(names),
    )
