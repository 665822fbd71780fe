# SPDX-License-Identifier: Apache-2.0
"""config-linux.md: namespaces, their maps and clocks; names of the host; kernel parameters."""

from __future__ import annotations

import os
import time
from pathlib import Path

from conformance.case import Case
from conformance.plugin import check, each

KERNEL = {"pid": "pid", "network": "net", "mount": "mnt", "ipc": "ipc", "uts": "uts",
          "user": "user", "cgroup": "cgroup", "time": "time"}  # fmt: skip
USUAL = ("network", "ipc", "uts", "pid", "cgroup")
CLOCKS = {"monotonic": 1, "boottime": 7}


def own(kind: str) -> str:
    """The namespace of this process, as the kernel names it."""
    return os.readlink(f"/proc/self/ns/{KERNEL[kind]}")


def inside(case: Case) -> dict[str, str]:
    """The namespaces of the program, by the kernel's names of their kinds."""
    return dict(line.split() for line in case.box.ask("ns")[0].splitlines())


@check("config-linux.namespaces.type")
def check_type(case: Case) -> None:
    """Each new one is of its kind, and no other one is new."""
    seen = inside(case)
    for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup"):
        case.require(f"the {kind} namespace", f"not {own(kind)}", seen[KERNEL[kind]],
                     seen[KERNEL[kind]] != own(kind))  # fmt: skip
    case.expect("the user namespace", own("user"), seen["user"])


@check("config-linux.namespaces.types", needs=("userns", "timens"))
def check_types(case: Case) -> None:
    """All eight at once."""
    case.box.bundle.map_ids()
    case.box.bundle.namespace("time")
    seen = inside(case)
    for kind, name in KERNEL.items():
        case.require(
            f"the {kind} namespace", f"not {own(kind)}", seen[name], seen[name] != own(kind)
        )


@check("config-linux.namespaces.new")
def check_new(case: Case) -> None:
    """Two containers have none in common."""
    first, second = (case.new().created() for _ in range(2))
    for kind in ("pid", "net", "ipc", "uts", "mnt", "cgroup"):
        one, two = first.namespace(kind), second.namespace(kind)
        case.require(f"the {kind} namespaces of two containers", "two", (one, two), one != two)


@each({"config-linux.namespaces.path": USUAL, "config-linux.namespaces.path-joined": USUAL})
def check_path(case: Case, row: tuple[str, ...]) -> None:
    """Those of another container."""
    holder = case.new().created()
    for kind in row:
        case.box.bundle.namespace(kind, f"/proc/{holder.pid}/ns/{KERNEL[kind]}")
    if "uts" in row:
        del case.box.config["hostname"]
    wanted = {KERNEL[kind]: holder.namespace(KERNEL[kind]) for kind in row}
    case.box.bundle.without_mount("/sys")  # of another's network it needs rights
    seen = inside(case)
    for kind, name in wanted.items():
        case.expect(f"the {kind} namespace", name, seen[kind])


@check("config-linux.namespaces.path-absolute")
def check_path_absolute(case: Case) -> None:
    """A link in the bundle, by its name."""
    (case.box.bundle.path / "ns").symlink_to("/proc/self/ns/uts")
    case.box.bundle.namespace("uts", "ns")
    del case.box.config["hostname"]
    case.box.bundle.save()
    words = ("create", "--bundle", case.box.bundle.path, case.box.id)
    case.error("create with path ns", case.runtime(*words, cwd=case.box.bundle.path))


@check("config-linux.namespaces.path-other-type")
def check_other_type(case: Case) -> None:
    """An ipc namespace as network; a file that is none."""
    for what, path in (("an ipc namespace", "/proc/self/ns/ipc"), ("/dev/null", "/dev/null")):
        box = case.new()
        box.bundle.namespace("network", path)
        case.refused(box, f"create with {what} as network")


@check("config-linux.namespaces.inherited")
def check_inherited(case: Case) -> None:
    """Without network, ipc, uts and cgroup."""
    kinds = ("network", "ipc", "uts", "cgroup")
    case.box.bundle.without_namespace(*kinds)
    case.box.bundle.without_mount("/sys")
    del case.box.config["hostname"]
    seen = inside(case)
    for kind in kinds:
        case.expect(f"the {kind} namespace", own(kind), seen[KERNEL[kind]])


@check("config-linux.namespaces.twice")
def check_twice(case: Case) -> None:
    """uts and again uts."""
    case.box.config["linux"]["namespaces"].append({"type": "uts"})
    case.refused(case.box, "create with one type twice")


MAPS = {"config-linux.uidMappings": "uid", "config-linux.gidMappings": "gid",
        "config-linux.mapping.containerID": "uid", "config-linux.mapping.hostID": "uid",
        "config-linux.mapping.size": "gid"}  # fmt: skip


@each(MAPS, needs=("userns",))
def check_maps(case: Case, row: str) -> None:
    """As /proc/PID/uid_map and gid_map have them: of each kind other numbers, two entries."""
    linux = case.box.config["linux"]
    case.box.bundle.map_ids()
    wanted = {"uid": [(0, 100000, 1000), (2000, 300000, 77)],
              "gid": [(0, 100000, 500), (3000, 400000, 88)]}  # fmt: skip
    for kind, entries in wanted.items():
        linux[f"{kind}Mappings"] = [
            {"containerID": inner, "hostID": host, "size": size} for inner, host, size in entries
        ]
    case.box.created()
    lines = case.box.proc(f"{row}_map").splitlines()
    case.expect(f"{row}_map", wanted[row], [tuple(map(int, line.split())) for line in lines])


@check("config-linux.mapping.ownership", needs=("userns",))
def check_ownership(case: Case) -> None:
    """A file of the root filesystem that is another user's, after the container has run."""
    path = case.box.bundle.file("/kept", "text")
    case.box.bundle.map_ids()
    os.chown(path, 4321, 8765)
    case.box.ask("stat /kept")
    found = path.stat()
    case.expect("owner and group", (4321, 8765), (found.st_uid, found.st_gid))


@each(
    {
        "config-linux.timeOffsets": "secs",
        "config-linux.timeOffsets.secs": "secs",
        "config-linux.timeOffsets.nanosecs": "nanosecs",
    },
    needs=("timens",),
    may_refuse=True,
)
def check_offsets(case: Case, row: str) -> None:
    """As the clocks of the program and /proc/PID/timens_offsets tell."""
    box = case.box
    box.bundle.namespace("time")
    box.config["linux"]["timeOffsets"] = {
        "monotonic": {"secs": 5000, "nanosecs": 250},
        "boottime": {"secs": 7000, "nanosecs": 350},
    }
    if row == "nanosecs":
        box.created()
        lines = box.proc("timens_offsets").splitlines()
        found = {line.split()[0]: line.split()[2] for line in lines}
        case.expect("nanoseconds", {"monotonic": "250", "boottime": "350"}, found)
        return
    before = {name: time.clock_gettime(number) for name, number in CLOCKS.items()}
    seen = box.ask(*(f"clock {number}" for number in CLOCKS.values()))
    for (name, start), value, shift in zip(before.items(), seen, (5000, 7000), strict=True):
        ahead = int(value) - start
        case.require(f"seconds that {name} is ahead", f"{shift} to {shift + 15}", f"{ahead:.0f}",
                     shift - 2 < ahead < shift + 15)  # fmt: skip


@check("config.hostname")
def check_hostname(case: Case) -> None:
    """Of the container alone."""
    before = os.uname().nodename
    case.box.config["hostname"] = "conformance-host"
    case.expect("the host name inside", ["conformance-host"], case.box.ask("hostname"))
    case.expect("the host name outside", before, os.uname().nodename)


@check("config.domainname", may_refuse=True)
def check_domainname(case: Case) -> None:
    """Of the container alone."""
    case.box.config["domainname"] = "conformance.example"
    case.expect("the domain name inside", ["conformance.example"], case.box.ask("domainname"))


@check("config.linux")
def check_linux_section(case: Case) -> None:
    """A sysctl in it, and none without it."""
    case.box.config["linux"]["sysctl"] = {"kernel.shmmni": "1234"}
    case.expect("shmmni", ["1234"], case.box.ask("cat /proc/sys/kernel/shmmni"))
    case.lacks("shmmni without it", "1234", case.new().ask("cat /proc/sys/kernel/shmmni"))


@check("config-linux.sysctl")
def check_sysctl(case: Case) -> None:
    """Of the network namespace and of the ipc namespace, not of the host."""
    place = "net/ipv4/ip_forward"
    before = Path("/proc/sys", place).read_text()
    wanted = "0" if before.strip() == "1" else "1"
    case.box.config["linux"]["sysctl"] = {
        "net.ipv4.ip_forward": wanted,
        "kernel.msgmax": "8888",
    }
    seen = case.box.ask(f"cat /proc/sys/{place}", "cat /proc/sys/kernel/msgmax")
    case.expect("ip_forward and msgmax inside", [wanted, "8888"], seen)
    case.expect("ip_forward outside", before, Path("/proc/sys", place).read_text())
