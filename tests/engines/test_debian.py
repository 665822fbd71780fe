# SPDX-License-Identifier: Apache-2.0
"""A distribution's image, not busybox's: Debian as debootstrap makes it, with its libc, its
users and its package manager."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from needs import excuse, needs

from .host import Host
from .pairs import Pair
from .podman import Podman

pytestmark = needs("root", "busybox", "podman", "runc", "crun")
Both = Pair[Podman]

NAME = "localhost/debian:trixie"
MAKER = Path(__file__).parent.parent / "vm/image"
LEFT_OUT = ("boot", "dev", "proc", "sys", "var/cache", "var/lib/apt", "usr/lib/modules",
            "usr/share/doc", "usr/share/locale", "usr/share/man")  # fmt: skip


def debian_root() -> Path:
    """That of the virtual machine, which tests/vm/image makes by debootstrap."""
    done = subprocess.run([MAKER, "--where"], check=True, capture_output=True, text=True)
    place = Path(done.stdout.strip()) / "rootfs"
    if not (place.parent / "stamp").exists():
        excuse("nobody has made a Debian root here: tests/vm/image does")
    return place


@pytest.fixture(scope="module")
def debian(host: Host) -> str:
    """The image's name. It has no configuration but what podman makes up."""
    archive = host.folder / "debian.tar"
    without = [f"--exclude=./{path}/*" for path in LEFT_OUT]
    root = debian_root()
    subprocess.run(["tar", "-C", root, *without, "-cf", archive, "."], check=True)
    host.ask("podman", "import", "--quiet", archive, NAME, timeout=300)
    archive.unlink()
    return NAME


def test_programs_with_a_libc(both: Both, debian: str) -> None:
    script = (
        "id -un; getent passwd daemon; python3 -c 'print(6 * 7)'; dpkg-query -W -f '${Status}' dpkg"
    )
    told = both(lambda p: p.sees(sh=script, of=debian)).splitlines()
    assert told == ["root", "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin", "42",
                    "install ok installed"]  # fmt: skip


def test_users_by_name(both: Both, debian: str) -> None:
    def exercise(podman: Podman) -> list[str]:
        flags = ("--user", "www-data:adm", "--workdir", "/var")
        return podman.sees(*flags, sh="id -un; id -gn; pwd", of=debian).split()

    assert both(exercise) == ["www-data", "adm", "/var"]


def test_packages_are_installed_and_removed(both: Both, debian: str) -> None:
    """dpkg changes owners, makes links and renames: what a Containerfile's RUN does."""
    script = """
        mkdir -p /p/DEBIAN /p/opt && cd / && echo hello >/p/opt/hello && chown daemon /p/opt/hello
        printf '%s\\n' 'Package: hello' 'Version: 1' 'Architecture: all' >/p/DEBIAN/control
        printf '%s\\n' 'Maintainer: x <x@localhost>' 'Description: x' >>/p/DEBIAN/control
        dpkg-deb --build /p /p.deb >/dev/null && dpkg --install /p.deb >/dev/null
        stat -c '%U %n' /opt/hello; dpkg --remove hello >/dev/null
        test -e /opt/hello || echo gone; dpkg --audit
    """
    assert both(lambda p: p.sees(sh=script, of=debian)) == "daemon /opt/hello\ngone"


def test_another_user_by_su(both: Both, debian: str) -> None:
    """A set-id program of the image, which no_new_privs would stop."""
    script = "useradd --create-home eve && su eve -c 'id -un; echo $HOME'"
    assert both(lambda p: p.sees(sh=script, of=debian)).split() == ["eve", "/home/eve"]
    held = ("--security-opt", "no-new-privileges", "--user", "daemon")
    exercise = "su -c true </dev/null >/dev/null 2>&1; echo $?"
    assert both(lambda p: p.sees(*held, sh=exercise, of=debian)) != "0"


def test_exec_beside_a_daemon(both: Both, debian: str) -> None:
    def exercise(podman: Podman) -> list[str]:
        name = podman.started(sh="exec sleep 1000", of=debian)
        first = podman.exec(name, "bash", "-c", "cat /proc/1/comm; echo $BASH_VERSION | cut -c1-2")
        second = podman.ask(
            "exec", "--user", "games", "--env", "X=y", name, "bash", "-c", "id -un; echo $X"
        )
        return [first, second]

    assert both(exercise) == ["sleep\n5.", "games\ny"]
