# SPDX-License-Identifier: Apache-2.0
"""The annotations that pyrun acts upon, and which of them root has to allow first.

Fields of a config come from an engine. Its annotations may come from an image or from a user of the
engine, which must not gain anything by them (docs/decisions/0008, CVE-2024-3154, CVE-2026-94603).
"""

from __future__ import annotations

from pyrun.compile.cgroup_mounts import FORCE_V1
from pyrun.errors import Error
from pyrun.schema_check import step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyrun.types import Config, Problem

CONTAINER_TYPE = "io.kubernetes.cri.container-type"
CONTEXT_TYPE = "run.oci.mount_context_type"
FAIL_UNKNOWN = "run.oci.seccomp_fail_unknown_syscall"
HANDLER = "run.oci.handler"
KEEP_GROUPS = "run.oci.keep_original_groups"
PIDFD_RECEIVER = "run.oci.pidfd_receiver"
PROPERTY = "org.systemd.property."
SECCOMP_BPF = "run.oci.seccomp_bpf_data"
SECCOMP_PLUGINS = "run.oci.seccomp.plugins"
SECCOMP_RECEIVER = "run.oci.seccomp.receiver"
WASM_VARIANT = "module.wasm.image/variant"

# Whoever can write an annotation may use these: they take something away from the container, or
# choose among what it may do anyway. A name that ends in "." stands for all below it.
FREE = (
    FAIL_UNKNOWN,
    HANDLER,
    WASM_VARIANT,
    "org.pyrun.landlock",
    "org.pyrun.rootfs.ephemeral",
    "org.pyrun.rootfs.overlay.upper",
    "run.oci.delegate-cgroup",
    "run.oci.systemd.subgroup",
)
# These give the container something of the host or of the caller, loosen what confines it, or have
# the runtime write or connect to what they name.
GUARDED = (
    CONTEXT_TYPE,
    FORCE_V1,
    KEEP_GROUPS,
    PIDFD_RECEIVER,
    PROPERTY,
    SECCOMP_BPF,
    SECCOMP_RECEIVER,
    "org.criu.config",
    "org.pyrun.rootfs.overlay",
    "run.oci.hooks.stderr",
    "run.oci.hooks.stdout",
)
# Properties of a unit that concern its own end, its name and its order alone, which is what engines
# set. Others are limits and devices, start and stop other units, or reboot the host.
HARMLESS_PROPERTIES = (
    "After", "Before", "CollectMode", "DefaultDependencies", "Description", "Documentation",
    "KillMode", "KillSignal", "RuntimeMaxSec", "RuntimeMaxUSec", "SendSIGHUP", "SendSIGKILL",
    "TimeoutStopSec", "TimeoutStopUSec",
)  # fmt: skip
# Alone they change nothing.
BESIDES = (CONTAINER_TYPE,)
# What crun takes, and pyrun does not: why.
REFUSED = {
    SECCOMP_PLUGINS: "pyrun loads no plugins: have an agent listen at linux.seccomp.listenerPath",
}
ALL = (*FREE, *GUARDED, *BESIDES, *REFUSED)
CONTEXT_TYPES = ("context", "fscontext", "defcontext", "rootcontext")
PATHS = (FORCE_V1, PIDFD_RECEIVER, SECCOMP_RECEIVER)


def of(config: Config, key: str) -> str:
    """An annotation, "" when there is none."""
    return str((config.get("annotations") or {}).get(key) or "")


def is_on(config: Config, key: str) -> bool:
    """Whether an annotation that switches something is there, and is not "0": as crun has it."""
    return str((config.get("annotations") or {}).get(key, "0")) != "0"


def problems(config: Config, allowed: Sequence[str], where: str) -> Iterator[Problem]:
    """What stands against the annotations of a config; `allowed` is root's list, in the file
    `where`."""
    for key, value in (config.get("annotations") or {}).items():
        pointer = f"/annotations{step(key)}"
        if key in REFUSED:
            yield pointer, REFUSED[key]
        elif needs_leave(key, value) and not _matches(key, allowed):
            yield pointer, f"root has to allow it in {where}: it may loosen what confines"
        elif key in PATHS and value and not value.startswith("/"):
            yield pointer, f"{value!r} is not an absolute path"
        elif key == CONTEXT_TYPE and value and value not in CONTEXT_TYPES:
            yield pointer, f"{value!r} is none of {', '.join(CONTEXT_TYPES)}"


def needs_leave(key: str, value: str) -> bool:
    """Whether an annotation asks for what it takes root's leave to get."""
    return is_guarded(key) and (value != "0" if key == KEEP_GROUPS else value != "")


def is_guarded(key: str) -> bool:
    """Whether a key stands for such a thing."""
    return _matches(key, GUARDED) and not is_usual_property(key)


def is_usual_property(key: str) -> bool:
    """Whether it is a property of a container's scope that takes nobody's leave."""
    return key.startswith(PROPERTY) and key.removeprefix(PROPERTY) in HARMLESS_PROPERTIES


def _matches(key: str, patterns: Sequence[str]) -> bool:
    return any(key.startswith(p) if p.endswith(".") else key == p for p in patterns)


def listener(config: Config, environment: str) -> str:
    """Where the notify listener of the filter goes, if linux.seccomp.listenerPath does not say so:
    the annotation, or the caller's RUN_OCI_SECCOMP_RECEIVER, as with crun. Raises Error."""
    path = of(config, SECCOMP_RECEIVER) or environment
    if path and not path.startswith("/"):
        raise Error(f"RUN_OCI_SECCOMP_RECEIVER: {path!r} is not an absolute path")
    return path
