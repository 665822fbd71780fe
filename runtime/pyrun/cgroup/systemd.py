# SPDX-License-Identifier: Apache-2.0
"""The systemd cgroup driver: a container's cgroup is that of a transient scope (or slice), which
systemd makes and takes away. Loaded for containers with --systemd-cgroup alone.

A scope can't be made without a process: `create` comes when the executor is there, waiting for its
plan, and moves it. The record names the unit before that, so that `stop` can always undo it.
"""

from __future__ import annotations

import os
import time

from pyrun import log
from pyrun.cgroup import cgroupfs, devices, permission, procs, resources, unit_properties
from pyrun.cgroup.facts import NAMED, facts, in_each
from pyrun.cgroup.plan import below_mount
from pyrun.cgroup.unit_properties import YOUNG
from pyrun.cgroup.units import SLICE, home
from pyrun.errors import Error, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container
    from typing import Any

    from pyrun.cgroup.gvariant import Value
    from pyrun.kernel.sdbus import Bus
    from pyrun.types import Config

BOOTED = "/run/systemd/system"  # sd_booted(3)
SUBGROUP = "run.oci.systemd.subgroup"  # annotation: a cgroup below the scope for the container
DELEGATED = "run.oci.delegate-cgroup"  # annotation: another below that, which has no limits
FIRST = "container"  # the former's name where only the latter is there
D = "org.freedesktop.systemd1."
EXISTS, ABSENT = f"{D}UnitExists", f"{D}NoSuchUnit"
SLOW = 1.0  # seconds after which a systemd that did not do as it was told is not asked again
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
        runtime is not None
        and any(os.path.exists(f"{runtime}/{name}") for name in ("bus", "systemd/private"))
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
    unified = record["layout"] == "v2"
    beside = planned.pop(NAMED, "") if unified else ""  # which systemd knows nothing of
    found = resources.writes(wanted, unified)
    below = _below(notes, unified)
    by_notes = unit_properties.of_annotations(notes)
    properties |= unit_properties.of_resources(found, unified)
    if not record["user"]:  # a user's manager may not load filters
        properties |= unit_properties.of_devices(rules, _majors(), apart=unified)
    bus = _library().Bus(record["user"])
    try:
        bus.follow_jobs()
        try:
            _start(bus, unit, properties, by_notes)
        except Error as error:
            if getattr(error, "name", "") != EXISTS:
                record["unit"], record["paths"] = unit, planned
            raise
    finally:
        bus.close()
    record["unit"], record["paths"] = unit, planned
    if not unit.endswith(SLICE):
        _find(record, pid)
    if unified:
        _enter_unified(record, pid, below, found, rules)
        if beside:
            _enter_beside(record, pid, beside)
        if "IOWeight" in properties and _has_bfq(record):
            set_limits(record, found)
    else:
        _enter_each(record, pid, found, rules)


def _enter_unified(
    record: dict[str, Any],
    pid: int,
    below: list[str],
    found: list[resources.Write],
    rules: devices.Policy,
) -> None:
    from pyrun.cgroup import v2  # which draws in the device filter

    if record["unit"].endswith(SLICE) and not below:
        procs.join(record, pid)
    v2.set_limits(record, found, rules)
    if below:
        record["subgroup"] = below[0]
        place = f"{record['paths']['']}/{below[0]}"
        _make(place, SUBGROUP)
        _move(place, pid, SUBGROUP)
        # Only now: a cgroup that has processes of its own can't pass controllers on.
        v2.enable_controllers(record["mount"], place)
    if below[1:]:
        record["delegated"] = below[1]
        _make(f"{place}/{below[1]}", DELEGATED)


def _enter_beside(record: dict[str, Any], pid: int, path: str) -> None:
    from pyrun.cgroup import v2

    v2.make_beside(record, path)
    procs.join(record, pid, born=True)


def descend(record: dict[str, Any], pid: int) -> None:
    """Move the init, which has its cgroup namespace by now, from that namespace's root into the
    delegated cgroup below. Raises Error."""
    from pyrun.cgroup import v2

    place = f"{record['paths']['']}/{record['subgroup']}/{record['delegated']}"
    _move(place, pid, DELEGATED)
    v2.enable_controllers(record["mount"], place)


def _enter_each(
    record: dict[str, Any], pid: int, found: list[resources.Write], rules: devices.Policy
) -> None:
    """In v1 hierarchies. Of some systemd knows nothing (cpuset, freezer, hugetlb, net_cls, …), and
    a user's manager may use its own alone."""
    from pyrun.cgroup import v1

    v1.make(record, found, pid)
    procs.join(record, pid)
    v1.set_limits(record, found, rules)


def _below(notes: dict[str, str], unified: bool) -> list[str]:
    """The cgroups below the unit, each in the one before, that annotations ask for."""
    found = []
    for key in (SUBGROUP, DELEGATED):
        name = notes.get(key) or (FIRST if key == SUBGROUP and notes.get(DELEGATED) else "")
        if "/" in name or name.startswith(".") or "\0" in name or "\n" in name:
            raise Error(f'"{name}" is no name of a cgroup', f"/annotations/{key}", "a plain name")
        if name and not unified:
            raise Error("a cgroup below the unit's is for cgroup v2", f"/annotations/{key}")
        if name:
            found.append(name)
    return found


def _majors() -> dict[str, str]:
    try:
        return unit_properties.majors(cgroupfs.read("/proc/devices"))
    except OSError:
        return {}


def _start(
    bus: Bus, unit: str, ours: unit_properties.Properties, by_notes: unit_properties.Properties
) -> None:
    """StartTransientUnit, and once more when a failed unit of that name was in its way."""
    changed = [*(item for item in ours.items() if item[0] not in by_notes), *by_notes.items()]
    before: Any = ("s", unit), ("s", "fail")
    after: Any = (("a(sa(sv))", []),)
    words = "StartTransientUnit", before, changed, after, by_notes
    try:
        job = _tell(bus, *words)
    except Error as error:
        error.pointer = _culprit(error, by_notes) or error.pointer
        name = getattr(error, "name", "")
        if name in FORBIDDEN:
            error.hint = "an ordinary user has a manager of his own: pass --rootless=true"
        if name != EXISTS:
            raise
        _reset(bus, unit)
        job = _tell(bus, *words)
    result = bus.wait(job)
    if result != "done":
        raise Error(
            f"systemd: {unit} was not started: {result}", hint=f"see journalctl --unit {unit}"
        )


def _tell(
    bus: Bus,
    member: str,
    before: tuple[tuple[str, Any], ...],
    changed: list[tuple[str, Value]],
    after: tuple[tuple[str, Any], ...] = (),
    asked: Container[str] = (),
) -> str:
    """Call a method that takes properties; those that this systemd is too old for are left out, as
    their files are written in any case, but for those that somebody has `asked` for by name. Raises
    Error."""
    young = [name for name in YOUNG if name not in asked]
    while True:
        try:
            return bus.manage(member, *before, ("a(sv)", changed), *after)
        except Error as error:
            kept = [(n, v) for n, v in changed if not (n in young and n in error.message)]
            if len(kept) == len(changed):
                raise
            changed = kept
            log.debug(f"{error.message}; it will not know of that")


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


def _find(record: dict[str, Any], pid: int) -> None:
    """See to it that systemd has put the process into the unit's cgroup, and learn where that is:
    it has the same place in every hierarchy."""
    try:
        own = in_each(cgroupfs.read(f"/proc/{pid}/cgroup"))
    except OSError as error:
        raise from_os(error, f"read /proc/{pid}/cgroup") from None
    mounts = facts()["mounts"]
    path = own.get(home(mounts), "")
    if os.path.basename(path) != record["unit"]:
        raise Error(f"systemd has made {record['unit']}, but the container's init is in {path}")
    record["paths"] = {
        name: mount.rstrip("/") + below_mount(root, path) for name, (mount, root) in mounts.items()
    }


def _make(path: str, note: str) -> None:
    try:
        cgroupfs.make(path)
    except OSError as error:
        raise from_os(error, f"make the cgroup {path}", f"/annotations/{note}") from None


def _move(path: str, pid: int, note: str) -> None:
    try:
        procs.move(path, pid)
    except OSError as error:
        raise from_os(
            error, f"write {pid} to {path}/cgroup.procs", f"/annotations/{note}"
        ) from None


def set_limits(record: dict[str, Any], found: list[resources.Write]) -> None:
    """Tell systemd the limits of a unit that is there: what it does not know of, it takes back when
    it is reloaded. Raises Error."""
    unified = record["layout"] == "v2"
    found = [*_besides(record, found), *found]
    told = unit_properties.of_resources(found, unified, unified and _has_bfq(record))
    _set(record, list(told.items()))


def _has_bfq(record: dict[str, Any]) -> bool:
    """Whether the kernel has that scheduler's weights: a cgroup with the controller shows it."""
    return cgroupfs.exists(f"{record['paths']['']}/io.bfq.weight")


def _besides(record: dict[str, Any], found: list[resources.Write]) -> list[resources.Write]:
    """What systemd has in one property with something of `found`, and stays as it is: of a quota
    and its period on v1 the one that is missing. And idle taken back is the weight that the kernel
    gives then."""
    path = record["paths"].get("cpu" if record["layout"] != "v2" else "")
    named = {file: value for _, _, choices, _ in found for file, value in choices}
    missing = [file for file in unit_properties.QUOTA if file not in named]
    more: list[resources.Write] = []
    try:
        if len(missing) == 1:
            value = cgroupfs.read(f"{path}/{missing[0]}").strip()
            more.append(resources.entry("", "cpu", missing[0], value))
        if named.get("cpu.idle") == "0" and cgroupfs.read(f"{path}/cpu.idle").strip() == "1":
            more.append(resources.entry("", "cpu", "cpu.weight", 100))
    except OSError as error:
        raise from_os(error, "read the present CPU limits", f"{resources.BASE}/cpu") from None
    return more


def set_devices(record: dict[str, Any], rules: devices.Policy) -> None:
    """Tell systemd the device rules of a unit that is there, in place of those before; a user's
    manager has none. Raises Error."""
    if record["user"]:
        return
    unified = record["layout"] == "v2"
    wanted = unit_properties.of_devices(rules, _majors(), apart=unified)
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
        _tell(bus, "SetUnitProperties", (("s", record["unit"]), ("b", True)), changed)
        # It answers before it writes the files, and does so before it takes another question: what
        # is written to them from here on, exactly, stays.
        bus.manage("GetUnit", ("s", record["unit"]))
    finally:
        bus.close()


def attach(record: dict[str, Any], path: str, pid: int) -> None:
    """Have systemd move a process into the unit's cgroup, or a directory below it: it may where an
    ordinary user may not. Raises Error."""
    places = record["paths"].values()
    below = next(path[len(top) :] for top in places if f"{path}/".startswith(f"{top}/"))
    bus = _library().Bus(record["user"])
    try:
        words = ("s", record["unit"]), ("s", below), ("au", [pid])
        bus.manage("AttachProcessesToUnit", *words)
    finally:
        bus.close()


def stop(record: dict[str, Any]) -> None:
    """Have systemd forget the unit, whose processes are dead, before its cgroup is removed: of one
    that goes at once systemd never hears that it is empty, and the scope stays active. What it
    refuses all the same is no failure here."""
    if not record["unit"]:
        return
    begun = time.monotonic()
    for _ in range(2):  # want of memory or descriptors may pass
        try:
            _stop(record)
            return
        except Error as error:
            log.debug(str(error))
        if time.monotonic() - begun > SLOW:
            return


def _stop(record: dict[str, Any]) -> None:
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
