# SPDX-License-Identifier: Apache-2.0
"""Which cgroups a host has, and which of them the caller may divide."""

from __future__ import annotations

from pyrun.cgroup import facts
from pyrun.cgroup.facts import NAMED
from pyrun.doctor.finding import gap, ok

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.doctor.finding import Finding
    from pyrun.doctor.host import Host

UNIFIED = ("cpu", "cpuset", "io", "memory", "pids")
LEGACY = ("blkio", "cpu", "cpuset", "devices", "freezer", "memory", "pids")
BOOT = "boot with systemd.unified_cgroup_hierarchy=1 for version 2"
DELEGATE = (
    "let systemd delegate them: Delegate=cpu cpuset io memory pids in"
    " /etc/systemd/system/user@.service.d/delegate.conf"
)


def known(host: Host) -> dict[str, Any]:
    """The layout and where each hierarchy is, as cgroup.facts has it."""
    mountinfo = host.text("/proc/self/mountinfo")
    return facts.parse(mountinfo, host.text("/proc/self/cgroup"))


def layout(host: Host) -> Finding:
    """The version, and the controllers that limits take."""
    found = known(host)
    kind = found["layout"]
    if kind == "none":
        return gap(
            "cgroups",
            "no hierarchy is mounted",
            "limits are refused: mount -t cgroup2 cgroup2 /sys/fs/cgroup",
        )
    if kind == "v2":
        there = host.text(f"{found['mounts'][''][0]}/cgroup.controllers").split()
        lacking = [name for name in UNIFIED if name not in there]
    else:
        there = [name for name in found["mounts"] if name and not name.startswith("name=")]
        lacking = [name for name in LEGACY if name not in there]
    if lacking:
        return gap(
            "cgroups",
            f"{kind}, without {', '.join(lacking)}",
            "limits of those are refused: see cgroup_disable= and cgroup_no_v1= on the kernel's"
            " command line, and who else holds them",
        )
    if kind != "v2":
        return gap(
            "cgroups",
            f"{kind}: {', '.join(sorted(there))}",
            f"limits of ordinary users take version 2: {BOOT}",
        )
    return ok("cgroups", f"v2: {', '.join(there)}")


def delegation(host: Host) -> Finding:
    """Whether the caller may make cgroups, and with which controllers."""
    found = known(host)
    if found["layout"] == "none":
        return gap(
            "delegation", "there are no cgroups", "containers go without, and without limits"
        )
    if found["layout"] != "v2":
        closed = [
            name
            for name, (mount, _) in sorted(found["mounts"].items())
            if name and not host.writable(mount)
        ]
        if not closed:
            return ok("delegation", "the caller may make cgroups in every hierarchy")
        advice = "limits need them: mount them read-write" if host.is_root else BOOT
        return gap("delegation", f"no writing in {', '.join(closed)}", advice)
    mount = found["mounts"][""][0]
    if host.is_root:
        if host.writable(mount):
            return ok("delegation", f"the caller may make cgroups in {mount}")
        return gap("delegation", f"{mount} is read-only", f"mount -o remount,rw {mount}")
    return _of_user(host, mount, found["own"].get("", "/"))


def _of_user(host: Host, mount: str, own: str) -> Finding:
    """An ordinary user's part of the tree: that of the user's own service manager, or of this
    process."""
    manager = f"/user.slice/user-{host.uid}.slice/user@{host.uid}.service"
    places = [f"{mount}{place}" for place in (manager, own.rstrip("/"))]
    place = next((place for place in places if host.writable(place)), "")
    if not place:
        return gap(
            "delegation",
            "no cgroup is this user's",
            f"limits are refused: {DELEGATE}, and log in by it (loginctl enable-linger)",
        )
    there = host.text(f"{place}/cgroup.controllers").split()
    lacking = [name for name in UNIFIED if name not in there]
    if lacking:
        return gap("delegation", f"{place} without {', '.join(lacking)}", DELEGATE)
    return ok("delegation", f"{place}: {', '.join(there)}")


def systemd(host: Host) -> Finding:
    """For the systemd driver (--systemd-cgroup)."""
    if not host.exists("/run/systemd/system"):
        return gap(
            "systemd",
            "it is not running here",
            "--systemd-cgroup is refused: tell engines to use cgroupfs (podman: cgroup_manager)",
        )
    found = known(host)
    if found["layout"] != "v2" and NAMED not in found["mounts"]:
        return gap("systemd", f"it runs, and its hierarchy {NAMED} is mounted nowhere", BOOT)
    if not host.libsystemd():
        return gap(
            "systemd",
            "this build of pyrun has no libsystemd",
            "install it with headers (Debian: libsystemd-dev), and build pyrun again",
        )
    places = [f"/run/user/{host.uid}/{name}" for name in ("bus", "systemd/private")]
    if not host.is_root and not any(host.exists(place) for place in places):
        return gap(
            "systemd",
            "no bus of this user",
            f"log in by systemd, or loginctl enable-linger {host.user()}",
        )
    return ok("systemd", "it runs, and pyrun can speak with it")
