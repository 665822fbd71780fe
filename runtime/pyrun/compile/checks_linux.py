# SPDX-License-Identifier: Apache-2.0
"""Rules of the linux section that the config alone decides. See compile.checks."""

from __future__ import annotations

from pyrun.compile import id_maps, sysctl_names
from pyrun.schema_check import shown, step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrun.types import Config, Problem

CLOCKS = ("monotonic", "boottime")  # of a time namespace
WITH_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
MAJOR_LIMIT, MINOR_LIMIT = 1 << 12, 1 << 20  # what dev_t of the kernel holds


def listed(config: Config) -> dict[str, str]:
    """The namespaces of a config by type: the path to join, "" for a new one."""
    entries = config.get("linux", {}).get("namespaces", ())
    return {entry["type"]: entry.get("path", "") for entry in entries}


def namespaces(config: Config) -> Iterator[Problem]:
    seen = set()
    for index, entry in enumerate(config.get("linux", {}).get("namespaces", ())):
        if entry["type"] in seen:
            yield f"/linux/namespaces/{index}/type", f"{entry['type']} is given twice"
        seen.add(entry["type"])
        path = entry.get("path", "")
        if path and not path.startswith("/"):
            yield f"/linux/namespaces/{index}/path", f"must be absolute, not {shown(path)}"


def uts_names(config: Config) -> Iterator[Problem]:
    """Without a UTS namespace these would rename the host."""
    if "uts" not in listed(config):
        for name in ("hostname", "domainname"):
            if config.get(name):
                yield f"/{name}", "needs a uts namespace in linux.namespaces"


def user_maps(config: Config) -> Iterator[Problem]:
    linux = config.get("linux", {})
    path = listed(config).get("user")
    for name in id_maps.NAMES:
        if linux.get(name):
            if path is None:
                yield f"/linux/{name}", "needs a user namespace in linux.namespaces"
        elif path == "" and not any(linux.get(other) for other in id_maps.NAMES):
            yield f"/linux/{name}", "is required for a new user namespace"
    yield from id_maps.problems(linux, "/linux")


def time_offsets(config: Config) -> Iterator[Problem]:
    offsets = config.get("linux", {}).get("timeOffsets")
    if not offsets:
        return
    if listed(config).get("time") != "":  # the offsets of a joined one are fixed
        yield "/linux/timeOffsets", "needs a new time namespace in linux.namespaces"
    for clock, offset in offsets.items():
        at = f"/linux/timeOffsets{step(clock)}"
        if clock not in CLOCKS:
            yield at, f"no such clock: {' and '.join(CLOCKS)} have offsets"
        if offset.get("nanosecs", 0) >= 10**9:
            yield f"{at}/nanosecs", "must be below 1000000000"


def sysctls(config: Config) -> Iterator[Problem]:
    """Only parameters that a namespace of the container keeps from the host can be set."""
    parameters = config.get("linux", {}).get("sysctl")
    if not parameters:
        return
    given = listed(config)
    for key in parameters:
        at = f"/linux/sysctl{step(key)}"
        names = sysctl_names.segments(key)
        if names is None:
            yield at, "is no name of a kernel parameter"
            continue
        kind = sysctl_names.namespace(names)
        if names == ("kernel", "hostname"):
            yield at, "set hostname instead"
        elif kind is None:
            yield at, "belongs to the host: no namespace separates it"
        elif kind not in given:
            yield at, f"needs a {kind} namespace in linux.namespaces"


def devices(config: Config) -> Iterator[Problem]:
    for index, device in enumerate(config.get("linux", {}).get("devices", ())):
        at = f"/linux/devices/{index}"
        if not device["path"].startswith("/"):
            yield f"{at}/path", f"must be absolute, not {shown(device['path'])}"
        if device["type"] == "p":  # a pipe has no numbers
            continue
        for name, limit in (("major", MAJOR_LIMIT), ("minor", MINOR_LIMIT)):
            if name not in device:
                yield f"{at}/{name}", f"is required for type {device['type']}"
            elif not 0 <= device[name] < limit:
                yield f"{at}/{name}", f"must be from 0 to {limit - 1}, not {device[name]}"


def seccomp(config: Config) -> Iterator[Problem]:
    profile = config.get("linux", {}).get("seccomp")
    if not profile:
        return
    at = "/linux/seccomp"
    rules = [(f"{at}/defaultAction", profile["defaultAction"], "defaultErrnoRet" in profile)]
    for index, rule in enumerate(profile.get("syscalls", ())):
        rules.append((f"{at}/syscalls/{index}/action", rule["action"], "errnoRet" in rule))
        for place, argument in enumerate(rule.get("args", ())):
            if argument["index"] > 5:
                yield f"{at}/syscalls/{index}/args/{place}/index", "a system call has 0 to 5"
    for pointer, action, has_errno in rules:
        if has_errno and action not in WITH_ERRNO:
            yield pointer, f"{action} takes no errno: {' and '.join(WITH_ERRNO)} do"
    if not profile.get("listenerPath"):
        notify = next((pointer for pointer, action, _ in rules if action == "SCMP_ACT_NOTIFY"), "")
        if notify:
            yield notify, "seccomp listenerPath is not set, and SCMP_ACT_NOTIFY needs it"
        if profile.get("listenerMetadata"):
            yield f"{at}/listenerMetadata", "needs seccomp.listenerPath"


def cgroup_names(config: Config) -> Iterator[Problem]:
    """A name of ours never leaves its cgroup (R15)."""
    linux = config.get("linux", {})
    path = linux.get("cgroupsPath", "")
    if ".." in path.replace(":", "/").split("/"):
        yield "/linux/cgroupsPath", f"must not contain .., as in {shown(path)}"
    resources = linux.get("resources", {})
    for key in resources.get("unified", ()):
        if "/" in key or key.startswith(".") or not key:
            yield f"/linux/resources/unified{step(key)}", "must be the name of a cgroup file"
    for index, entry in enumerate(resources.get("hugepageLimits", ())):
        if not _page_size(entry["pageSize"]):
            yield (
                f"/linux/resources/hugepageLimits/{index}/pageSize",
                f"must be a size such as 2MB or 1GB, not {shown(entry['pageSize'])}",
            )


def limits_given(config: Config) -> Iterator[Problem]:
    """Entries of which config-linux.md says that they MUST hold at least one of two members."""
    resources = config.get("linux", {}).get("resources", {})
    for name, limits in resources.get("rdma", {}).items():
        if "hcaHandles" not in limits and "hcaObjects" not in limits:
            yield f"/linux/resources/rdma{step(name)}", "needs hcaHandles or hcaObjects"
    for index, entry in enumerate(resources.get("blockIO", {}).get("weightDevice", ())):
        if "weight" not in entry and "leafWeight" not in entry:
            yield (
                f"/linux/resources/blockIO/weightDevice/{index}",
                "needs weight or leafWeight",
            )


def device_access(config: Config) -> Iterator[Problem]:
    rules = config.get("linux", {}).get("resources", {}).get("devices", ())
    for index, rule in enumerate(rules):
        access = rule.get("access", "")
        if not access or access.strip("rwm"):
            yield (
                f"/linux/resources/devices/{index}/access",
                f"must be made of r, w and m, not {shown(access)}",
            )


def net_devices(config: Config) -> Iterator[Problem]:
    """They move into a namespace of the container's, each to a name of its own."""
    devices = config.get("linux", {}).get("netDevices")
    if not devices:
        return
    from pyrun.compile.net_device_names import TEMPLATE, inside, problem

    if "network" not in listed(config):
        yield "/linux/netDevices", "needs a network namespace in linux.namespaces"
    taken = set()
    for host, device in devices.items():
        at = f"/linux/netDevices{step(host)}"
        if text := problem(host):
            yield at, f"{shown(host)} {text}"
        name = inside(host, device)
        if name != host and (text := problem(name, template=True)):
            yield f"{at}/name", f"{shown(name)} {text}"
        elif name in taken:
            yield at, f"two devices would be called {shown(name)} in the container"
        if not name.endswith(TEMPLATE):
            taken.add(name)


def intel_rdt(config: Config) -> Iterator[Problem]:
    rdt = config.get("linux", {}).get("intelRdt", {})
    name = rdt.get("closID", "")
    if name != "/" and ("/" in name or "\n" in name or name in {".", ".."}):
        yield "/linux/intelRdt/closID", f"must be the name of one directory, not {shown(name)}"
    bandwidth = rdt.get("memBwSchema", "")
    if bandwidth and not bandwidth.startswith("MB:"):
        yield "/linux/intelRdt/memBwSchema", f"must begin with MB:, not {shown(bandwidth)}"
    lines = [("memBwSchema", bandwidth), ("l3CacheSchema", rdt.get("l3CacheSchema", ""))]
    lines += [(f"schemata/{i}", line) for i, line in enumerate(rdt.get("schemata", ()))]
    for where, line in lines:
        if "\n" in line:
            yield f"/linux/intelRdt/{where}", "must be one line"


def personality_flags(config: Config) -> Iterator[Problem]:
    if config.get("linux", {}).get("personality", {}).get("flags"):
        yield "/linux/personality/flags", "no flag is defined"


def memory_policy(config: Config) -> Iterator[Problem]:
    """Rare, so its rules are loaded with it."""
    policy = config.get("linux", {}).get("memoryPolicy")
    if policy is not None:
        from pyrun.compile import memory_policy as rules

        yield from rules.problems(policy)


def _page_size(text: str) -> bool:
    number = text[:-2]
    return (
        text[-2:] in {"KB", "MB", "GB"}
        and number.isascii()
        and number.isdigit()
        and not number.startswith("0")
    )


CHECKS = (
    namespaces,
    uts_names,
    user_maps,
    time_offsets,
    sysctls,
    devices,
    seccomp,
    cgroup_names,
    limits_given,
    device_access,
    net_devices,
    intel_rdt,
    personality_flags,
    memory_policy,
)
