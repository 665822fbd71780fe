# SPDX-License-Identifier: Apache-2.0
"""config-linux.md: device files, and network devices."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from typing import Any, Self

from conformance.case import Case
from conformance.checks.process import on_terminal
from conformance.plugin import check, each

# type, mode, owner, group, numbers
NODES: dict[str, tuple[dict[str, Any], str]] = {
    "": ({"path": "/dev/one", "type": "c", "major": 1, "minor": 3}, "c * * * 1:3"),
    ".available": ({"path": "/dev/one", "type": "c", "major": 1, "minor": 5}, "c * * * 1:5"),
    ".type#block": ({"path": "/dev/one", "type": "b", "major": 7, "minor": 9}, "b * * * 7:9"),
    ".type#fifo": ({"path": "/dev/one", "type": "p"}, "p * * * *"),
    ".type#unbuffered": ({"path": "/dev/one", "type": "u", "major": 1, "minor": 7}, "c * * * 1:7"),
    ".path": ({"path": "/dev/folder/one", "type": "c", "major": 1, "minor": 3}, "c * * * 1:3"),
    ".path-anywhere": ({"path": "/data/one", "type": "c", "major": 1, "minor": 3}, "c * * * 1:3"),
    ".major-minor": ({"path": "/dev/one", "type": "c", "major": 10, "minor": 229},
                     "c * * * 10:229"),
    ".fileMode": ({"path": "/dev/one", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640},
                  "c 0640 * * 1:3"),
    ".uid": ({"path": "/dev/one", "type": "c", "major": 1, "minor": 3, "uid": 12}, "c * 12 * 1:3"),
    ".gid": ({"path": "/dev/one", "type": "c", "major": 1, "minor": 3, "gid": 34}, "c * * 34 1:3"),
}  # fmt: skip


@each({f"config-linux.devices{name}": row for name, row in NODES.items()})
def check_node(case: Case, row: tuple[dict[str, Any], str]) -> None:
    """What stat(2) says of it in the container: type, mode, owner, group, numbers."""
    device, wanted = row
    case.box.config["linux"]["devices"] = [device]
    seen = case.box.ask(f"stat {device['path']}")[0]
    pairs = list(zip(wanted.split(), seen.split(), strict=False))
    holds = len(pairs) == 5 and all(one in ("*", other) for one, other in pairs)
    case.require(device["path"], wanted, seen, holds)


@check("config-linux.devices.path-taken")
def check_taken(case: Case) -> None:
    """A file is there, in the root filesystem."""
    case.box.bundle.file("/data/one", "text")
    case.box.config["linux"]["devices"] = [
        {"path": "/data/one", "type": "c", "major": 1, "minor": 3}
    ]
    case.refused(case.box, "create with a file where a device is to be")


@check("config-linux.devices.others")
def check_others(case: Case) -> None:
    """/dev/kmsg, made by the program itself, without a rule that allows it."""
    case.box.bundle.capabilities("CAP_MKNOD", "CAP_SYSLOG", "CAP_DAC_OVERRIDE")
    seen = case.box.ask("mknod /tmp/kmsg 1 11", "open /tmp/kmsg r")
    case.require("to make it, and to open it", "an error", seen, seen[1].startswith("error: "))


DEFAULT = {"null": "1:3", "zero": "1:5", "full": "1:7", "random": "1:8", "urandom": "1:9",
           "tty": "5:0"}  # fmt: skip


@check("config-linux.devices.default")
def check_default(case: Case) -> None:
    """Types and numbers; ptmx leads to pts/ptmx; with a terminal there is a console."""
    seen = case.new().ask(
        *(f"stat /dev/{name}" for name in DEFAULT),
        "stat /dev/ptmx",
        "readlink /dev/ptmx",
        "write /dev/null text",
        "stat /dev/console",
    )
    for (name, numbers), line in zip(DEFAULT.items(), seen, strict=False):
        fields = line.split()
        case.expect(
            f"/dev/{name}", ["c", numbers], [fields[0], fields[4:5][0] if fields[4:] else ""]
        )
    ptmx = (seen[6].split()[0], seen[7])
    holds = ptmx[0] == "c" or ptmx[1] in ("pts/ptmx", "/dev/pts/ptmx")
    case.require("/dev/ptmx", "a device, or a link to pts/ptmx", ptmx, holds)
    case.expect("to write to /dev/null", "ok", seen[8])
    with on_terminal(case, "stat /dev/console", "isatty 0") as answers:
        case.require("/dev/console with a terminal", "a device", answers,
                     answers[0].startswith("c ") and answers[1] == "yes")  # fmt: skip


_numbers = itertools.count()


def ip(*words: str, of: int = 0) -> str:
    """The output of ip(8), in the network namespace of a process."""
    place = ["nsenter", "--net", "--target", str(of)] if of else []
    return subprocess.run([*place, "ip", *words], capture_output=True, text=True, check=True).stdout


def devices(of: int = 0) -> dict[str, Any]:
    """The network devices, by name."""
    return {entry["ifname"]: entry for entry in json.loads(ip("-json", "addr", of=of))}


class Pair:
    """A veth pair, one end of which a container gets."""

    def __init__(self) -> None:
        self.name = f"cf{os.getpid() % 100000}v{next(_numbers)}"
        self.peer = f"{self.name}p"
        ip("link", "add", self.name, "mtu", "1400", "type", "veth", "peer", "name", self.peer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name in (self.name, self.peer):
            subprocess.run(["ip", "link", "del", name], capture_output=True)


NET = {"config-linux.netDevices": "", "config-linux.netDevices.available": "",
       "config-linux.netDevices.name": "eth7", "config-linux.netDevices.name-template": "cft%d",
       "config-linux.netDevices.up": ""}  # fmt: skip


@each(NET, needs=("ip",))
def check_net_device(case: Case, row: str) -> None:
    """One end of a veth pair: there under its name, up, and gone from the host."""
    with Pair() as pair:
        case.box.config["linux"]["netDevices"] = {pair.name: {"name": row} if row else {}}
        wanted = "cft0" if row == "cft%d" else row or pair.name
        seen = devices(case.box.created().pid)
        case.contains("devices in the container", wanted, list(seen))
        case.contains("flags of the device", "UP", seen[wanted]["flags"])
        case.lacks("devices of the host", pair.name, list(devices()))


@check("config-linux.netDevices.checked", needs=("ip",))
def check_net_device_missing(case: Case) -> None:
    """One that the host does not have; one that can't be moved."""
    for name in ("cfnone0", "lo"):
        box = case.new()
        box.config["linux"]["netDevices"] = {name: {}}
        case.refused(box, f"create with the network device {name}")


@check("config-linux.netDevices.name-taken", needs=("ip",))
def check_net_device_taken(case: Case) -> None:
    """lo, which every network namespace has. The device stays on the host."""
    with Pair() as pair:
        case.box.config["linux"]["netDevices"] = {pair.name: {"name": "lo"}}
        case.refused(case.box, "create with a device that shall be called lo")
        case.contains("devices of the host", pair.name, list(devices()))


@check("config-linux.netDevices.addresses", needs=("ip",))
def check_net_device_addresses(case: Case) -> None:
    """Two addresses of each family, and the MTU."""
    lasting = ["192.0.2.7/24", "2001:db8::7/64"]
    with Pair() as pair:
        ip("link", "set", pair.name, "up")
        ip("addr", "add", lasting[0], "dev", pair.name)
        ip("addr", "add", lasting[1], "dev", pair.name, "nodad")
        case.box.config["linux"]["netDevices"] = {pair.name: {}}
        seen = devices(case.box.created().pid).get(pair.name, {"addr_info": [], "mtu": 0})
        found = [f"{a['local']}/{a['prefixlen']}" for a in seen["addr_info"]]
        for address in lasting:
            case.contains("addresses in the container", address, found)
        case.expect("the MTU", 1400, seen["mtu"])


@check("config-linux.netDevices.not-moved-back", needs=("ip",))
def check_net_device_stays(case: Case) -> None:
    """In a namespace that another container holds, after the first one is deleted."""
    with Pair() as pair:
        holder = case.new().created()
        case.box.bundle.namespace("network", f"/proc/{holder.pid}/ns/net")
        case.box.bundle.without_mount("/sys")
        case.box.config["linux"]["netDevices"] = {pair.name: {}}
        case.box.stopped()
        case.works("delete", case.box.delete())
        case.contains("devices of the namespace", pair.name, list(devices(holder.pid)))
