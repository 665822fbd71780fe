# SPDX-License-Identifier: Apache-2.0
"""procfs, sysfs and cgroups: where they may go, what may cover them, whose they show."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from life import leftovers
from life.bundles import CLOSED, Bundle, bind, mount
from life.mountinfo import mounts
from life.runtimes import Container
from needs import excuse, needs

pytestmark = pytest.mark.warmed
with_peers = pytest.mark.with_peers
differs = pytest.mark.differs
on_v1 = needs("cgroup_v1_controllers")

HOST = Path("/sys/fs/cgroup")
PLACE = "/sys/fs/cgroup"
# What lxcfs covers, and nested runtimes.
COVERED = ("cpuinfo", "diskstats", "loadavg", "meminfo", "stat", "swaps", "uptime")


@pytest.fixture
def text(bundle: Bundle) -> Path:
    """A file to bind."""
    path = bundle.path / "text"
    path.write_text("text")
    return path


def refused(container: Container) -> str:
    """The error of a container that must not start."""
    result = container.run("print RAN")
    assert result.code == 1, result
    assert "RAN" not in result.out
    return result.err


# ---- procfs ----


@with_peers
@pytest.mark.parametrize("mapped", [False, True], ids=["", "userns"])
def test_proc_shows_the_pid_namespace(container: Container, bundle: Bundle, mapped: bool) -> None:
    if mapped:
        bundle.map_ids()
    names, table = container.ask("ls /proc", "mounts")
    assert [name for name in names.splitlines() if name.isdigit()] == ["1"]
    assert mounts(table)["/proc"].kind == "proc"
    assert mounts(table)["/proc"].options >= {"nosuid", "noexec", "nodev"}


@with_peers
def test_proc_takes_its_own_options(container: Container, bundle: Bundle) -> None:
    bundle.mount("/proc")["options"] = [*CLOSED, "hidepid=2", "ro"]
    table, write = container.ask("mounts", "write /proc/self/comm x")
    found = mounts(table)["/proc"]
    assert found.data & {"hidepid=2", "hidepid=invisible"}
    assert write == "error: EROFS"


@with_peers
def test_files_of_proc_that_may_be_covered(
    container: Container, bundle: Bundle, text: Path
) -> None:
    files = [f"/proc/{name}" for name in COVERED]
    bundle.config["mounts"] += [bind(text, path) for path in files]
    assert container.ask(*(f"cat {path}" for path in files)) == ["text"] * len(files)


@differs(crun="1.8 covers what it is told to")
@pytest.mark.parametrize("path", ["/proc/self/comm", "/proc/sys/kernel/hostname", "/proc/1/attr"])
def test_files_of_proc_that_may_not_be_covered(
    container: Container, bundle: Bundle, text: Path, path: str
) -> None:
    bundle.config["mounts"].append(bind(text, path))
    assert "/proc" in refused(container)


@pytest.mark.differs(crun="1.8 covers what it is told to")
@pytest.mark.parametrize("path", ["/proc/../proc/self/comm", "proc/self/comm", "/proc//self/comm"])
def test_other_names_of_such_files(
    container: Container, bundle: Bundle, text: Path, path: str
) -> None:
    bundle.config["mounts"].append(bind(text, path))
    assert "/proc" in refused(container)


@pytest.mark.differs(crun="1.8 covers what it is told to")
def test_a_link_to_such_a_file(container: Container, bundle: Bundle, text: Path) -> None:
    """The image's link leads into its /proc."""
    (bundle.rootfs / "way").symlink_to("/proc/self/attr/exec")
    bundle.config["mounts"].append(bind(text, "/way"))
    assert "/proc" in refused(container)


@with_peers
@pytest.mark.parametrize("name", ["proc", "sys"])
def test_a_place_that_is_no_directory(container: Container, bundle: Bundle, name: str) -> None:
    (bundle.rootfs / name).rmdir()
    (bundle.rootfs / name).write_text("")
    error = refused(container).lower()
    assert any(words in error for words in ("not a directory", "ordinary directory", "is not"))


@pytest.mark.pyrun_only("the text")
@pytest.mark.parametrize(("name", "kind"), [("proc", "proc"), ("sys", "sysfs")])
def test_a_directory_on_the_way_that_is_a_link(
    container: Container, bundle: Bundle, name: str, kind: str
) -> None:
    (bundle.rootfs / "way").symlink_to("/data")
    bundle.config["mounts"].append(mount(f"/way/{name}", kind))
    assert "symbolic link" in refused(container)


# ---- sysfs ----


@with_peers
@pytest.mark.parametrize("mapped", [False, True], ids=["", "userns"])
def test_sys_shows_the_network_namespace(
    container: Container, bundle: Bundle, mapped: bool
) -> None:
    if mapped:
        bundle.map_ids()
    names, table = container.ask("ls /sys/class/net", "mounts")
    assert names.splitlines()[-1] == "lo"
    assert mounts(table)["/sys"].kind == "sysfs"
    assert "ro" in mounts(table)["/sys"].options


@pytest.mark.pyrun_only("the hint")
def test_sys_of_the_host_in_a_user_namespace(container: Container, bundle: Bundle) -> None:
    """The kernel mounts it only for the owner of the network namespace; a bind will do."""
    bundle.map_ids()
    bundle.linux["namespaces"] = [e for e in bundle.linux["namespaces"] if e["type"] != "network"]
    assert "network for sysfs" in refused(container)
    bundle.without_mount("/sys")
    bundle.config["mounts"].append(bind("/sys", "/sys", "rbind", "ro", *CLOSED))
    assert container.ask("ls /sys/class/net")[0].splitlines() == sorted(
        os.listdir("/sys/class/net")
    )


# ---- cgroups, as v1 and hybrid hosts have them ----


def hierarchies() -> dict[str, str]:
    """The v1 hierarchies of this host: their directory, and one of their controllers or names."""
    found = {}
    for place in leftovers.hierarchies():
        if place.name != "unified" and place.parent == HOST:
            found[place.name] = place.name.partition(",")[0]
    return found or excuse("no v1 hierarchies where engines look for them")


def cgroup_mount(bundle: Bundle, *options: str) -> None:
    bundle.config["mounts"].append(mount(PLACE, "cgroup", *CLOSED, "relatime", *options))


@on_v1
@with_peers
@pytest.mark.parametrize("own", [True, False], ids=["", "of the host"])
def test_each_hierarchy_shows_the_containers_cgroup(
    container: Container, bundle: Bundle, own: bool
) -> None:
    """With a cgroup namespace it is the root of a mount of its own, else it is bound."""
    if not own:
        bundle.namespaces("pid", "network", "ipc", "uts", "mount")
    cgroup_mount(bundle, "ro")
    names = list(hierarchies())
    listed, table, *members = container.ask(
        f"ls {PLACE}", "mounts", *(f"cat {PLACE}/{name}/cgroup.procs" for name in names)
    )
    assert set(listed.splitlines()) >= set(names)
    assert members == ["1"] * len(names)
    found = mounts(table)
    for name in names:
        assert found[f"{PLACE}/{name}"].kind == "cgroup"
        assert found[f"{PLACE}/{name}"].root == (
            "/" if own else f"/{leftovers.PARENT}/{container.id}"
        )


@on_v1
@pytest.mark.differs(runc="1.1 leaves their folder writable", crun="1.8 the same")
def test_readonly_hierarchies(container: Container, bundle: Bundle) -> None:
    cgroup_mount(bundle, "ro")
    table, folder, file = container.ask(
        "mounts", f"mkdir {PLACE}/pids/x", f"write {PLACE}/pids/pids.max 5"
    )
    assert (folder, file) == ("error: EROFS", "error: EROFS")
    found = mounts(table)
    for name in ("", *(f"/{name}" for name in hierarchies())):
        assert found[f"{PLACE}{name}"].options >= {"ro", "nosuid", "noexec", "nodev"}


@on_v1
@pytest.mark.parametrize("own", [True, False], ids=["", "of the host"])
def test_writable_hierarchies(container: Container, bundle: Bundle, own: bool) -> None:
    """For a systemd inside; delete takes what it has made there."""
    if not own:
        bundle.namespaces("pid", "network", "ipc", "uts", "mount")
    cgroup_mount(bundle)
    assert container.ask(f"mkdir {PLACE}/pids/x", f"ls {PLACE}/pids/x")[0] == "ok"


@on_v1
def test_hierarchies_in_a_user_namespace(container: Container, bundle: Bundle) -> None:
    """Seen, but root's own: nothing was delegated."""
    bundle.map_ids()
    cgroup_mount(bundle)
    members, folder = container.ask(f"cat {PLACE}/pids/cgroup.procs", f"mkdir {PLACE}/pids/x")
    assert (members, folder) == ("1", "error: EACCES")


@needs("cgroup_hybrid")
@pytest.mark.pyrun_only("runc 1.1 and crun 1.8 know no such type")
def test_the_unified_tree_of_a_hybrid_host(container: Container, bundle: Bundle) -> None:
    """Type cgroup2 asks for it, as type cgroup asks for what engines expect of this host."""
    bundle.config["mounts"].append(mount("/data", "cgroup2", *CLOSED, "ro"))
    members, table = container.ask("cat /data/cgroup.procs", "mounts")
    assert members == "1"
    assert (mounts(table)["/data"].kind, mounts(table)["/data"].root) == ("cgroup2", "/")


# The hybrid host without its v2 tree.
V1_ALONE = 'mount --make-rprivate / && umount -l /sys/fs/cgroup/unified && exec "$@"'


@needs("cgroup_hybrid")
@pytest.mark.pyrun_only("the host's own view is not changed for the peers")
@pytest.mark.parametrize("own", [True, False], ids=["", "of the host"])
def test_hierarchies_of_a_v1_host(container: Container, bundle: Bundle, own: bool) -> None:
    if not own:
        bundle.namespaces("pid", "network", "ipc", "uts", "mount")
    cgroup_mount(bundle, "ro")
    prefix = ["unshare", "-m", "sh", "-c", V1_ALONE, "sh"]
    names = list(hierarchies())
    verbs = [f"cat {PLACE}/{name}/cgroup.procs" for name in names]
    listed, *members = container.ask(f"ls {PLACE}", *verbs, prefix=prefix)
    assert set(listed.splitlines()) == set(names)
    assert members == ["1"] * len(names)
