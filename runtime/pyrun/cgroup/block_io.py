# SPDX-License-Identifier: Apache-2.0
"""linux.resources.blockIO as values of control files: see `resources`."""

from __future__ import annotations

from pyrun.cgroup.resources import BASE as RESOURCES
from pyrun.cgroup.resources import entry
from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cgroup.resources import Write

BASE = f"{RESOURCES}/blockIO"
THROTTLES = (  # config field, file of v1, key in io.max of v2
    ("throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps"),
    ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps"),
    ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops"),
    ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops"),
)


def v1(block: dict[str, Any]) -> list[Write]:
    """The writes for the v1 controller blkio. Raises Error."""
    _check_weights(block)
    found: list[Write] = []
    if block.get("weight"):
        value = str(block["weight"])
        choices = (("blkio.weight", value), ("blkio.bfq.weight", value))
        found.append((f"{BASE}/weight", "blkio", choices, False))
    for index, item in enumerate(block.get("weightDevice") or []):
        value = f"{_device(item)} {item['weight']}"
        choices = (("blkio.weight_device", value), ("blkio.bfq.weight_device", value))
        found.append((f"{BASE}/weightDevice/{index}", "blkio", choices, False))
    for field, file, _ in THROTTLES:
        for index, item in enumerate(block.get(field) or []):
            value = f"{_device(item)} {item['rate']}"
            found.append(entry(f"{BASE}/{field}/{index}", "blkio", file, value))
    return found


def v2(block: dict[str, Any]) -> list[Write]:
    """The writes for the v2 controller io. Raises Error."""
    _check_weights(block)
    found: list[Write] = []
    weight = block.get("weight")
    if weight:
        choices = (("io.bfq.weight", str(weight)), ("io.weight", str(io_weight(weight))))
        found.append((f"{BASE}/weight", "io", choices, False))
    for index, item in enumerate(block.get("weightDevice") or []):
        device, weight = _device(item), item["weight"]
        choices = (
            ("io.bfq.weight", f"{device} {weight or 'default'}"),
            ("io.weight", f"{device} {io_weight(weight) or 'default'}"),
        )
        found.append((f"{BASE}/weightDevice/{index}", "io", choices, False))
    for field, _, key in THROTTLES:
        for index, item in enumerate(block.get(field) or []):
            # 0 is no limit on v1, and out of range here
            value = f"{_device(item)} {key}={item['rate'] or 'max'}"
            found.append(entry(f"{BASE}/{field}/{index}", "io", "io.max", value))
    return found


def io_weight(weight: int) -> int:
    """blkio.weight (10…1000) as io.weight (1…10000), 0 as 0 (unset).

    bfq takes weights from 1: those below 10 are the least there is.
    """
    return max(1, 1 + (weight - 10) * 9999 // 990) if weight else 0


def _device(item: dict[str, Any]) -> str:
    return f"{item['major']}:{item['minor']}"


def _check_weights(block: dict[str, Any]) -> None:
    pointers = [f"{BASE}/leafWeight"] if block.get("leafWeight") else []
    for index, item in enumerate(block.get("weightDevice") or []):
        pointer = f"{BASE}/weightDevice/{index}"
        if item.get("leafWeight"):
            pointers.append(f"{pointer}/leafWeight")
        elif item.get("weight") is None:
            raise Error("has neither weight nor leafWeight", pointer, "set weight")
    for pointer in pointers:
        raise Error("leafWeight left the kernel with the CFQ scheduler (5.0)", pointer, "drop it")
