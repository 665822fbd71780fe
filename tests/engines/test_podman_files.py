# SPDX-License-Identifier: Apache-2.0
"""The file systems that podman gives a container: read-only, tmpfs, binds, volumes, propagation."""

from __future__ import annotations

import pytest

from needs import needs

from .pairs import Pair
from .podman import Podman

pytestmark = needs("root", "busybox", "podman", "runc", "crun")
Both = Pair[Podman]


def options(podman: Podman, place: str, *flags: str) -> list[str]:
    """Options of what is mounted there, as the container sees them."""
    line = podman.sees(*flags, "--", "grep", f" {place} ", "/proc/self/mounts")
    return line.split()[3].split(",")


def test_read_only_with_places_to_write(both: Both) -> None:
    def exercise(podman: Podman) -> str:
        script = "touch /x 2>/dev/null; echo $?; touch /tmp/x /run/x /dev/shm/x; echo $?"
        return podman.sees("--read-only", sh=script)

    assert both(exercise) == "1\n0"


@pytest.mark.long
def test_read_only_for_all(both: Both) -> None:
    def exercise(podman: Podman) -> str:
        script = "touch /tmp/x 2>/dev/null; echo $?"
        return podman.sees("--read-only", "--read-only-tmpfs=false", sh=script)

    assert both(exercise) == "1"


def test_tmpfs(both: Both) -> None:
    """podman copies up what the image has there."""

    def exercise(podman: Podman) -> list[object]:
        mount = "--tmpfs=/srv:size=2m,mode=1770,noexec"
        copied = podman.sees(mount, sh="cat /srv/box/note; stat -c %a:%u /srv/box")
        found = options(podman, "/srv", mount)
        return [copied, sorted(set(found) & {"noexec", "nosuid", "nodev", "size=2048k", "rw"})]

    wanted = ["nodev", "noexec", "nosuid", "rw", "size=2048k"]
    assert both(exercise) == ["a note\n755:1000", wanted]


def test_binds(both: Both) -> None:
    def exercise(podman: Podman) -> list[object]:
        folder = f"/run/bound-{podman.runtime}"
        podman.host.write(f"{folder}/file", "from the host\n")
        script = "cat /b/file; echo back > /b/new; touch /r/x 2>/dev/null; echo $?; cat /one"
        seen = podman.sees(
            f"--volume={folder}:/b",
            f"--volume={folder}:/r:ro",
            f"--volume={folder}/file:/one:ro",
            sh=script,
        )
        return [seen, podman.host.path(f"{folder}/new").read_text()]

    assert both(exercise) == ["from the host\n1\nfrom the host", "back\n"]


def test_options_of_binds(both: Both) -> None:
    def exercise(podman: Podman) -> list[str]:
        podman.host.path("/run/opts").mkdir(exist_ok=True)
        found = options(podman, "/b", "--volume=/run/opts:/b:ro,nosuid,nodev,noexec")
        return [word for word in found if word in {"ro", "nosuid", "nodev", "noexec"}]

    assert both(exercise) == ["ro", "nosuid", "nodev", "noexec"]


def propagated(podman: Podman, kind: str) -> list[bool]:
    """Whether the container sees what is mounted on the host later, and the other way round."""
    host = podman.host
    folder = f"/run/tree-{podman.runtime}-{kind}"
    for place in ("host", "inside"):
        host.path(f"{folder}/{place}").mkdir(parents=True)
    host.ask("mount", "--bind", folder, folder)
    host.ask("mount", "--make-shared", folder)
    # The default profile of AppArmor refuses mounts to every runtime's containers.
    may_mount = ("--cap-add=SYS_ADMIN", "--security-opt=apparmor=unconfined")
    name = podman.started(*may_mount, f"--volume={folder}:/tree:{kind}")
    host.ask("mount", "-t", "tmpfs", "later", f"{folder}/host")
    podman.exec(name, "mount", "-t", "tmpfs", "later", "/tree/inside")
    seen = [
        " /tree/host " in podman.exec(name, "cat", "/proc/self/mounts"),
        f" {folder}/inside " in host.ask("cat", "/proc/self/mounts"),
    ]
    podman.clean()
    host("umount", "-R", folder)
    return seen


@pytest.mark.long
def test_propagation_private(both: Both) -> None:
    assert both(lambda p: propagated(p, "rprivate")) == [False, False]


def test_propagation_slave(both: Both) -> None:
    assert both(lambda p: propagated(p, "rslave")) == [True, False]


def test_propagation_shared(both: Both) -> None:
    assert both(lambda p: propagated(p, "rshared")) == [True, True]


@pytest.mark.long
def test_volumes(both: Both) -> None:
    """Named ones live on and take what the image has there; anonymous ones go with --rm."""

    def exercise(podman: Podman) -> list[object]:
        name = f"vol-{podman.runtime}"
        podman.ask("volume", "create", name)
        first = podman.sees(f"--volume={name}:/srv", sh="cat /srv/box/note; echo 2 > /srv/two")
        second = podman.sees(f"--volume={name}:/data:ro", "--", "cat", "/data/two")
        podman.sees("--volume=/anonymous", "--", "true")
        left = podman.ask("volume", "ls", "--quiet").split()
        podman.ask("volume", "rm", name)
        return [first, second, left == [name]]

    assert both(exercise) == ["a note", "2", True]


@pytest.mark.long
def test_volumes_from_another_container(both: Both) -> None:
    def exercise(podman: Podman) -> str:
        name = podman.started("--volume=/shared")
        podman.exec(name, "sh", "-c", "echo common > /shared/file")
        return podman.sees(f"--volumes-from={name}:ro", "--", "cat", "/shared/file")

    assert both(exercise) == "common"


@pytest.mark.long
def test_overlay_over_a_folder_of_the_host(both: Both) -> None:
    def exercise(podman: Podman) -> list[object]:
        folder = f"/run/lower-{podman.runtime}"
        podman.host.write(f"{folder}/file", "lower\n")
        seen = podman.sees(
            f"--volume={folder}:/o:O", sh="cat /o/file; echo up > /o/file; cat /o/file"
        )
        return [seen, podman.host.path(f"{folder}/file").read_text()]

    assert both(exercise) == ["lower\nup", "lower\n"]


def test_idmapped_volume(both: Both) -> None:
    """Files of the host's user 0 are the container's root's, in another user namespace."""

    def exercise(podman: Podman) -> str:
        folder = f"/var/lib/containers/idmapped-{podman.runtime}"
        podman.host.write(f"{folder}/file", "mapped\n")
        return podman.sees(
            "--uidmap=0:100000:5000",
            "--gidmap=0:100000:5000",
            f"--volume={folder}:/m:idmap",
            sh="stat -c %u:%g /m/file; touch /m/new && stat -c %u /m/new",
        )

    assert both(exercise, peer="crun", unless="(?i)idmap.*|mount_setattr.*") == "0:0\n0"


MASKED = ["sh", "-c", "cut -d' ' -f 2 /proc/self/mounts | grep -E '^(/proc|/sys)/'"]


def test_what_is_masked(both: Both) -> None:
    """Each place that the engine asks for and the kernel has; /proc/sys is read-only."""
    found = both(lambda p: sorted(p.sees("--", *MASKED).splitlines()))
    assert "/proc/sys" in found
    assert "/proc/timer_list" in found


def test_unmasked(both: Both) -> None:
    flag = "--security-opt=unmask=/proc/timer_list"
    found = both(lambda p: sorted(p.sees(flag, "--", *MASKED).splitlines()))
    assert "/proc/sys" in found
    assert "/proc/timer_list" not in found


@pytest.mark.long
def test_copies_in_and_out(both: Both) -> None:
    def exercise(podman: Podman) -> list[str]:
        folder = f"/run/copy-{podman.runtime}"
        podman.host.write(f"{folder}/in", "copied\n")
        name = podman.started()
        podman.ask("cp", f"{folder}/in", f"{name}:/tmp/in")
        podman.exec(name, "sh", "-c", "cat /tmp/in /tmp/in > /tmp/out")
        podman.ask("cp", f"{name}:/tmp/out", f"{folder}/out")
        return [podman.host.path(f"{folder}/out").read_text()]

    assert both(exercise) == ["copied\ncopied\n"]
