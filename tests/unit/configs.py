# SPDX-License-Identifier: Apache-2.0
"""Configs for tests: FULL uses every property of the schema, minimal() no more than is required."""

from __future__ import annotations

import copy
from typing import Any


def minimal() -> dict[str, Any]:
    """A new config that passes every check and asks for nothing."""
    return {
        "ociVersion": "1.3.0",
        "root": {"path": "rootfs"},
        "process": {"cwd": "/", "args": ["sh"], "user": {"uid": 0, "gid": 0}},
    }


def with_(path: str, value: object, base: dict[str, Any] | None = None) -> dict[str, Any]:
    """A copy of `base` (default: minimal) in which the member at a/b/c is `value`."""
    config = copy.deepcopy(minimal() if base is None else base)
    place = config
    *folders, last = path.split("/")
    for name in folders:
        place = place.setdefault(name, {})
    place[last] = value
    return config


def isolated(**linux: object) -> dict[str, Any]:
    """A minimal config with all namespaces that need nothing else, and these linux members."""
    kinds = ("pid", "network", "mount", "ipc", "uts", "cgroup")
    return with_("linux", {"namespaces": [{"type": kind} for kind in kinds], **linux})


_MAP = [{"containerID": 0, "hostID": 100000, "size": 65536}]
_HOOK = {"path": "/bin/hook", "args": ["hook", "x"], "env": ["A=b"], "timeout": 3}
_CAPS = ["CAP_KILL", "CAP_CHOWN"]
_RATE = [{"major": 8, "minor": 0, "rate": 1048576}]

FULL: dict[str, Any] = {
    "ociVersion": "1.3.0",
    "root": {"path": "rootfs", "readonly": True},
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {
            "destination": "/data",
            "type": "none",
            "source": "/srv/data",
            "options": ["rbind", "ro", "idmap"],
            "uidMappings": _MAP,
            "gidMappings": _MAP,
        },
    ],
    "process": {
        "terminal": True,
        "consoleSize": {"height": 25, "width": 80},
        "user": {
            "uid": 1000,
            "gid": 1000,
            "umask": 18,
            "additionalGids": [5, 6],
            "username": "ignored",
        },
        "args": ["sh", "-c", "true"],
        "commandLine": "",
        "env": ["PATH=/bin", "EMPTY="],
        "cwd": "/",
        "capabilities": {
            "bounding": _CAPS,
            "effective": _CAPS,
            "inheritable": [],
            "permitted": _CAPS,
            "ambient": [],
        },
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 2**64 - 1}],
        "noNewPrivileges": True,
        "apparmorProfile": "profile",
        "selinuxLabel": "system_u:system_r:svirt_lxc_net_t:s0",
        "oomScoreAdj": 100,
        "scheduler": {
            "policy": "SCHED_DEADLINE",
            "nice": 0,
            "priority": 0,
            "flags": ["SCHED_FLAG_RESET_ON_FORK"],
            "runtime": 1000000,
            "deadline": 2000000,
            "period": 2000000,
        },
        "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
        "execCPUAffinity": {"initial": "7", "final": "0-3,7"},
    },
    "hostname": "box",
    "domainname": "example.test",
    "hooks": {
        kind: [_HOOK]
        for kind in (
            "prestart",
            "createRuntime",
            "createContainer",
            "startContainer",
            "poststart",
            "poststop",
        )
    },
    "annotations": {"com.example.key": "value", "org.example.empty": ""},
    "linux": {
        "namespaces": [
            {"type": "pid", "path": "/proc/1/ns/pid"},
            {"type": "network"},
            {"type": "mount"},
            {"type": "ipc"},
            {"type": "uts"},
            {"type": "user"},
            {"type": "cgroup"},
            {"type": "time"},
        ],
        "uidMappings": _MAP,
        "gidMappings": _MAP,
        "timeOffsets": {"monotonic": {"secs": -172800, "nanosecs": 5}, "boottime": {"secs": 1}},
        "devices": [
            {
                "type": "c",
                "path": "/dev/fuse",
                "major": 10,
                "minor": 229,
                "fileMode": 438,
                "uid": 0,
                "gid": 0,
            },
            {"type": "p", "path": "/dev/pipe"},
        ],
        "netDevices": {"eth0": {"name": "container_eth0"}, "eth1": {}},
        "cgroupsPath": "/parent/child",
        "resources": {
            "devices": [
                {"allow": False, "access": "rwm"},
                {"allow": True, "type": "c", "major": 10, "minor": -1, "access": "rw"},
            ],
            "memory": {
                "limit": 536870912,
                "reservation": 268435456,
                "swap": -1,
                "kernel": -1,
                "kernelTCP": -1,
                "swappiness": 0,
                "disableOOMKiller": False,
                "useHierarchy": True,
                "checkBeforeUpdate": False,
            },
            "cpu": {
                "shares": 1024,
                "quota": 1000000,
                "burst": 0,
                "period": 500000,
                "realtimeRuntime": 950000,
                "realtimePeriod": 1000000,
                "cpus": "0-1",
                "mems": "0",
                "idle": 0,
            },
            "blockIO": {
                "weight": 10,
                "leafWeight": 10,
                "weightDevice": [{"major": 8, "minor": 0, "weight": 500, "leafWeight": 300}],
                "throttleReadBpsDevice": _RATE,
                "throttleWriteBpsDevice": _RATE,
                "throttleReadIOPSDevice": _RATE,
                "throttleWriteIOPSDevice": _RATE,
            },
            "hugepageLimits": [{"pageSize": "2MB", "limit": 209715200}],
            "network": {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 500}]},
            "pids": {"limit": 32771},
            "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}},
            "unified": {"memory.high": "1000000", "io.max": "259:0 rbps=2097152 wiops=120"},
        },
        "intelRdt": {
            "closID": "guaranteed",
            "l3CacheSchema": "L3:0=7f0;1=1f",
            "memBwSchema": "MB:0=20;1=70",
            "schemata": ["L2:0=f"],
            "enableMonitoring": True,
        },
        "memoryPolicy": {
            "mode": "MPOL_INTERLEAVE",
            "nodes": "2-3",
            "flags": ["MPOL_F_STATIC_NODES"],
        },
        "sysctl": {"net.ipv4.ip_forward": "1", "kernel.msgmax": "65536"},
        "seccomp": {
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 38,
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"],
            "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "listenerPath": "/run/listener.sock",
            "listenerMetadata": "opaque",
            "syscalls": [
                {"names": ["getcwd", "read", "write"], "action": "SCMP_ACT_ALLOW"},
                {
                    "names": ["clone"],
                    "action": "SCMP_ACT_ERRNO",
                    "errnoRet": 1,
                    "args": [
                        {
                            "index": 0,
                            "value": 2114060288,
                            "valueTwo": 0,
                            "op": "SCMP_CMP_MASKED_EQ",
                        }
                    ],
                },
            ],
        },
        "rootfsPropagation": "rslave",
        "maskedPaths": ["/proc/kcore"],
        "readonlyPaths": ["/proc/sys"],
        "mountLabel": "system_u:object_r:svirt_sandbox_file_t:s0:c715,c811",
        "personality": {"domain": "LINUX", "flags": []},
    },
    "freebsd": {"jail": {}},
    "solaris": {"milestone": "x"},
    "vm": {"kernel": {"path": "/boot/vmlinuz"}},
    "windows": {"layerFolders": []},
    "zos": {"namespaces": []},
}
