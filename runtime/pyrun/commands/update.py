# SPDX-License-Identifier: Apache-2.0
"""update: change the limits of a container that lives."""

from __future__ import annotations

import re

from pyrun import _schema, config, init, jsonscan, log, schema_check, state
from pyrun.cgroup import driver
from pyrun.compile import checks_linux
from pyrun.errors import Error, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.state import Container
    from pyrun.types import Config, Options, Problem

BASE = "/linux/resources"
RDT_BASE = "/linux/intelRdt/"
# option -> where it is in linux.resources, and how it is written
FLAGS = {
    "blkio_weight": ("/blockIO/weight", "number"),
    "cpu_period": ("/cpu/period", "number"),
    "cpu_quota": ("/cpu/quota", "number"),
    "cpu_share": ("/cpu/shares", "number"),
    "cpu_rt_period": ("/cpu/realtimePeriod", "number"),
    "cpu_rt_runtime": ("/cpu/realtimeRuntime", "number"),
    "cpu_burst": ("/cpu/burst", "number"),
    "cpu_idle": ("/cpu/idle", "number"),
    "cpuset_cpus": ("/cpu/cpus", "text"),
    "cpuset_mems": ("/cpu/mems", "text"),
    "memory": ("/memory/limit", "size"),
    "memory_reservation": ("/memory/reservation", "size"),
    "memory_swap": ("/memory/swap", "size"),
    "pids_limit": ("/pids/limit", "number"),
}
RDT_FLAGS = {"l3_cache_schema": "l3CacheSchema", "mem_bw_schema": "memBwSchema"}
IGNORED = ("kernel_memory", "kernel_memory_tcp")
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(?:([kmgtp])i?)?b?", re.ASCII | re.IGNORECASE)
_UNITS = " kmgtp"


def run(opts: Options) -> int:
    """All or nothing. With --resources the other flags count for nothing, as in runc."""
    text = opts["resources"]
    wanted, rdt = (_read(text), {}) if text else (from_flags(opts), _rdt(opts))
    for option in IGNORED:
        if opts[option] and not text:
            log.warning(f"{_spelled(option)} is ignored: no kernel has that limit any more")
    container = state.hold(opts, opts["id"])
    if init.status(container) in (init.STOPPED, init.CREATING):
        raise Error("container not running")
    try:
        _check(wanted)
        _apply(container, wanted, rdt)
    except Error as error:
        place = _place(error.pointer, with_flags=not text)
        raise Error(f"{place}{error.message}", hint=error.hint) from None
    return 0


def _read(name: str) -> Config:
    """The JSON of --resources; "-" is standard input. Raises Error."""
    try:
        data = config.read_open(0) if name == "-" else config.read_limited(name)
    except OSError as error:
        raise from_os(error, f"read {name}") from None
    value = jsonscan.loads(data, "--resources", drop_null=True)
    if not isinstance(value, dict):
        raise Error(f"--resources: must hold a JSON object, not {schema_check.shown(value)}")
    return value


def from_flags(opts: Options) -> Config:
    """The linux.resources that the flags say. Raises Error."""
    found: Config = {}
    for option, (pointer, kind) in FLAGS.items():
        text = opts[option]
        if text:
            _, group, name = pointer.split("/")
            value = text if kind == "text" else _number(option, text, size=kind == "size")
            found.setdefault(group, {})[name] = value
    return found


def _rdt(opts: Options) -> Config:
    return {name: opts[option] for option, name in RDT_FLAGS.items() if opts[option]}


def _number(option: str, text: str, *, size: bool) -> int:
    number = size_of(text) if size else None
    if number is None:
        try:
            number = int(text)
        except ValueError:
            hint = "bytes, or with a unit: 512M, 1.5GiB; -1 is no limit" if size else ""
            kind = "size" if size else "number"
            raise Error(f"{_spelled(option)}: {text!r} is no {kind}", hint=hint) from None
    return number


def size_of(text: str) -> int | None:
    """Bytes, of a number with a unit of 1024s, as docker's and runc's: k m g t p, with i, b or both
    behind it. None for anything else."""
    found = _SIZE.fullmatch(text)
    if not found:
        return None
    number, unit = found.groups()
    factor = 1024 ** _UNITS.index((unit or " ").lower())
    return int(number) * factor if number.isdigit() else int(float(number) * factor)


def _check(wanted: Config) -> None:
    """By the schema, and by the rules between fields. Raises Error with the first problem."""
    schema = _schema.CONFIG["properties"]["linux"]["properties"]["resources"]
    problems: list[Problem] = schema_check.check(wanted, schema)
    if not problems:
        whole = {"linux": {"resources": wanted}}
        for rule in (
            checks_linux.cgroup_names,
            checks_linux.limits_given,
            checks_linux.device_access,
        ):
            problems += rule(whole)
    for pointer, text in problems:
        raise Error(text, f"{BASE}{pointer.removeprefix(BASE)}")


def _apply(container: Container, wanted: Config, rdt: Config) -> None:
    if not _has_new_devices(container, wanted):
        wanted = {name: value for name, value in wanted.items() if name != "devices"}
    recorded = container.state.get("devices")
    schemata = _set_rdt(container, rdt) if rdt else ""
    try:
        if "devices" in wanted:
            _record_devices(container, wanted["devices"])
        driver.update(container.intent["cgroup"], wanted)
    except Error:
        if container.state.get("devices") != recorded:
            _record_devices(container, recorded)
        if schemata:
            from pyrun import intel_rdt

            intel_rdt.restore(container.intent["intel_rdt"], schemata)
        raise


def _set_rdt(container: Container, rdt: Config) -> str:
    """What the container's resctrl group had before. Raises Error."""
    record = container.intent.get("intel_rdt")
    if not record:
        hint = "it takes linux.intelRdt in the config that it is created from"
        raise Error("the container has no group in resctrl", RDT_BASE + next(iter(rdt)), hint)
    from pyrun import intel_rdt

    return intel_rdt.update(record, rdt)


def _has_new_devices(container: Container, wanted: Config) -> bool:
    """Whether it has rules, and others than those set last.

    Engines send the config's rules with every change of a limit. To set them again would take away
    what a hook has allowed behind the runtime's back, as those for GPUs do.
    """
    rules = wanted.get("devices")
    if not rules:
        return False
    return bool(rules != (container.state.get("devices") or _config_devices(container)))


def _config_devices(container: Container) -> object:
    """Those of the bundle's config; None when it can't be read any more."""
    try:
        name = container.intent.get("config") or config.NAME
        data = config.read(container.intent["bundle"], name)
        value: Any = jsonscan.loads(data, name, drop_null=True)
        return value["linux"]["resources"]["devices"]
    except (Error, KeyError, TypeError):
        return None


def _record_devices(container: Container, rules: object) -> None:
    """The rules that update has set, or none. Written before they are set, and taken back when they
    can't be."""
    container.state = {name: container.state[name] for name in container.state if name != "devices"}
    if rules:
        container.state["devices"] = rules
    container.write_state()


def _spelled(option: str) -> str:
    return f"--{option.replace('_', '-')}"


def _place(pointer: str, *, with_flags: bool) -> str:
    """What the user wrote, for a JSON pointer into the config that there is not."""
    if not pointer:
        return ""
    inner = pointer.removeprefix(BASE)
    if not with_flags:
        return f"--resources {inner or '/'}: "
    for option, (known, _) in FLAGS.items():
        if known == inner:
            return f"{_spelled(option)}: "
    for option, name in RDT_FLAGS.items():
        if pointer == RDT_BASE + name:
            return f"{_spelled(option)}: "
    return ""
