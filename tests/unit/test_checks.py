# SPDX-License-Identifier: Apache-2.0
"""Rules between fields: one table of what each refuses, one of what must stay allowed."""

from __future__ import annotations

import pytest

from pyrun import schema_check
from pyrun.compile import checks, checks_linux, checks_mounts, checks_process
from pyrun.errors import ConfigError
from unit import configs
from unit.configs import isolated, with_
from unit.test_checks_scheduling import REFUSED as SCHEDULING

PID = {"type": "pid"}
USER = {"type": "user"}
MOUNTS = {"type": "mount"}
MAP = [{"containerID": 0, "hostID": 1000, "size": 1}]
ERRNO = {"defaultAction": "SCMP_ACT_ERRNO"}


def mounted(**mount: object) -> dict[str, object]:
    return with_("mounts", [{"destination": "/x", **mount}], isolated())


def process(**members: object) -> dict[str, object]:
    return with_("process", {**configs.minimal()["process"], **members})


def rlimit(kind: str, soft: int, hard: int) -> dict[str, object]:
    return {"type": kind, "soft": soft, "hard": hard}


def maps(*extents: tuple[int, int, int]) -> dict[str, object]:
    entries = [{"containerID": c, "hostID": h, "size": s} for c, h, s in extents]
    return with_("linux", {"namespaces": [USER], "uidMappings": entries, "gidMappings": MAP})


def unified(key: str) -> dict[str, object]:
    return isolated(resources={"unified": {key: "1"}})


def resource_device(**rule: object) -> dict[str, object]:
    return isolated(resources={"devices": [{"allow": True, **rule}]})


def device(**members: object) -> dict[str, object]:
    return isolated(devices=[{"type": "c", "path": "/dev/x", "major": 1, "minor": 3, **members}])


def without(config: dict[str, object], name: str) -> dict[str, object]:
    del config[name]
    return config


def rule(action: str, **members: object) -> dict[str, object]:
    return {**ERRNO, "syscalls": [{"names": ["read"], "action": action, **members}]}


REFUSED: list[tuple[dict[str, object], str, str]] = [
    (with_("ociVersion", "0.5.0"), "/ociVersion", "version 0.5.0 is not supported"),
    (with_("ociVersion", "2.0.0"), "/ociVersion", "version 2.0.0 is not supported"),
    (with_("ociVersion", "1.4.0"), "/ociVersion", "version 1.4.0 is not supported"),
    (with_("ociVersion", "1.3"), "/ociVersion", 'must be a version such as 1.3.0, not "1.3"'),
    (with_("ociVersion", "1.x.0"), "/ociVersion", "must be a version"),
    *(
        (with_("ociVersion", text), "/ociVersion", "must be a version")
        for text in ("1", "1.0.0.0", "01.0.0", "1.0.00", "1.0.-1", "v1.0.0", " 1.0.0", "1.0.0\n")
    ),
    *(
        (with_("ociVersion", f"1.0.0{text}"), "/ociVersion", "must be a version")
        for text in ("-", "+", "-a..b", "-a_b", "+a+b", "-é", "-a+")
    ),
    (with_("ociVersion", "1.²².0"), "/ociVersion", "must be a version"),
    (with_("ociVersion", f"1.{'9' * 9999}.0"), "/ociVersion", "version 1.9999"),
    (without(configs.minimal(), "root"), "/root", "is required"),
    (with_("annotations", {"": "x"}), "/annotations", "has an empty key"),
    (with_("hooks/poststop", [{"path": "bin/x"}]), "/hooks/poststop/0/path", "must be absolute"),
    (
        with_("annotations", {"org.pyrun.landlock": '{"scoped": ["signals"]}'}),
        "/annotations/org.pyrun.landlock",
        "/scoped/0 must be one of abstract_unix_socket, signal, not",
    ),
    (
        with_("annotations", {"run.oci.hooks.stderr": "log"}),
        "/annotations/run.oci.hooks.stderr",
        "must be an absolute path",
    ),
    (process(cwd="root"), "/process/cwd", 'must be absolute, not "root"'),
    (process(args=[]), "/process/args", "needs at least one entry"),
    (with_("process", {"cwd": "/"}), "/process/args", "needs at least one entry"),
    (process(args=["", "x"]), "/process/args/0", "must not be empty"),
    (process(env=["A=b", "PATH"]), "/process/env/1", 'must be NAME=VALUE, not "PATH"'),
    (process(env=["=b"]), "/process/env/0", "must be NAME=VALUE"),
    (process(env=[""]), "/process/env/0", "must be NAME=VALUE"),
    (
        process(rlimits=[rlimit("RLIMIT_CPU", 1, 1), rlimit("RLIMIT_CPU", 2, 2)]),
        "/process/rlimits/1/type",
        "RLIMIT_CPU is given twice",
    ),
    (process(rlimits=[rlimit("CPU", 1, 1)]), "/process/rlimits/0/type", "no such limit"),
    (
        process(rlimits=[rlimit("RLIMIT_CPU", 2, 1)]),
        "/process/rlimits/0/soft",
        "2 is above the hard limit 1",
    ),
    (
        process(terminal=True, consoleSize={"height": 65536, "width": 1}),
        "/process/consoleSize/height",
        "must be at most 65535",
    ),
    (process(commandLine="cmd.exe"), "/process/commandLine", "is for Windows"),
    # mounts
    (mounted(type="bind", source="/srv"), "/mounts/0/type", 'add "bind" or "rbind" to options'),
    (mounted(type="none", source="/srv"), "/mounts/0/type", "type none is no file system"),
    (mounted(source="/srv", options=["ro"]), "/mounts/0/type", "there is no type"),
    (mounted(type="none", options=["rbind"]), "/mounts/0/source", "is required for a bind mount"),
    (mounted(type="tmpfs", uidMappings=MAP), "/mounts/0/gidMappings", "beside uidMappings"),
    (mounted(type="tmpfs", gidMappings=MAP), "/mounts/0/uidMappings", "beside gidMappings"),
    # CVE-2019-16884 and CVE-2025-52881: what covers /proc redirects writes of the runtime
    (mounted(destination="/proc", type="tmpfs"), "/mounts/0/destination", "only a mount of type"),
    (
        mounted(destination="/proc", type="proc", source="/tmp/fake", options=["bind"]),
        "/mounts/0/destination",
        "only a mount of type",
    ),
    (
        mounted(destination="proc/.", type="none", source="proc", options=["rbind"]),
        "/mounts/0/destination",
        "only a mount of type",
    ),
    (
        mounted(destination="/proc/self/attr", type="tmpfs"),
        "/mounts/0/destination",
        "mounts at /proc/self/attr are refused",
    ),
    (mounted(destination="//x/../proc/sys/", type="proc"), "/mounts/0/destination", "/proc/sys"),
    (
        with_("mounts", [{"destination": "/x", "type": "tmpfs"}]),
        "/mounts",
        "needs a mount namespace",
    ),
    (
        with_("root", {"path": "rootfs", "readonly": True}),
        "/root/readonly",
        "needs a mount namespace",
    ),
    (with_("linux/maskedPaths", ["/x"]), "/linux/maskedPaths", "needs a mount namespace"),
    (with_("linux/readonlyPaths", ["/x"]), "/linux/readonlyPaths", "needs a mount namespace"),
    (
        with_("linux/devices", [{"type": "p", "path": "/dev/x"}]),
        "/linux/devices",
        "needs a mount namespace",
    ),
    (
        with_("linux/rootfsPropagation", "shared"),
        "/linux/rootfsPropagation",
        "needs a mount namespace",
    ),
    (isolated(maskedPaths=["/a", "b"]), "/linux/maskedPaths/1", "must be absolute"),
    (isolated(readonlyPaths=["b"]), "/linux/readonlyPaths/0", "must be absolute"),
    # namespaces and what needs them
    (with_("linux/namespaces", [PID, PID]), "/linux/namespaces/1/type", "pid is given twice"),
    (
        with_("linux/namespaces", [{"type": "pid", "path": "ns/pid"}]),
        "/linux/namespaces/0/path",
        "must be absolute",
    ),
    (with_("hostname", "x"), "/hostname", "needs a uts namespace"),
    (with_("domainname", "x"), "/domainname", "needs a uts namespace"),
    (isolated(uidMappings=MAP, gidMappings=MAP), "/linux/uidMappings", "needs a user namespace"),
    (isolated(uidMappings=MAP, gidMappings=MAP), "/linux/gidMappings", "needs a user namespace"),
    (with_("linux/namespaces", [USER]), "/linux/uidMappings", "is required for a new user"),
    (with_("linux/namespaces", [USER]), "/linux/gidMappings", "is required for a new user"),
    (
        with_("linux", {"namespaces": [USER], "uidMappings": MAP}),
        "/linux/gidMappings",
        "is required beside uidMappings",
    ),
    (maps((0, 5, 0)), "/linux/uidMappings/0/size", "must be at least 1"),
    (maps((0, 10, 5), (4, 20, 1)), "/linux/uidMappings/1/containerID", "overlaps that of entry 0"),
    (maps((9, 10, 5), (0, 14, 1)), "/linux/uidMappings/1/hostID", "overlaps that of entry 0"),
    (maps((2**32 - 2, 0, 2)), "/linux/uidMappings/0/containerID", "passes the highest id"),
    (maps((0, 2**32 - 1, 1)), "/linux/uidMappings/0/hostID", "passes the highest id"),
    (maps(*((i, i, 1) for i in range(341))), "/linux/uidMappings", "the kernel takes 340"),
    (
        isolated(timeOffsets={"monotonic": {"secs": 1}}),
        "/linux/timeOffsets",
        "needs a new time namespace",
    ),
    (
        with_(
            "linux",
            {
                "namespaces": [{"type": "time", "path": "/proc/1/ns/time"}],
                "timeOffsets": {"boottime": {"secs": 1}},
            },
        ),
        "/linux/timeOffsets",
        "needs a new time namespace",
    ),
    (
        with_("linux", {"namespaces": [{"type": "time"}], "timeOffsets": {"tai": {}}}),
        "/linux/timeOffsets/tai",
        "no such clock",
    ),
    (
        with_(
            "linux",
            {"namespaces": [{"type": "time"}], "timeOffsets": {"boottime": {"nanosecs": 10**9}}},
        ),
        "/linux/timeOffsets/boottime/nanosecs",
        "must be below",
    ),
    # devices
    (device(path="dev/x"), "/linux/devices/0/path", "must be absolute"),
    (device(major=-1), "/linux/devices/0/major", "must be from 0 to 4095"),
    (device(minor=1 << 20), "/linux/devices/0/minor", "must be from 0 to 1048575"),
    (
        isolated(devices=[{"type": "b", "path": "/dev/x", "major": 1}]),
        "/linux/devices/0/minor",
        "is required for type b",
    ),
    # seccomp
    (
        isolated(seccomp=rule("SCMP_ACT_NOTIFY")),
        "/linux/seccomp/syscalls/0/action",
        "seccomp listenerPath is not set",
    ),
    (
        isolated(seccomp={**ERRNO, "listenerMetadata": "x"}),
        "/linux/seccomp/listenerMetadata",
        "needs seccomp.listenerPath",
    ),
    (
        isolated(seccomp=rule("SCMP_ACT_ALLOW", errnoRet=1)),
        "/linux/seccomp/syscalls/0/action",
        "SCMP_ACT_ALLOW takes no errno",
    ),
    (
        isolated(seccomp={"defaultAction": "SCMP_ACT_LOG", "defaultErrnoRet": 1}),
        "/linux/seccomp/defaultAction",
        "SCMP_ACT_LOG takes no errno",
    ),
    (
        isolated(
            seccomp=rule("SCMP_ACT_KILL", args=[{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}])
        ),
        "/linux/seccomp/syscalls/0/args/0/index",
        "0 to 5",
    ),
    # cgroups: a name must not lead to another cgroup
    (isolated(cgroupsPath="/a/../b"), "/linux/cgroupsPath", "must not contain .."),
    (isolated(cgroupsPath=".."), "/linux/cgroupsPath", "must not contain .."),
    (isolated(cgroupsPath="a.slice:..:b"), "/linux/cgroupsPath", "must not contain .."),
    (unified("../x/memory.max"), "/linux/resources/unified/..~1x~1memory.max", "a cgroup file"),
    (unified("a/b"), "/linux/resources/unified/a~1b", "a cgroup file"),
    (unified(".."), "/linux/resources/unified/..", "a cgroup file"),
    (unified(""), "/linux/resources/unified/", "a cgroup file"),
    *(
        (
            isolated(resources={"hugepageLimits": [{"pageSize": size, "limit": 1}]}),
            "/linux/resources/hugepageLimits/0/pageSize",
            "must be a size such as",
        )
        for size in ("64kB", "2M", "0MB", "MB", "../2MB", "²MB", "")
    ),
    (
        isolated(resources={"rdma": {"mlx5/1": {}}}),
        "/linux/resources/rdma/mlx5~11",
        "needs hcaHandles or hcaObjects",
    ),
    (
        isolated(resources={"blockIO": {"weightDevice": [{"major": 8, "minor": 0}]}}),
        "/linux/resources/blockIO/weightDevice/0",
        "needs weight or leafWeight",
    ),
    (resource_device(access=""), "/linux/resources/devices/0/access", "made of r, w and m"),
    (resource_device(), "/linux/resources/devices/0/access", "made of r, w and m"),
    (resource_device(access="rx"), "/linux/resources/devices/0/access", "made of r, w and m"),
    # compile/test_layers.py has the table of these
    (
        with_("annotations", {"org.pyrun.rootfs.overlay": ""}, isolated()),
        "/annotations/org.pyrun.rootfs.overlay",
        "names no layer",
    ),
    # network devices; test_net_device_names.py has the table of names
    (
        with_("linux", {"netDevices": {"eth0": {}}}),
        "/linux/netDevices",
        "needs a network namespace",
    ),
    (isolated(netDevices={"a/b": {}}), "/linux/netDevices/a~1b", '"a/b" must not contain'),
    (isolated(netDevices={"": {}}), "/linux/netDevices/", "must be the name"),
    (isolated(netDevices={"eth%d": {}}), "/linux/netDevices/eth%d", "must not contain %"),
    (
        isolated(netDevices={"eth0": {"name": "eth0:1"}}),
        "/linux/netDevices/eth0/name",
        '"eth0:1" must not contain',
    ),
    (
        isolated(netDevices={"eth0": {"name": "eth1"}, "eth1": {}}),
        "/linux/netDevices/eth1",
        'two devices would be called "eth1"',
    ),
    # others; test_sysctl_names.py has the table of names
    (isolated(sysctl={"kernel.core_pattern": "x"}), "/linux/sysctl/kernel.core_pattern", "host"),
    (isolated(intelRdt={"closID": "../x"}), "/linux/intelRdt/closID", "one directory"),
    (isolated(intelRdt={"closID": ".."}), "/linux/intelRdt/closID", "one directory"),
    (isolated(intelRdt={"memBwSchema": "L3:0=1"}), "/linux/intelRdt/memBwSchema", "with MB:"),
    (isolated(intelRdt={"memBwSchema": "MB:0\n"}), "/linux/intelRdt/memBwSchema", "one line"),
    (isolated(intelRdt={"schemata": ["a", "b\nc"]}), "/linux/intelRdt/schemata/1", "one line"),
    (
        isolated(personality={"domain": "LINUX", "flags": ["X"]}),
        "/linux/personality/flags",
        "no flag is defined",
    ),
]


@pytest.mark.parametrize(
    ("config", "pointer", "message"), REFUSED, ids=[f"{p}-{m[:30]}" for _, p, m in REFUSED]
)
def test_refused(config: dict[str, object], pointer: str, message: str) -> None:
    # The rules must do it: a shape that the schema refuses never reaches them.
    assert schema_check.check(config) == []
    found = [text for place, text in checks.problems(config) if place == pointer]
    assert any(message in text for text in found), checks.problems(config)


ALLOWED: list[dict[str, object]] = [
    configs.minimal(),
    configs.FULL,
    without(configs.minimal(), "process"),  # a container that is only created
    *(with_("ociVersion", v) for v in ("1.0.0", "1.0.2-dev", "1.0.0-rc5-dev", "1.3.9+build.1")),
    *(with_("ociVersion", v) for v in ("1.1.0", "1.2.0", "1.2.1", "1.3.0-rc.1", "1.0.0--+-.0")),
    process(env=["A=", "A=b=c", "B==", "C= "]),
    process(consoleSize={"height": 99999, "width": 1}),  # ignored without a terminal
    process(rlimits=[rlimit("RLIMIT_NOFILE", 2**64 - 1, 2**64 - 1)]),
    mounted(destination="x/y", type="tmpfs"),
    mounted(destination="/../../etc", type="tmpfs"),
    mounted(destination="/", type="tmpfs"),
    mounted(destination="/process", type="tmpfs"),
    mounted(destination="/proc", type="proc", source="proc"),
    mounted(destination="/proc", type="bind", source="/proc", options=["rbind", "nosuid"]),
    mounted(destination="/proc", options=["remount", "ro"]),
    mounted(destination="/proc/cpuinfo", type="bind", source="/lxcfs/cpuinfo", options=["bind"]),
    mounted(options=["rshared"]),  # changes the propagation of what is there
    mounted(type="none", options=["remount", "ro"]),
    isolated(cgroupsPath="a.slice:prefix:name"),
    isolated(cgroupsPath="/a/b..c/..d"),
    isolated(seccomp={**rule("SCMP_ACT_NOTIFY"), "listenerPath": "/run/x"}),
    isolated(seccomp=rule("SCMP_ACT_TRACE", errnoRet=1)),
    resource_device(access="mrw"),
    isolated(intelRdt={"closID": "/"}),
    isolated(netDevices={"eth0": {"name": "eth1"}, "eth1": {"name": "eth0"}}),
    isolated(netDevices={"eth0": {"name": "net%d"}, "eth1": {"name": "net%d"}}),
    isolated(netDevices={"eth0": {"name": ""}}),  # as runc: not given
    with_("hostname", ""),
    with_("linux/namespaces", [{"type": "user", "path": "/proc/1/ns/user"}]),
    maps((0, 10, 5), (5, 15, 5), (2**32 - 2, 1, 1)),
    with_(
        "hostname",
        "joined",
        with_("linux/namespaces", [{"type": "uts", "path": "/proc/1/ns/uts"}]),
    ),
]


@pytest.mark.parametrize("config", ALLOWED)
def test_allowed(config: dict[str, object]) -> None:
    assert schema_check.check(config) == []
    assert checks.problems(config) == []


def test_a_process_can_be_judged_alone() -> None:
    found = checks_process.problems({"cwd": "x", "args": ["sh"]})
    assert found == [("/process/cwd", 'must be absolute, not "x"')]


def test_require_names_every_problem() -> None:
    checks.require(configs.minimal())
    with pytest.raises(ConfigError) as caught:
        checks.require(with_("hostname", "x", process(cwd="x")))
    assert [pointer for pointer, _ in caught.value.problems] == ["/process/cwd", "/hostname"]


def test_every_rule_is_listed_and_refuses_something() -> None:
    """A rule that no entry of REFUSED trips is a rule without a test."""
    modules = (checks, checks_linux, checks_mounts, checks_process)
    written = {
        value
        for module in modules
        for name, value in vars(module).items()
        if getattr(value, "__annotations__", {}).get("return") == "Iterator[Problem]"
        and getattr(value, "__module__", "") == module.__name__
    }
    assert written == set(checks.CHECKS)
    for one in checks.CHECKS:
        assert any(list(one(config)) for config, _, _ in [*REFUSED, *SCHEDULING])
