# SPDX-License-Identifier: Apache-2.0
"""What this pyrun can do, as `pyrun features` prints it: features.md, features-linux.md.

"Supported" means by pyrun as it is built, whatever the host has; only seccomp.supportedFlags asks
the kernel. It is read off the tables that the compiler itself goes by, so that it stays true.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from pyrun import __version__
from pyrun.cgroup.plan import MANAGERS
from pyrun.compile import acting_annotations, mount_options, seccomp, unsupported
from pyrun.compile.checks import HOOKS
from pyrun.compile.id_maps import NAMES as ID_MAPS
from pyrun.compile.memory_policy import FLAGS, MODES
from pyrun.linux import CAPABILITIES, NAMESPACES
from pyrun.spec_default import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config

OLDEST = "1.0.0"  # of the specification
# What a mount asks for by having them.
MAPS = {name: [{"containerID": 0, "hostID": 0, "size": 1}] for name in ID_MAPS}


def document() -> Config:
    """The whole, in the specification's order."""
    return {
        "ociVersionMin": OLDEST,
        "ociVersionMax": VERSION,
        "hooks": list(HOOKS),
        "mountOptions": list(mount_options.KNOWN),
        "linux": {
            "namespaces": sorted(NAMESPACES),
            "capabilities": list(CAPABILITIES),
            "cgroup": _cgroup(),
            "seccomp": _seccomp(),
            "apparmor": _enabled({"process": {"apparmorProfile": "x"}}),
            "selinux": _enabled({"process": {"selinuxLabel": "x"}}),
            "memoryPolicy": {"modes": list(MODES), "flags": list(FLAGS)},
            "intelRdt": _intel_rdt(),
            "mountExtensions": {"idmap": _enabled({"mounts": [MAPS]})},
            "netDevices": _enabled({"linux": {"netDevices": {"eth0": {}}}}),
        },
        "annotations": _annotations(),
        "potentiallyUnsafeConfigAnnotations": sorted(acting_annotations.ALL),
    }


def _supported(config: Config) -> bool:
    """Whether a config with this in it is not refused as beyond this version."""
    return not unsupported.problems(config)


def _enabled(config: Config) -> dict[str, bool]:
    return {"enabled": _supported(config)}


def _cgroup() -> dict[str, bool]:
    systemd = "systemd" in MANAGERS and find_spec("pyrun.kernel._sdbus") is not None
    return {"v1": True, "v2": True, "systemd": systemd, "systemdUser": systemd, "rdma": True}


def _intel_rdt() -> dict[str, bool]:
    fields = {"enabled": "closID", "schemata": "schemata", "monitoring": "enableMonitoring"}
    return {
        name: _supported({"linux": {"intelRdt": {field: "x"}}}) for name, field in fields.items()
    }


def _seccomp() -> dict[str, Any]:
    library = _library()
    archs = [name for name in seccomp.ARCHITECTURES if library and library.knows(name)]
    return {
        "enabled": library is not None,
        "actions": list(seccomp.ACTIONS),
        "operators": [f"SCMP_CMP_{name}" for name in seccomp.OPERATORS],
        "archs": [f"SCMP_ARCH_{name.upper()}" for name in archs],
        "knownFlags": list(seccomp.FLAGS),
        "supportedFlags": [name for name, flag in seccomp.FLAGS.items() if kernel_takes(flag)],
    }


def _library() -> Any:
    """The binding to libseccomp; None where it was not built."""
    try:
        return import_module("pyrun.kernel.libseccomp")
    except ImportError:
        return None


def kernel_takes(flag: int) -> bool:
    """Whether seccomp(2) of this kernel knows the flag."""
    from pyrun.kernel._linux import lib

    if flag == seccomp.WAIT_KILLABLE_RECV:
        flag |= seccomp.NEW_LISTENER  # it is about the agent's answers
    return bool(lib.pyrun_seccomp_takes(flag))


def _annotations() -> dict[str, str]:
    """Of others' making: the version of a library, and what Docker asks of runtimes by runc's
    name. The latter is about this host, where CRIU may be missing or too old for the kernel; why it
    is false, or a flag of it would not work, stands beside it."""
    lacking, flags = _checkpoint_lacks()
    found = {
        "org.pyrun.version": __version__,
        "org.opencontainers.runc.checkpoint.enabled": "false" if lacking else "true",
    }
    if lacking:
        found["org.pyrun.checkpoint.lacks"] = lacking
    found |= {f"org.pyrun.checkpoint.lacks.{flag}": why for flag, why in flags.items()}
    library = _library()
    if library:
        found["io.github.seccomp.libseccomp.version"] = library.version()
    return found


def _checkpoint_lacks() -> tuple[str, dict[str, str]]:
    """Why there can be no checkpoints on this host, "" if there can; and {flag: why it can't be
    had} if so."""
    try:
        abilities = import_module("pyrun.criu.abilities")
    except ImportError as error:
        return f"no Python module {error.name}", {}
    lacking = str(abilities.lacking())
    return lacking, {} if lacking else abilities.features_lacking()
