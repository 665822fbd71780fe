# SPDX-License-Identifier: Apache-2.0
"""The systemd cgroup driver: a container's cgroup is that of a transient scope (or slice), which
systemd makes and takes away. Loaded for containers with --systemd-cgroup alone.

A scope can't be made without a process: `create` comes when the executor is there, waiting for its
plan, and moves it. The record names the unit before that, so that `stop` can always undo it.
"""

from __future__ import annotations

import os

from pyrun import log
from pyrun.cgroup import cgroupfs, devices, permission, procs, resources, unit_properties, v2
from pyrun.cgroup.plan import below_mount
from pyrun.cgroup.units import SLICE
from pyrun.errors import Error, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.kernel.sdbus import Bus
    from pyrun.types import Config

BOOTED = "/run/systemd/system"  # sd_booted(3)
SUBGROUP = "run.oci.systemd.subgroup"  # annotation: a cgroup below the scope for the container
D = "org.freedesktop.systemd1."
EXISTS, ABSENT = f"{D}UnitExists", f"{D}NoSuchUnit"
FORBIDDEN = (
    "org.freedesktop.DBus.Error.AccessDenied",
    "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
)


def is_users(rootless: bool) -> bool:
    """Whether the container is for the user's own manager and not for the system's: an ordinary
    user's, who may be root of a user namespace, as under a rootless podman."""
    if rootless or not permission.in_user_namespace():
        return rootless
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return bool(os.environ.get("DBUS_SESSION_BUS_ADDRESS")) or (
        runtime is not None and os.path.exists(f"{runtime}/bus")
    )


def check() -> None:
    """Raise Error if there is no systemd to be asked, before anything is made."""
    if not os.path.isdir(BOOTED):
        raise Error(
            "systemd is not running on this host, which the systemd cgroup driver"
            " (--systemd-cgroup) needs",
            hint=f"there is no {BOOTED}; leave out --systemd-cgroup, with a cgroupsPath that is a"
            " path",
        )
    _library()


def _library() -> Any:
    try:
        from pyrun.kernel import sdbus
    except ImportError:
        raise Error(
            "this build can't speak with systemd: it was made without libsystemd, or that is gone",
            hint="install libsystemd with headers (Debian: libsystemd-dev), and build pyrun again",
        ) from None
    return sdbus


def create(record: dict[str, Any], config: Config, container_id: str, pid: int) -> None:
    """Make the unit with `pid` in it, and set all limits there.

    `record` is changed in place: where the unit turned out to be, or that it is not ours. Raises
    Error.
    """
    properties = unit_properties.of_unit(record, container_id, pid)
    # From here on the record names only what is certainly ours.
    unit, planned = record["unit"], record["paths"]
    record["unit"], record["paths"] = "", {}
    wanted = (config.get("linux") or {}).get("resources") or {}
    notes = config.get("annotations") or {}
    rules = devices.policy(wanted.get("devices") or [])
    found = resources.v2(wanted)
    subgroup = _subgroup(notes)
    by_notes = unit_properties.of_annotations(notes)
    properties |= unit_properties.of_resources(found)
    if not record["user"]:  # a user's manager may not load filters
        properties |= unit_properties.of_devices(rules, _majors())
    bus = _library().Bus(record["user"])
    try:
        bus.follow_jobs()
        try:
            _start(bus, unit, properties | by_notes)
        except Error as error:
            error.pointer = _culprit(error, by_notes) or error.pointer
            if getattr(error, "name", "") != EXISTS:
                record["unit"], record["paths"] = unit, planned
            raise
    finally:
        bus.close()
    record["unit"], record["paths"] = unit, planned
    _enter(record, pid, subgroup)
    v2.set_limits(record, found, rules)
    if subgroup:
        record["subgroup"] = subgroup
        place = f"{record['paths']['']}/{subgroup}"
        _make_subgroup(place, pid)
        # Only now: a cgroup that has processes of its own can't pass controllers on.
        v2.enable_controllers(record["mount"], place)


def _subgroup(notes: dict[str, str]) -> str:
    name = notes.get(SUBGROUP) or ""
    if "/" in name or name.startswith(".") or "\0" in name or "\n" in name:
        raise Error(f'"{name}" is no name of a cgroup', f"/annotations/{SUBGROUP}", "a plain name")
    return name


def _majors() -> dict[str, str]:
    try:
        return unit_properties.majors(cgroupfs.read("/proc/devices"))
    except OSError:
        return {}


def _start(bus: Bus, unit: str, properties: unit_properties.Properties) -> None:
    """StartTransientUnit, and once more when a failed unit of that name was in its way."""
    arguments: tuple[tuple[str, Any], ...] = (
        ("s", unit),
        ("s", "fail"),
        ("a(sv)", list(properties.items())),
        ("a(sa(sv))", []),
    )
    try:
        job = bus.manage("StartTransientUnit", *arguments)
    except Error as error:
        name = getattr(error, "name", "")
        if name in FORBIDDEN:
            error.hint = "an ordinary user has a manager of his own: pass --rootless=true"
        if name != EXISTS:
            raise
        _reset(bus, unit)
        job = bus.manage("StartTransientUnit", *arguments)
    result = bus.wait(job)
    if result != "done":
        raise Error(
            f"systemd: {unit} was not started: {result}", hint=f"see journalctl --unit {unit}"
        )


def _reset(bus: Bus, unit: str) -> None:
    try:
        bus.manage("ResetFailedUnit", ("s", unit))
    except Error as error:
        log.debug(str(error))


def _culprit(error: Error, by_notes: unit_properties.Properties) -> str:
    """The annotation whose property systemd's words name, or ""."""
    for name in by_notes:
        if name in error.message:
            return unit_properties.pointer(name)
    return ""


def _enter(record: dict[str, Any], pid: int, subgroup: str) -> None:
    """See to it that the process is in the unit's cgroup, and learn where that is."""
    if record["unit"].endswith(SLICE):
        if not subgroup:
            procs.join(record, pid)
        return
    try:
        own = cgroupfs.read(f"/proc/{pid}/cgroup")
    except OSError as error:
        raise from_os(error, f"read /proc/{pid}/cgroup") from None
    path = next((line[3:] for line in own.split("\n") if line.startswith("0::")), "")
    if os.path.basename(path) != record["unit"]:
        raise Error(f"systemd has made {record['unit']}, but the container's init is in {path}")
    record["paths"] = {"": record["mount"] + below_mount(record["root"], path)}


def _make_subgroup(path: str, pid: int) -> None:
    try:
        cgroupfs.make(path)
        cgroupfs.write(f"{path}/cgroup.procs", str(pid))
    except OSError as error:
        raise from_os(error, f"make the cgroup {path}", f"/annotations/{SUBGROUP}") from None


def set_limits(record: dict[str, Any], found: list[resources.Write]) -> None:
    """Tell systemd the limits of a unit that is there: what it does not know of, it takes back when
    it is reloaded. Raises Error."""
    _set(record, list(unit_properties.of_resources(found).items()))


def set_devices(record: dict[str, Any], rules: devices.Policy) -> None:
    """Tell systemd the device rules of a unit that is there, in place of those before; a user's
    manager has none. Raises Error."""
    if record["user"]:
        return
    wanted = unit_properties.of_devices(rules, _majors())
    # A list of a property is appended to the one before, but for an empty one.
    changed: list[tuple[str, Any]] = [
        ("DevicePolicy", ("s", "auto")),
        ("DeviceAllow", ("a(ss)", [])),
    ]
    _set(record, changed + list(wanted.items()))


def _set(record: dict[str, Any], changed: list[tuple[str, Any]]) -> None:
    """SetUnitProperties, for as long as the unit runs: org.freedesktop.systemd1(5)."""
    if not changed or not record["unit"]:
        return
    bus = _library().Bus(record["user"])
    try:
        bus.manage("SetUnitProperties", ("s", record["unit"]), ("b", True), ("a(sv)", changed))
    finally:
        bus.close()


def attach(record: dict[str, Any], path: str, pid: int) -> None:
    """Have systemd move a process into the unit's cgroup, or a directory below it: it may where an
    ordinary user may not. Raises Error."""
    below = path[len(record["paths"][""]) :]
    bus = _library().Bus(record["user"])
    try:
        words = ("s", record["unit"]), ("s", below), ("au", [pid])
        bus.manage("AttachProcessesToUnit", *words)
    finally:
        bus.close()


def stop(record: dict[str, Any]) -> None:
    """Have systemd forget the unit, whose processes are dead. What it does not do is no failure
    here: with its cgroup removed a scope ends by itself."""
    if not record["unit"]:
        return
    try:
        bus = _library().Bus(record["user"])
        try:
            bus.follow_jobs()
            try:
                bus.wait(bus.manage("StopUnit", ("s", record["unit"]), ("s", "replace")))
            except Error as error:
                if getattr(error, "name", "") != ABSENT:
                    raise
            _reset(bus, record["unit"])
        finally:
            bus.close()
    except Error as error:
        log.debug(str(error))
