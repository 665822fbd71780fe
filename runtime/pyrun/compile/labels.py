# SPDX-License-Identifier: Apache-2.0
"""process.apparmorProfile, process.selinuxLabel and linux.mountLabel. Loaded for a config that has
one of them. A label that no security module enforces is refused (CVE-2019-16884)."""

from __future__ import annotations

from pyrun import ops
from pyrun.compile import acting_annotations
from pyrun.compile.donations import namespace, slot_of
from pyrun.compile.slots import CONTEXT, OWN_PROC
from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts, Steps

APPARMOR, SELINUX = "/process/apparmorProfile", "/process/selinuxLabel"
MOUNT = "/linux/mountLabel"
# SELinux has no labels for what is in these but its policy's (sepolicy: genfscon); the root of an
# mqueue takes one as an attribute, the option it does not know.
WITHOUT_CONTEXT = ("proc", "sysfs", "mqueue")


def prepare(config: Config, facts: Facts) -> Steps:
    """First of all, whether somebody enforces them. Raises Error.

    Then a procfs that is ours alone: what is mounted at /proc is the container's, and could swallow
    the label or send it elsewhere (CVE-2025-52881). It shows the processes of the init's pid
    namespace, and of those files nothing but theirs."""
    profile, label = _wanted(config)
    _require("AppArmor", profile, APPARMOR, facts)
    _require("SELinux", label, SELINUX, facts)
    _require("SELinux", (config.get("linux") or {}).get("mountLabel"), MOUNT, facts)
    if not profile and not label:
        return
    pointer = APPARMOR if profile else SELINUX
    # There we ourselves are not to be found until the late fork.
    joined = (namespace(config, "pid") or {}).get("path")
    if joined:
        yield pointer, ops.fsopen_proc(slot_of(facts, "namespace", "pid", joined), CONTEXT)
    else:
        yield pointer, ops.fsopen("proc", CONTEXT)
    yield pointer, ops.fsconfig(CONTEXT, "subset", "pid")
    yield pointer, ops.fsmount(CONTEXT, 0, OWN_PROC)
    if label and not joined and not facts["no_new_keyring"]:
        # the session keyring is made next, and is the container's
        yield SELINUX, ops.write_own_proc(OWN_PROC, "attr/keycreate", label)


def apply(config: Config, facts: Facts) -> Steps:
    """What the next execve(2) changes to. AppArmor has a folder of its own since Linux 5.8."""
    profile, label = _wanted(config)
    if profile:
        yield APPARMOR, ops.write_own_proc(OWN_PROC, "attr/apparmor/exec", f"exec {profile}")
    if label:
        yield SELINUX, ops.write_own_proc(OWN_PROC, "attr/exec", label)
    yield APPARMOR if profile else SELINUX, ops.close_slot(OWN_PROC)


def context(kind: str, config: Config) -> Steps:
    """The option of a file system in the making, for all that will be in it; which of SELinux's
    options that is, an annotation may say (mount(8), context)."""
    if kind not in WITHOUT_CONTEXT:
        option = acting_annotations.of(config, acting_annotations.CONTEXT_TYPE) or "context"
        yield MOUNT, ops.fsconfig(CONTEXT, option, config["linux"]["mountLabel"])


def mounted(kind: str, tree: int, config: Config) -> Steps:
    """What can be done once it is made."""
    if kind == "mqueue":
        yield MOUNT, ops.set_label(tree, config["linux"]["mountLabel"])


def _wanted(config: Config) -> tuple[str, str]:
    process = config["process"]
    return process.get("apparmorProfile") or "", process.get("selinuxLabel") or ""


def _require(module: str, label: str | None, pointer: str, facts: Facts) -> None:
    if label and module not in facts["security_modules"]:
        raise Error(
            f"{label}: {module} is not enabled on this host",
            pointer,
            "leave it out, or boot with the security module",
        )
