# SPDX-License-Identifier: Apache-2.0
"""process: who it is, where it starts, and the program itself."""

from __future__ import annotations

import errno

from pyrun import ops, sync
from pyrun.compile import capabilities
from pyrun.compile.capabilities import LANDLOCK
from pyrun.compile.donations import slot_of
from pyrun.compile.seccomp import NEW_LISTENER
from pyrun.compile.seccomp import ROOT as SECCOMP
from pyrun.compile.slots import CWD
from pyrun.errors import Error
from pyrun.linux import PR_SET_KEEPCAPS, PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts, Steps

DEFAULT_UMASK = 0o022
PERSONALITIES = {"LINUX": 0, "LINUX32": 8}  # sys/personality.h: PER_*

# What the init calls when a filter with a listener is in force (docs/decisions/0007).
TAKEN = "write, recvmsg, read, close, close_range, execve, and capset without noNewPrivileges"


def open_cwd(config: Config, facts: Facts) -> Steps:
    """As root; where root may not go (a network file system), enter_cwd tries as the user."""
    op = ops.open_cwd(config["process"]["cwd"], CWD)
    yield "/process/cwd", ops.tolerate(errno.EACCES, op)


def become_user(config: Config, facts: Facts) -> Steps:
    """Groups while we may still set them; then the user, keeping capabilities for `apply`."""
    user = config["process"].get("user") or {}
    yield "/process/user", ops.prctl(PR_SET_KEEPCAPS, 1)
    if (config.get("annotations") or {}).get("run.oci.keep_original_groups", "0") != "0":
        pass  # the caller's, whatever the config lists: compile/acting_annotations.py, guarded
    elif facts["may_setgroups"]:
        # Also without any: the caller's groups are not the container's (CVE-2022-2990).
        groups = user.get("additionalGids") or []
        gids = b"".join(gid.to_bytes(4, facts["byteorder"]) for gid in groups)
        yield "/process/user/additionalGids", ops.setgroups(gids)
    elif user.get("additionalGids"):
        raise Error(
            "setgroups is not allowed in this user namespace",
            "/process/user/additionalGids",
            "map a range of groups (/etc/subgid) in linux.gidMappings, or leave them out",
        )
    yield "/process/user/gid", ops.setresgid(user.get("gid") or 0)
    yield "/process/user/uid", ops.setresuid(user.get("uid") or 0)
    yield "/process/cwd", ops.enter_cwd(config["process"]["cwd"], CWD)
    yield "/process/user", ops.prctl(PR_SET_KEEPCAPS, 0)


def set_umask(config: Config, facts: Facts) -> Steps:
    """process.user.umask, else the usual one."""
    mode = (config["process"].get("user") or {}).get("umask")
    yield "/process/user/umask", ops.umask(DEFAULT_UMASK if mode is None else mode)


def affinity(config: Config, facts: Facts) -> Steps:
    """The CPUs are those of the container's cpuset, not those that the caller runs on: since Linux
    6.2 a process keeps the caller's choice when it changes its cgroup. (execCPUAffinity is not for
    the init.)"""
    yield "", ops.reset_affinity()


def scheduling(config: Config, facts: Facts) -> Steps:
    """process.scheduler and process.ioPriority."""
    process = config["process"]
    if process.get("scheduler") or process.get("ioPriority"):
        from pyrun.compile import scheduling as rules  # rare

        yield from rules.apply(config, facts)


def labelled(config: Config) -> bool:
    """Whether a security module is to confine the process."""
    process = config["process"]
    return bool(process.get("apparmorProfile") or process.get("selinuxLabel"))


def prepare_labels(config: Config, facts: Facts) -> Steps:
    """Where process.apparmorProfile and process.selinuxLabel will be written; and whether they, and
    linux.mountLabel, mean anything here."""
    if labelled(config) or (config.get("linux") or {}).get("mountLabel"):
        from pyrun.compile import labels  # rare

        yield from labels.prepare(config, facts)


def apply_labels(config: Config, facts: Facts) -> Steps:
    """Those of the next program: startContainer hooks are programs of the container, too."""
    if labelled(config):
        from pyrun.compile import labels  # rare

        yield from labels.apply(config, facts)


def memory_policy(config: Config, facts: Facts) -> Steps:
    """linux.memoryPolicy."""
    if (config.get("linux") or {}).get("memoryPolicy"):
        from pyrun.compile import memory_policy as rules  # rare

        yield from rules.apply(config, facts)


def personality(config: Config, facts: Facts) -> Steps:
    """linux.personality: with LINUX32, uname(2) tells of a 32-bit machine."""
    wanted = (config.get("linux") or {}).get("personality")
    if wanted:
        yield "/linux/personality", ops.personality(PERSONALITIES[wanted["domain"]])


def no_new_privileges(config: Config, facts: Facts) -> Steps:
    """prctl(2): no program started from here gains anything by its file."""
    if config["process"].get("noNewPrivileges"):
        yield "/process/noNewPrivileges", ops.prctl(PR_SET_NO_NEW_PRIVS, 1)


def landlocked(config: Config) -> bool:
    """Whether Landlock rules are to confine the process."""
    return LANDLOCK in (config.get("annotations") or ())


def prepare_landlock(config: Config, facts: Facts) -> Steps:
    """Its rules, of paths that only root may be able to open."""
    if landlocked(config):
        from pyrun.compile import landlock  # rare

        yield from landlock.prepare(config, facts)


def landlock(config: Config, facts: Facts) -> Steps:
    """After hooks, which the rules are not for; before what the filter may forbid."""
    if landlocked(config) and not has_listener(facts):
        yield from _restrict(config, facts)


def _restrict(config: Config, facts: Facts) -> Steps:
    from pyrun.compile import landlock  # rare

    yield from landlock.restrict(config, facts)


def environment(config: Config, facts: Facts) -> list[str]:
    """process.env, the last of a name wins; HOME= is a place for find_home, LISTEN_PID= for
    find_pid."""
    values = {}
    for entry in config["process"].get("env") or []:
        name, _, value = entry.partition("=")
        values[name] = value
    for name, value in facts["extra_env"]:
        values[name] = value
    if not values.get("HOME"):
        values.pop("HOME", None)
        values["HOME"] = ""
    return [f"{name}={value}" for name, value in values.items()]


def candidates(config: Config) -> list[str]:
    """Where the program may be: args[0] itself if it has a slash, else in each folder of PATH."""
    name: str = config["process"]["args"][0]
    if "/" in name:
        return [name]
    path = ""
    for entry in config["process"].get("env") or []:
        if entry.startswith("PATH="):
            path = entry[5:]
    return [f"{folder}/{name}" for folder in path.split(":") if folder.startswith("/") and name]


def find_home(config: Config, facts: Facts) -> Steps:
    """Before limits: it opens a file."""
    if "HOME=" in environment(config, facts):
        uid = (config["process"].get("user") or {}).get("uid") or 0
        yield "/process/env", ops.find_home(uid)


def find_pid(config: Config, facts: Facts) -> Steps:
    """As the process itself knows it, where descriptors of socket activation are handed on to it:
    1 in a pid namespace of its own, and nobody knows before in another one."""
    if ("LISTEN_PID", "") in facts["extra_env"]:
        yield "/process/env", ops.find_pid()


def find(config: Config, facts: Facts) -> Steps:
    """While `create` can still say that there is no such program."""
    yield "/process/args/0", ops.find_executable(candidates(config))


def ready(config: Config, facts: Facts) -> Steps:
    """From here the container does without whoever created it."""
    yield "", ops.prctl(PR_SET_PDEATHSIG, 0)
    if has_listener(facts):
        if landlocked(config):
            yield from _restrict(config, facts)
        # Now, while there is a runtime that can hand the listener to the agent.
        # docs/decisions/0007 tells what a profile has to allow for that.
        program = facts["seccomp"]
        yield SECCOMP, ops.seccomp_listen(facts["seccomp_flags"], program, sync.LISTENER)
        yield from capabilities.settle(config, facts)
    yield "", ops.sync(sync.READY)


def await_start(config: Config, facts: Facts) -> Steps:
    """Until somebody starts the program: `start`, or the runtime that created us (`run`)."""
    if facts["fifo"]:
        yield "", ops.report_to(slot_of(facts, "result"))
        yield "", ops.wait_start(slot_of(facts, "fifo"))
    else:
        yield "", ops.sync(sync.START)


def has_listener(facts: Facts) -> bool:
    """Whether the profile hands system calls to an agent (SCMP_ACT_NOTIFY)."""
    return bool(facts["seccomp_flags"] & NEW_LISTENER)


def close(config: Config, facts: Facts) -> Steps:
    """Whatever was meant for us only (CVE-2024-21626)."""
    yield "", ops.close_others(3 + facts["preserve_fds"])


def execute(config: Config, facts: Facts) -> Steps:
    """Nothing but execve(2) follows the filter, so the profile needs to allow nothing for us:
    except capset(2) without noNewPrivileges, to give up what loading the filter took."""
    if facts["seccomp"] and not has_listener(facts):
        yield SECCOMP, ops.seccomp(facts["seccomp_flags"], facts["seccomp"])
        yield from capabilities.settle(config, facts)
    yield "/process/args", ops.execve(config["process"]["args"], environment(config, facts))
