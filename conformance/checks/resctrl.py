# SPDX-License-Identifier: Apache-2.0
"""config-linux.md, IntelRdt: groups of resctrl, where the host has it mounted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from conformance.case import Case
from conformance.container import Container
from conformance.plugin import check, each


def place() -> Path:
    """Where resctrl is mounted."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return Path(next(line.split()[4] for line in lines if " - resctrl " in line))


def schema(kind: str) -> str:
    """The line of a kind ("L3", "MB") that the default group has, or "" where the processor lacks
    it."""
    lines = (place() / "schemata").read_text().split()
    return next((line.strip() for line in lines if line.strip().startswith(f"{kind}:")), "")


def _line(case: Case, kind: str) -> str:
    found = schema(kind)
    if not found:
        case.skip(f"the processor has no {kind} schema")
    return found


def group(case: Case, name: str, **settings: Any) -> tuple[Container, Path]:
    """A created container with such a config, and the folder of a group."""
    case.box.config["linux"]["intelRdt"] = settings
    return case.box.created(), place() / name


@check("config-linux.intelRdt.no-resctrl", needs=("no-resctrl",))
def check_no_resctrl(case: Case) -> None:
    """A closID, on a host without resctrl."""
    case.box.config["linux"]["intelRdt"] = {"closID": "conformance"}
    case.refused(case.box, "create with intelRdt on a host without resctrl")


@each({"config-linux.intelRdt.memBwSchema-form": "L3:0=f", "config-linux.intelRdt.memBwSchema-line":
       "MB:0=70\nMB:0=60"}, needs=("resctrl",))  # fmt: skip
def check_schema_form(case: Case, row: str) -> None:
    """Another line, and two."""
    case.box.config["linux"]["intelRdt"] = {"memBwSchema": row}
    case.refused(case.box, f"create with memBwSchema {row!r}")


@check("config-linux.intelRdt.schemata-line", needs=("resctrl",))
def check_schemata_line(case: Case) -> None:
    """Two lines in one element."""
    case.box.config["linux"]["intelRdt"] = {"schemata": ["L3:0=f\nL3:0=f"]}
    case.refused(case.box, "create with an element of two lines")


@each({"config-linux.intelRdt": "", "config-linux.intelRdt.tasks": "",
       "config-linux.intelRdt.closID": "named", "config-linux.intelRdt.closID-root": "/",
       "config-linux.intelRdt.no-closID": ""}, needs=("resctrl",), may_refuse=True)  # fmt: skip
def check_group(case: Case, row: str) -> None:
    """The process is in the tasks of the group: closID, the default one, the container's id."""
    name = f"{case.box.id}-{row}" if row == "named" else row
    line = schema("L3") or schema("MB")
    settings: dict[str, Any] = {"schemata": [line]} if row != "/" else {}
    box, folder = group(case, name.strip("/") or ("" if row else case.box.id), **settings, **(
        {"closID": name} if name else {}))  # fmt: skip
    try:
        tasks = (folder / "tasks").read_text().split()
        case.contains(f"tasks of {folder}", str(box.pid), tasks)
    finally:
        box.delete("--force")
        if row == "named" and folder.exists():
            folder.rmdir()


@each(
    {
        "config-linux.intelRdt.l3CacheSchema": ("L3",),
        "config-linux.intelRdt.memBwSchema": ("MB",),
        "config-linux.intelRdt.one-schema": ("L3",),
        "config-linux.intelRdt.both-schemas": ("L3", "MB"),
    },
    needs=("resctrl",),
    may_refuse=True,
)
def check_schemas(case: Case, row: tuple[str, ...]) -> None:
    """The lines are those of the group."""
    names = {"L3": "l3CacheSchema", "MB": "memBwSchema"}
    lines = {names[kind]: _line(case, kind) for kind in row}
    _, folder = group(case, case.box.id, **lines)
    seen = (folder / "schemata").read_text().split()
    for line in lines.values():
        case.contains(f"lines of {folder.name}/schemata", line, seen)


@each({"config-linux.intelRdt.schemata": None, "config-linux.intelRdt.schemata-written": None},
      needs=("resctrl",), may_refuse=True)  # fmt: skip
def check_schemata(case: Case, row: None) -> None:
    """A list of one line, that another property contradicts."""
    line = _line(case, "L3")
    kind, _, masks = line.partition(":")
    first = masks.split(";")[0].partition("=")
    smaller = f"{kind}:{first[0]}={int(first[2], 16) >> 1:x}"
    _, folder = group(case, case.box.id, l3CacheSchema=line, schemata=[smaller])
    case.contains(
        "the group's schemata", smaller.partition(":")[2], (folder / "schemata").read_text()
    )


@each({"config-linux.intelRdt.unset": None, "config-linux.intelRdt.no-schemas": None},
      needs=("resctrl",))  # fmt: skip
def check_left_alone(case: Case, row: None) -> None:
    """The groups and the default schemata are what they were."""
    before = (sorted(path.name for path in place().iterdir()), (place() / "schemata").read_text())
    case.box.created()
    after = (sorted(path.name for path in place().iterdir()), (place() / "schemata").read_text())
    case.expect("groups and the default schemata", before, after)


@check("config-linux.intelRdt.closID-made", needs=("resctrl",))
def check_closid_made(case: Case) -> None:
    """A group that is not there, with a schema."""
    name = f"{case.box.id}-made"
    _, folder = group(case, name, closID=name, schemata=[schema("L3") or schema("MB")])
    try:
        case.expect("the group is there", expected=True, seen=folder.is_dir())
    finally:
        case.box.delete("--force")
        if folder.is_dir():
            folder.rmdir()


@each(
    {
        "config-linux.intelRdt.closID-compared": "other",
        "config-linux.intelRdt.closID-checked": "none",
        "config-linux.intelRdt.closID-assigned": "same",
        "config-linux.intelRdt.kept": "same",
    },
    needs=("resctrl",),
)
def check_closid(case: Case, row: str) -> None:
    """A group of that name with other schemata; none; one, which stays when the container goes."""
    folder = place() / f"{case.box.id}-kept"
    settings: dict[str, Any] = {"closID": folder.name}
    if row == "none":
        case.box.config["linux"]["intelRdt"] = settings
        case.refused(case.box, "create with a closID that is not there")
        return
    folder.mkdir()
    try:
        if row == "other":
            kind, _, masks = _line(case, "L3").partition(":")
            first = masks.split(";")[0].partition("=")
            wrong = f"{kind}:{first[0]}={int(first[2], 16) >> 1:x}"
            case.box.config["linux"]["intelRdt"] = settings | {"l3CacheSchema": wrong}
            case.refused(case.box, "create with another schema than the group has")
            return
        box, _ = group(case, folder.name, **settings)
        case.contains("tasks of the group", str(box.pid), (folder / "tasks").read_text().split())
        box.delete("--force")
        case.expect("the group stays", expected=True, seen=folder.is_dir())
    finally:
        folder.rmdir()


@check("config-linux.intelRdt.removed", needs=("resctrl",))
def check_removed(case: Case) -> None:
    """A group with the container's id."""
    box, folder = group(case, case.box.id, schemata=[schema("L3") or schema("MB")])
    case.expect("the group is there", expected=True, seen=folder.is_dir())
    box.delete("--force")
    case.expect("the group is there after delete", expected=False, seen=folder.is_dir())


MONITORING = {f"config-linux.intelRdt.{name}": name for name in (
    "enableMonitoring", "monitoring", "monitoring-name", "monitoring-removed")}  # fmt: skip


@each(MONITORING, needs=("resctrl",), may_refuse=True)
def check_monitoring(case: Case, row: str) -> None:
    """mon_groups/ID in the container's group, as long as the container is there."""
    if not (place() / "mon_groups").is_dir():
        case.skip("the processor monitors nothing")
    box, folder = group(case, f"mon_groups/{case.box.id}", closID="/", enableMonitoring=True)
    case.expect(f"{folder} is there", expected=True, seen=folder.is_dir())
    box.delete("--force")
    case.expect(f"{folder} is there after delete", expected=False, seen=folder.is_dir())


@check("config-linux.intelRdt.monitoring-error", needs=("resctrl",))
def check_monitoring_error(case: Case) -> None:
    """A processor that monitors nothing."""
    if (place() / "mon_groups").is_dir():
        case.skip("the processor monitors, and has too many groups to use them up")
    case.box.config["linux"]["intelRdt"] = {"closID": "/", "enableMonitoring": True}
    case.refused(case.box, "create with enableMonitoring")
