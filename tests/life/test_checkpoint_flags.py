# SPDX-License-Identifier: Apache-2.0
"""checkpoint and restore: cgroups and limits, files, and rounds before the checkpoint."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import needs
from life import leftovers
from life.bundles import Bundle, bind
from life.checkpoints import Saved, goes_on
from life.runtimes import Container, eventually
from pyrun.cgroup.facts import facts
from pyrun.criu import abilities

pytestmark = needs.needs("criu")
with_peers = pytest.mark.with_peers
differs = pytest.mark.differs(crun="Debian's is built without CRIU")


def places(pid: int) -> set[str]:
    """The cgroups of a process, in the hierarchies that every runtime finds: the kernel may have
    others that are mounted elsewhere."""
    mounts = facts()["mounts"].items()
    known = {name for name, (point, _) in mounts if point.startswith(str(needs.CGROUP))}
    found = set()
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if names.split(",")[0] in known:
            found.add(path)
    return found


@with_peers
@differs
@pytest.mark.parametrize("mode", ["soft", "full", "strict"])
def test_cgroups(saved: Saved, bundle: Bundle, mode: str) -> None:
    """Whatever CRIU does about them, all processes are in the container's in the end."""
    in_its_cgroup(saved, bundle, mode)


@pytest.mark.parametrize("namespace", [True, False])
def test_ignored_cgroups(saved: Saved, bundle: Bundle, namespace: bool) -> None:
    if not namespace:
        bundle.namespaces("pid", "network", "ipc", "uts", "mount")
    in_its_cgroup(saved, bundle, "ignore")


def in_its_cgroup(saved: Saved, bundle: Bundle, mode: str) -> None:
    """Saves and restores in a mode of --manage-cgroups-mode."""
    flag = f"--manage-cgroups-mode={mode}"
    first = saved.start("count-piped")
    first.lines(2)
    saved.saved(flag)
    before = first.rest()
    assert goes_on(before, saved.restored(flag).lines(2))
    pid = saved.container.pid
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    name = bundle.linux["cgroupsPath"]
    for process in (pid, int(child)):
        assert all(place.endswith(name) for place in places(process)), places(process)


def test_another_cgroup(saved: Saved, bundle: Bundle) -> None:
    """That of the config that it is restored with."""
    saved.start("count").lines(1)
    saved.saved()
    bundle.linux["cgroupsPath"] += "-other"
    bundle.save()
    saved.restored().lines(1)
    name = bundle.linux["cgroupsPath"]
    assert all(place.endswith(name) for place in places(saved.container.pid))
    assert not [place for place in leftovers.cgroups() if not place.endswith("-other")]


@needs.needs("systemd", "cgroup_v2")
def test_systemd(saved: Saved, bundle: Bundle) -> None:
    """A scope of systemd's, with the limits of the config, before and after."""
    name = saved.container.id
    bundle.linux["cgroupsPath"] = f"pyrunlife.slice:pyrun:{name}"
    bundle.linux["resources"] |= {"pids": {"limit": 7}}
    flag = "--systemd-cgroup"
    first = saved.start("count-piped", flags=(flag,))
    first.lines(2)
    saved.saved()
    before = first.rest()
    assert goes_on(before, saved.restored(flag).lines(2))
    scope = f"/pyrunlife.slice/pyrun-{name}.scope"
    assert places(saved.container.pid) == {scope}
    assert Path(f"/sys/fs/cgroup{scope}/pids.max").read_text() == "7\n"
    saved.container.delete("--force")
    assert not Path(f"/sys/fs/cgroup{scope}").exists()


@needs.needs("cgroup_v2")
def test_limits_of_the_unified_hierarchy(saved: Saved, bundle: Bundle) -> None:
    bundle.linux["resources"] |= {"memory": {"limit": 8 << 20}, "pids": {"limit": 3}}
    first = saved.start("count-piped")
    first.lines(2)
    saved.saved()
    before = first.rest()
    assert goes_on(before, saved.restored().lines(2))
    (place,) = places(saved.container.pid)
    assert Path(f"/sys/fs/cgroup{place}/memory.max").read_text() == f"{8 << 20}\n"
    assert Path(f"/sys/fs/cgroup{place}/pids.max").read_text() == "3\n"


@needs.needs("cgroup_v1_controllers")
def test_limits(saved: Saved, bundle: Bundle) -> None:
    """Those of the config, and a small one is no obstacle for CRIU."""
    bundle.linux["resources"] |= {"memory": {"limit": 4 << 20}, "pids": {"limit": 3}}
    first = saved.start("count-piped")
    first.lines(2)
    saved.saved()
    before = first.rest()
    bundle.linux["resources"]["pids"] = {"limit": 7}
    bundle.save()
    assert goes_on(before, saved.restored().lines(2))
    (memory,) = (p for p in leftovers.cgroups() if "/memory/" in p)
    assert (Path(memory) / "memory.limit_in_bytes").read_text() == f"{4 << 20}\n"
    (pids,) = (p for p in leftovers.cgroups() if "/pids/" in p)
    assert (Path(pids) / "pids.max").read_text() == "7\n"


def test_nothing_of_criu_is_left(saved: Saved) -> None:
    """Its own cgroup is gone, and its process."""
    saved.start("count").lines(1)
    saved.saved()
    saved.restored().lines(1)
    name = f"pyrun-restore.{saved.container.id}"
    for place in leftovers.hierarchies():
        assert not [folder for folder, _, _ in os.walk(place) if folder.endswith(name)]


def test_paused(saved: Saved) -> None:
    """One that stands still can be saved; it runs when it is restored, as with runc."""
    container = saved.container
    first = saved.start("count")
    first.lines(2)
    assert container.runtime("pause", container.id).code == 0
    saved.saved("--leave-running")
    assert container.status() == "paused"
    saved.saved()
    before = first.rest()
    assert goes_on(before, saved.restored().lines(2))


@with_peers
@differs
def test_file_locks(saved: Saved) -> None:
    """Only when asked for."""
    first = saved.start("count-file /data/file lock")
    first.lines(2)
    result = saved.checkpoint()
    assert result.code == 1
    first.lines(2)
    saved.saved("--file-locks")
    before = first.rest()
    assert goes_on(before, saved.restored("--file-locks").lines(2))
    lock = saved.container.bundle.rootfs / "data/file"
    done = subprocess.run(["flock", "--nonblock", lock, "true"], check=False)
    assert done.returncode == 1, "it is held again"


@with_peers
@differs
def test_removed_file(saved: Saved) -> None:
    first = saved.start("count-file /data/file remove")
    first.lines(2)
    saved.saved()
    before = first.rest()
    assert goes_on(before, saved.restored().lines(2))


def test_link_remap(saved: Saved, bundle: Bundle) -> None:
    """A file that has lost the name by which it was opened, but has another one."""
    bundle.file("data/file", "")
    os.link(bundle.rootfs / "data/file", bundle.rootfs / "data/other")
    first = saved.start("count-file /data/file remove")
    first.lines(2)
    result = saved.checkpoint()
    assert result.code == 1
    assert "--link-remap" in result.err
    saved.saved("--link-remap")
    before = first.rest()
    assert goes_on(before, saved.restored().lines(2))


def test_again_and_again(saved: Saved) -> None:
    """A restored container can be saved as well."""
    outputs = []
    pipe = saved.start("count")
    for _ in range(3):
        pipe.lines(2)
        saved.saved()
        outputs.append(pipe.rest())
        pipe = saved.restored()
    assert goes_on(*outputs, pipe.lines(2))


def test_two_containers_of_the_same_images(
    saved: Saved, make_container: type[Container], bundle: Bundle
) -> None:
    first = saved.start("count")
    first.lines(2)
    saved.saved()
    before = first.rest()
    other = Saved(make_container())
    other.container.bundle.say("count")
    other.container.bundle.save()
    try:
        other.images = saved.images
        assert goes_on(before, saved.restored().lines(2))
        assert goes_on(before, other.restored().lines(2))
        assert saved.container.pid != other.container.pid
    finally:
        other.close()


def test_pre_dump(saved: Saved) -> None:
    """Rounds of memory, and the checkpoint on top of them; where the kernel can't, it says so."""
    first = saved.start("count")
    first.lines(2)
    images, saved.images = saved.images, saved.images.with_name("images-1")
    result = saved.checkpoint("--pre-dump")
    if "pre-dump" in abilities.features_lacking():
        assert result.code == 1
        assert "--pre-dump: not on this host" in result.err
        assert "CONFIG_MEM_SOFT_DIRTY" in result.err
        assert goes_on(first.lines(2))
        needs.excuse("no soft-dirty tracking")
    assert result.code == 0, (result, saved.log("dump.log"))
    assert goes_on(first.lines(2))
    saved.images = saved.images.with_name("images-2")
    assert saved.checkpoint("--pre-dump", "--parent-path", "../images-1").code == 0
    saved.images = images
    saved.saved("--parent-path", "../images-2")
    before = first.rest()
    assert goes_on(before, saved.restored().lines(2))


def test_page_server(saved: Saved) -> None:
    """The memory goes to another process, into another folder."""
    first = saved.start("count")
    first.lines(2)
    saved.images.mkdir()
    words = ["criu", "page-server", "-D", saved.images, "--address", "127.0.0.1", "--port", "27100"]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    assert eventually(lambda: ":69DC " in Path("/proc/net/tcp").read_text())
    saved.saved("--page-server", "127.0.0.1:27100")
    assert server.wait(10) == 0
    before = first.rest()
    assert goes_on(before, saved.restored().lines(2))


def test_auto_dedup(saved: Saved) -> None:
    """What is restored takes no room in the images any more."""
    first = saved.start("count")
    first.lines(2)
    saved.saved("--auto-dedup")
    pages = saved.images / "pages-1.img"
    taken, size = pages.stat().st_blocks, pages.stat().st_size
    assert taken > 0
    before = first.rest()
    assert goes_on(before, saved.restored("--auto-dedup").lines(2))
    assert pages.stat().st_blocks < taken
    assert pages.stat().st_size == size


def test_context_of_mounts(saved: Saved) -> None:
    """It is for mounts that have one, under SELinux: others stay as they were."""
    first = saved.start("count")
    first.lines(2)
    saved.saved()
    before = first.rest()
    context = "system_u:object_r:container_file_t:s0"
    assert goes_on(before, saved.restored("--lsm-mount-context", context).lines(2))


@pytest.mark.parametrize("verb", ["checkpoint", "restore"])
def test_help(container: Container, verb: str) -> None:
    """podman looks whether there is such a verb, and for the names of flags in its help."""
    result = container.runtime(verb, "--help")
    assert result.code == 0
    for flag in ("--image-path", "--work-path", "--tcp-established", "--file-locks"):
        assert flag in result.out
    if verb == "restore":
        result = container.runtime("restore", "--lsm-mount-context")
        assert result.code == 1
        assert "flag needs an argument" in result.err


def test_one_dash(saved: Saved) -> None:
    """As containerd passes it."""
    saved.start("count").lines(1)
    saved.saved()
    saved.restored("-no-subreaper").lines(1)


def test_options_of_criu(saved: Saved, bundle: Bundle, allow: Callable[..., None]) -> None:
    """By the annotation; a file of the image, or of anybody else, is not read."""
    allow("org.criu.config")
    path = saved.container.bundle.path / "criu.conf"
    path.write_text("tcp-established\n")
    os.chmod(path, 0o644)
    bundle.config["annotations"] = {"org.criu.config": str(path)}
    first = saved.start("count-tcp")
    first.lines(2)
    os.chmod(path, 0o666)
    result = saved.checkpoint()
    assert result.code == 1
    assert "others than root may write" in result.err
    os.chmod(path, 0o644)
    saved.saved()
    before = first.rest()
    assert goes_on(before, saved.restored().lines(2))


@pytest.mark.parametrize("kind", ["idmap", "root", "layers", "host mounts"])
def test_what_cannot_be_saved(saved: Saved, bundle: Bundle, kind: str) -> None:
    """It is refused by name, and goes on."""
    if kind == "idmap":
        entry = bind(bundle.path / "rootfs", "/data", "bind", "idmap")
        entry["uidMappings"] = entry["gidMappings"] = [
            {"containerID": 0, "hostID": 1000, "size": 1000}
        ]
        bundle.config["mounts"].append(entry)
    elif kind == "root":
        bundle.config["mounts"].insert(0, bind(bundle.rootfs, "/"))
    elif kind == "host mounts":
        bundle.namespaces("pid", "ipc", "uts")
        bundle.config["mounts"] = []
    flags = ("--ephemeral",) if kind == "layers" else ()
    pipe = saved.start("count", flags=flags)
    pipe.lines(1)
    result = saved.checkpoint()
    assert result.code == 1
    assert "can't be checkpointed" in result.err
    assert goes_on(pipe.lines(2))
