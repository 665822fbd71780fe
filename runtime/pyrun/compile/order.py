# SPDX-License-Identifier: Apache-2.0
"""A container's life on one screen: every rule, in the order in which it takes effect.

To honour one more field of the specification:
 1. write the expected operations as a test in tests/unit/compile/;
 2. add the rule to the file of its noun, here only if it is a new step;
 3. if no operation serves, add one to ops.py and op_<name> to runtime/executor;
 4. take the field off compile/unsupported.py;
 5. name the rule and its test in spec/coverage.toml.
"""

from __future__ import annotations

from pyrun.compile import (
    capabilities,
    devices,
    hooks,
    mounts,
    namespaces,
    paths,
    process,
    rlimits,
    rootfs,
    sysctl,
    terminal,
    uts,
)
from pyrun.compile.donations import donations
from pyrun.compile.slots import LOWEST
from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts, Step

INIT = (
    namespaces.enter,
    namespaces.become_root,  # before anything is made: it shall belong to the container's root
    namespaces.unshare_late,  # as that root, and in the cgroup where the runtime has put us
    process.prepare_labels,  # before the keyring, which gets one; before masks, as sysctl
    namespaces.keyring,
    namespaces.loopback,
    namespaces.net_devices,  # before sysctl, which may set parameters of each device
    uts.set_names,
    sysctl.write,  # before masks: with one on /proc, a user namespace gets no other procfs
    rootfs.prepare,  # before mounts: nothing of them may reach the host
    mounts.mount_all,
    devices.make_all,  # after mounts: a /dev of the config is there by now
    terminal.open_terminal,  # after mounts: in the container's devpts; before masks may cover it
    terminal.bind_console,
    rootfs.make_cwd,  # before the root is read-only
    hooks.runtime_hooks,  # after mounts, before pivot: both views exist
    hooks.create_container,
    mounts.finish,
    paths.make_readonly,
    rootfs.readonly,
    paths.mask,  # before pivot: the null device is the host's
    terminal.hand_over,
    rootfs.pivot,
    rootfs.propagate,
    namespaces.forget_host,
    namespaces.fork_late,  # nothing is left that somebody inside could watch
    terminal.session,  # in the init itself: a terminal is lost with its session's leader
    process.set_umask,
    process.open_cwd,  # as root
    process.find_home,
    process.find_pid,
    process.prepare_landlock,  # as root; after the root is what the rules' paths start at
    hooks.prepare_start,
    rlimits.limit,  # after the last descriptor; as root, for raising takes CAP_SYS_RESOURCE
    process.apply_labels,  # in the init itself, which is found by its pid
    process.affinity,  # in the container's cgroup
    process.memory_policy,  # likewise: nodes are those of its cpuset
    process.personality,
    process.scheduling,  # takes CAP_SYS_NICE; late, for it may slow down what follows
    capabilities.limit,  # needs CAP_SETPCAP
    process.become_user,
    capabilities.apply,
    process.no_new_privileges,
    process.find,  # as the user: may it be executed?
    namespaces.forget_all,
    process.ready,  # `create` ends
    process.await_start,
    hooks.start_container,
    process.landlock,
    process.close,  # CVE-2024-21626
    process.execute,
)


def compile_init(config: Config, facts: Facts) -> list[Step]:
    """The plan of a container's init: (JSON pointer, operation) each. Raises Error."""
    known = {**facts, "donations": donations(config, facts)}
    if len(known["donations"]) + len(mounts.late(config)) > LOWEST:
        raise Error(f"too many mounts and devices: {LOWEST} descriptors must do", "/mounts")
    return [step for rule in INIT for step in rule(config, known)]
