# SPDX-License-Identifier: Apache-2.0
"""What user namespaces, and ordinary users with containers, need of a host."""

from __future__ import annotations

from pyrun import idmaps
from pyrun.doctor.finding import bad, gap, ok
from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.doctor.finding import Finding
    from pyrun.doctor.host import Host

ENOUGH = 65536  # ids, as images use them
# A sysctl, the value that forbids user namespaces to ordinary users, and how to set it.
SWITCHES = {
    "kernel/unprivileged_userns_clone": (0, "sysctl kernel.unprivileged_userns_clone=1"),
    "kernel/apparmor_restrict_unprivileged_userns": (
        1,
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or a profile for pyrun with userns",
    ),
}


def user_namespaces(host: Host) -> Finding:
    """Root can do without, nobody else can."""
    name = "user namespaces"
    lacking = gap if host.is_root else bad
    most = host.sysctl("user/max_user_namespaces")
    if most == 0:
        return lacking(
            name, "user.max_user_namespaces is 0", "sysctl user.max_user_namespaces=65536"
        )
    for sysctl, (forbids, advice) in SWITCHES.items():
        if host.sysctl(sysctl) == forbids:
            return lacking(name, f"not for ordinary users ({sysctl.replace('/', '.')})", advice)
    answer = host.new_user_namespace()
    if answer:
        advice = (
            "a seccomp filter or a security module around pyrun may forbid it: see the log of audit"
        )
        return lacking(name, f"the kernel says: {answer}", advice)
    return ok(name, "anybody may make them")


def subordinate_ids(host: Host) -> Finding:
    """The ranges of ids that newuidmap(1) maps for an ordinary user."""
    name = "subordinate ids"
    helpers = {tool: _helper(host, tool) for tool in ("newuidmap", "newgidmap")}
    absent = [tool for tool, path in helpers.items() if not path]
    if absent:
        return gap(
            name,
            f"no {' and no '.join(absent)}",
            "ordinary users can map their own id alone: install them (Debian: the package uidmap)",
        )
    if host.is_root:
        owners = len({line.partition(":")[0] for line in host.text("/etc/subuid").splitlines()})
        return ok(name, f"for ordinary users: {owners} have ranges in /etc/subuid")
    for file in ("subuid", "subgid"):
        count = _ids(host, file)
        if count < ENOUGH:
            user = host.user()
            return gap(
                name,
                f"{user} has {count} in /etc/{file}",
                f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}",
            )
    return ok(name, f"{_ids(host, 'subuid')} uids, {_ids(host, 'subgid')} gids")


def _helper(host: Host, tool: str) -> str:
    """Where pyrun looks for it."""
    folders = (f"{folder}/{tool}" for folder in idmaps.HELPER_FOLDERS)
    return next((path for path in folders if host.exists(path)), "")


def _ids(host: Host, file: str) -> int:
    """The longest range of the caller: subuid(5)."""
    longest = 0
    for line in host.text(f"/etc/{file}").splitlines():
        owner, _, rest = line.partition(":")
        count = rest.rpartition(":")[2]
        if owner in (host.user(), str(host.uid)) and count.isdigit():
            longest = max(longest, int(count))
    return longest


def state_folder(host: Host) -> Finding:
    """Where what is known of containers is kept: the caller's alone."""
    name = "state folder"
    try:
        path = host.state_folder()
    except Error as error:
        return bad(name, error.message, error.hint)
    status = host.status(path)
    if status is None:
        above = path
        while above not in ("/", "") and not host.exists(above):
            above = above.rpartition("/")[0] or "/"
        if not host.writable(above):
            return bad(
                name, f"{path} can't be made in {above}", "pass --root DIR, a folder of yours"
            )
        return ok(name, f"{path}, made when it is needed")
    if status.st_uid != host.uid or status.st_mode & 0o077:
        mode = status.st_mode & 0o7777
        return bad(
            name,
            f"{path} belongs to uid {status.st_uid}, mode {mode:04o}",
            "it must be the caller's alone, mode 0700: mend that, or pass --root DIR",
        )
    return ok(name, path)
