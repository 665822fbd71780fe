# SPDX-License-Identifier: Apache-2.0
"""The life of a process that `exec` brings into a container, up to its program: every rule, in the
order in which it takes effect. The same rules as the init's (order.py) wherever it is the same."""

from __future__ import annotations

from pyrun.compile import capabilities, joining, namespaces, process, rlimits, terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts, Step

EXEC = (
    joining.hide,
    joining.prepare_labels,
    joining.join,
    namespaces.become_root,  # of the user namespace: it owns the terminal, and may do what follows
    namespaces.keyring,  # the container's, by its name
    terminal.open_terminal,
    terminal.hand_over,
    joining.forget_outside,
    namespaces.fork_late,  # into the pid namespace: from here on somebody inside can watch
    terminal.session,
    joining.set_umask,
    process.open_cwd,  # as root
    process.find_home,
    process.find_pid,
    process.prepare_landlock,  # as root
    rlimits.limit,  # after the last descriptor; as root, for raising takes CAP_SYS_RESOURCE
    process.apply_labels,  # in the process itself, which is found by its pid
    joining.affinity,
    process.memory_policy,
    process.personality,
    process.scheduling,  # late, for it may slow down what follows
    capabilities.limit,  # needs CAP_SETPCAP
    process.become_user,
    capabilities.apply,
    process.no_new_privileges,
    process.find,  # as the user: may it be executed?
    joining.forget_all,
    process.ready,  # the runtime sets limits, tells the pid, and lets go
    process.landlock,
    process.close,  # CVE-2024-21626
    process.execute,
)


def compile_exec(config: Config, facts: Facts) -> list[Step]:
    """The plan of a process that joins: (JSON pointer, operation) each. Raises Error."""
    known = {**facts, "donations": joining.donations(config, facts)}
    return [step for rule in EXEC for step in rule(config, known)]
