# SPDX-License-Identifier: Apache-2.0
"""config-linux.md: where the container's cgroup is, whose it is, and which devices it allows."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conformance import host, leftovers
from conformance.bundle import mount
from conformance.case import Case
from conformance.container import Container
from conformance.plugin import check, each

CONTROLLERS = ("memory", "pids", "cpu", "devices", "freezer", "io", "")


def groups(box: Container) -> Iterator[tuple[str, Path]]:
    """The cgroups of a created container: version and folder."""
    pid, seen = box.pid, set()
    for name in CONTROLLERS:
        try:
            found = host.cgroup(pid, name)
        except LookupError:
            continue
        if found not in seen:
            seen.add(found)
            yield found


def limited(box: Container) -> tuple[str, Path]:
    """The cgroup where the container's tasks are counted."""
    return host.cgroup(box.pid, "pids")


@check("config-linux.cgroupsPath", needs=("controller:pids",))
def check_path(case: Case) -> None:
    """Given, and left out."""
    _, folder = limited(case.box.created())
    case.expect("the name of the cgroup", case.box.id, folder.name)
    other = case.new()
    del other.config["linux"]["cgroupsPath"]
    case.expect("without it", ["ran"], other.ask("print ran"))


@check("config-linux.cgroupsPath.absolute", needs=("controller:pids",))
def check_absolute(case: Case) -> None:
    """The folder of that path below the mount point."""
    path = case.box.config["linux"]["cgroupsPath"]
    pid = case.box.created().pid
    version, _ = limited(case.box)
    top = leftovers.hierarchies()["pids" if version == "v1" else ""]
    members = (top / path.lstrip("/") / "cgroup.procs").read_text().split()
    case.contains(f"processes of {top}{path}", str(pid), members)


@check("config-linux.cgroupsPath.relative", needs=("controller:pids",), may_refuse=True)
def check_relative(case: Case) -> None:
    """A name."""
    case.box.config["linux"]["cgroupsPath"] = case.box.id
    _, folder = limited(case.box.created())
    case.contains("the path of the cgroup", case.box.id, str(folder))


@check("config-linux.cgroupsPath.consistent", needs=("controller:pids",))
def check_consistent(case: Case) -> None:
    """Two containers, one after the other."""
    places = []
    for _ in range(2):
        box = case.new()
        box.config["linux"]["cgroupsPath"] = f"/{leftovers.parent()}/consistent"
        places.append(limited(box.created())[1])
        box.kill()
        box.delete("--force")
    case.expect("the cgroup of the second", places[0], places[1])


@check("config-linux.cgroupsPath.default")
def check_default(case: Case) -> None:
    """Left out: the container runs, and nothing of it is left."""
    del case.box.config["linux"]["cgroupsPath"]
    case.box.started("trap")
    found = [folder for _, folder in groups(case.box)]
    case.works("kill", case.box.kill())
    case.box.becomes("stopped")
    case.works("delete", case.box.delete())
    own = [str(folder) for folder in found if case.box.id in str(folder) and folder.exists()]
    case.expect("cgroups that are left", [], own)


@check("config-linux.cgroup.fit-error", needs=("controller:pids",))
def check_not_fit(case: Case) -> None:
    """A cgroup in which another process is: an error, and no container; or it is taken."""
    version, folder = limited(case.new().created())
    other = folder.parent / f"{case.box.id}"
    other.mkdir()
    sleeper = subprocess.Popen(["sleep", "60"])
    (other / "cgroup.procs").write_text(str(sleeper.pid))
    try:
        result = case.box.create("trap")
        if result.code != 0:
            case.error("state after the error", case.box.query())
        else:
            case.expect(
                f"status in a {version} cgroup with a process", "created", case.box.status()
            )
        case.expect("the other process goes on", None, sleeper.poll())
    finally:
        sleeper.kill()
        sleeper.wait()


def _owned(
    case: Case, *options: str, own_namespace: bool = True, mounted: bool = True
) -> Container:
    box = case.box
    box.bundle.map_ids()
    if not own_namespace:
        box.bundle.without_namespace("cgroup")
    if mounted:
        box.bundle.mounts.append(mount("/sys/fs/cgroup", "cgroup", "nosuid", "noexec", *options))
    return box.created()


@check("config-linux.cgroup-owner.v1", needs=("v1", "userns"))
def check_owner_v1(case: Case) -> None:
    """With a user namespace and a writable mount."""
    box = _owned(case)
    for version, folder in groups(box):
        if version == "v1":
            case.expect(f"the owner of {folder}", 0, folder.stat().st_uid)


KEPT: dict[str, dict[str, Any]] = {
    "config-linux.cgroup-owner.no-namespace": {"own_namespace": False},
    "config-linux.cgroup-owner.no-mount": {"mounted": False},
}


@each(KEPT, needs=("no-v1", "userns"))
def check_owner_kept(case: Case, row: dict[str, Any]) -> None:
    """Root's."""
    _, folder = host.cgroup(_owned(case, **row).pid, "")
    case.expect(f"the owner of {folder}", 0, folder.stat().st_uid)


def _delegable() -> list[str]:
    return Path("/sys/kernel/cgroup/delegate").read_text().split()


OWNER = {
    "config-linux.cgroup-owner.writable": "folder",
    "config-linux.cgroup-owner.files": "others",
    "config-linux.cgroup-owner.present-files": "files",
    "config-linux.cgroup-owner.missing-files": "folder",
    "config-linux.cgroup-owner.other-files": "others",
}


@each(OWNER, needs=("no-v1", "userns"))
def check_owner(case: Case, row: str) -> None:
    """With a user namespace and a writable mount: the folder and the kernel's list, no others. Not
    every listed file is there (memory.reclaim is young)."""
    _, folder = host.cgroup(_owned(case).pid, "")
    owners = {path.name: path.stat().st_uid for path in folder.iterdir() if path.is_file()}
    if row == "folder":
        case.expect(f"the owner of {folder}", 100000, folder.stat().st_uid)
    elif row == "files":
        wrong = [name for name in _delegable() if owners.get(name, 100000) != 100000]
        case.expect("listed files that are not the container's", [], wrong)
    else:
        wrong = [name for name, owner in owners.items() if owner and name not in _delegable()]
        case.expect("other files that are the container's", [], wrong)


# Opening /dev/kmsg for reading and for writing, under rules after "deny everything".
KMSG = {"type": "c", "major": 1, "minor": 11}
NO, YES = "error: EPERM", "ok"
RULES: dict[str, list[tuple[list[dict[str, Any]], str, str]]] = {
    "": [([], NO, NO), ([{"allow": True, **KMSG, "access": "rwm"}], YES, YES)],
    ".order": [
        (
            [{"allow": True, **KMSG, "access": "rwm"}, {"allow": False, **KMSG, "access": "rwm"}],
            NO,
            NO,
        ),
        (
            [{"allow": False, **KMSG, "access": "rwm"}, {"allow": True, **KMSG, "access": "rwm"}],
            YES,
            YES,
        ),
    ],
    ".allow": [
        ([{"allow": True, **KMSG, "access": "rw"}], YES, YES),
        ([{"allow": False, **KMSG, "access": "rw"}], NO, NO),
    ],
    ".type": [
        ([{"allow": True, "type": "b", "access": "rw"}], NO, NO),
        ([{"allow": True, "type": "c", "access": "rw"}], YES, YES),
        ([{"allow": True, "access": "rwm"}], YES, YES),
    ],
    ".major-minor": [
        ([{"allow": True, "type": "c", "major": 1, "access": "rw"}], YES, YES),
        ([{"allow": True, "type": "c", "major": 1, "minor": 12, "access": "rw"}], NO, NO),
    ],
    ".access": [
        ([{"allow": True, **KMSG, "access": "r"}], YES, NO),
        ([{"allow": True, **KMSG, "access": "w"}], NO, YES),
    ],
}


@each({f"config-linux.resources.devices{name}": row for name, row in RULES.items()})
def check_rules(case: Case, row: list[tuple[list[dict[str, Any]], str, str]]) -> None:
    """Whether /dev/kmsg can be opened for reading, and for writing."""
    for rules, reading, writing in row:
        box = case.new()
        box.bundle.capabilities("CAP_SYSLOG", "CAP_MKNOD", "CAP_DAC_OVERRIDE")
        box.config["linux"]["devices"] = [{"path": "/dev/kmsg", **KMSG, "fileMode": 0o666}]
        deny = {"allow": False, "access": "rwm"}
        box.config["linux"]["resources"]["devices"] = [deny, *rules]
        seen = box.ask("open /dev/kmsg r", "open /dev/kmsg w")
        case.expect(f"to open it to read, to write, with {rules}", [reading, writing], seen)
