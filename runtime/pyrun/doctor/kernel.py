# SPDX-License-Identifier: Apache-2.0
"""What the kernel is and has: its version, namespaces, programs in memory, /proc, filters, modules
of security, keys."""

from __future__ import annotations

from pyrun import caller
from pyrun.doctor.finding import bad, gap, ok
from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.doctor.finding import Finding
    from pyrun.doctor.host import Host

# The file in /proc/self/ns and the option of the kernel it comes with.
NAMESPACES = {
    "mnt": "",
    "pid": "CONFIG_PID_NS",
    "net": "CONFIG_NET_NS",
    "ipc": "CONFIG_IPC_NS",
    "uts": "CONFIG_UTS_NS",
    "user": "CONFIG_USER_NS",
    "cgroup": "CONFIG_CGROUPS",
    "time": "CONFIG_TIME_NS",
}
ACTIONS = ("kill_process", "errno", "user_notif", "trace", "log", "allow")
KEYS = 200  # the kernel's quota of an ordinary user: keyrings(7)


def version(host: Host) -> Finding:
    """Everything here is built on calls that came with some version."""
    try:
        caller.check_kernel(host.release)
    except Error as error:
        return bad("kernel", f"Linux {host.release}", str(error))
    return ok("kernel", f"Linux {host.release}; 5.14 is enough")


def namespaces(host: Host) -> Finding:
    """The kinds that this kernel was built with."""
    there = host.names("/proc/self/ns")
    if not there:
        return bad("namespaces", "/proc/self/ns is not there", "mount proc on /proc")
    lacking = {kind: option for kind, option in NAMESPACES.items() if kind not in there}
    if lacking:
        options = ", ".join(lacking.values())
        return gap("namespaces", f"no {', '.join(lacking)}", f"the kernel lacks {options}")
    return ok("namespaces", ", ".join(NAMESPACES))


def programs_in_memory(host: Host) -> Finding:
    """The executor runs from a sealed memfd, which a sysctl can forbid."""
    name = "programs in memory"
    value = host.sysctl("vm/memfd_noexec")
    if value == 2:
        return bad(name, "vm.memfd_noexec is 2", "sysctl vm.memfd_noexec=1 (the executor is one)")
    return ok(name, "allowed")


def proc(host: Host) -> Finding:
    """Inside a container, a /proc that is masked keeps new ones from user namespaces."""
    found = [line.split(" ")[4] for line in host.text("/proc/self/mountinfo").splitlines()]
    over = sorted({path for path in found if path.startswith("/proc/")})
    over = [path for path in over if path != "/proc/sys/fs/binfmt_misc"]
    if over:
        return gap(
            "proc",
            f"{len(over)} mounts cover parts of it ({over[0]})",
            "containers with a user namespace get no proc of their own here: start the container"
            " around them with --security-opt unmask=ALL (docker: systempaths=unconfined)",
        )
    return ok("proc", "nothing covers it")


def seccomp(host: Host) -> Finding:
    """Filters: the kernel's part and the library's."""
    there = host.text("/proc/sys/kernel/seccomp/actions_avail").split()
    library = host.libseccomp()
    if not there:
        return gap("seccomp", "not in this kernel", "build it with CONFIG_SECCOMP_FILTER")
    if not library:
        return gap(
            "seccomp",
            "this build of pyrun has no libseccomp",
            "install it with headers (Debian: libseccomp-dev), and build pyrun again",
        )
    lacking = [action for action in ACTIONS if action not in there]
    if lacking:
        return gap("seccomp", f"no action {', '.join(lacking)}", "a newer kernel has them all")
    return ok("seccomp", f"every action; libseccomp {library}")


def labels(host: Host) -> Finding:
    """AppArmor and SELinux, of which a container may have a label."""
    listed = host.text("/sys/kernel/security/lsm").strip().split(",")
    on = []
    if host.text("/sys/module/apparmor/parameters/enabled").startswith("Y"):
        on.append("AppArmor")
    if "selinuxfs" in host.text("/proc/filesystems").split():
        on.append("SELinux")
    if on:
        return ok("labels", " and ".join(on))
    others = f"; on are {', '.join(listed)}" if listed[0] else ""
    return gap(
        "labels",
        f"neither AppArmor nor SELinux is on{others}",
        "a config with apparmorProfile or selinuxLabel is refused: boot with one of them in lsm=",
    )


def landlock(host: Host) -> Finding:
    """For the annotation org.pyrun.landlock."""
    abi = host.landlock()
    if not abi:
        return gap(
            "landlock",
            "not on",
            "org.pyrun.landlock is refused: boot with landlock in lsm= (CONFIG_SECURITY_LANDLOCK)",
        )
    return ok("landlock", f"version {abi}")


def keys(host: Host) -> Finding:
    """Every container has a keyring, which counts for its user."""
    limit = host.sysctl("kernel/keys/root_maxkeys" if host.is_root else "kernel/keys/maxkeys")
    if limit < 0:
        return ok("keys", "this kernel has no keyrings; none are made")
    if limit <= KEYS:
        which = "root_maxkeys" if host.is_root else "maxkeys"
        return gap(
            "keys",
            f"{limit} for each user, and a container takes one",
            f"for more containers: sysctl kernel.keys.{which}=20000, or create --no-new-keyring",
        )
    return ok("keys", f"{limit} for the caller")
