# SPDX-License-Identifier: Apache-2.0
"""What a test may need of the machine, how that is found out, and whether lacking it is an excuse.

    @needs("root", "cgroup_v2")
    def test_limits() -> None: ...

A test whose needs are not met is skipped with the reason. With PYRUN_MUST_RUN=1, as on CI, that is
a failure, unless the machine itself cannot provide it: a kernel has one cgroup layout, but a
missing package can be installed and a test can be run as root. Any other skip fails there too.
"""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest

MUST_RUN = os.environ.get("PYRUN_MUST_RUN", "") not in ("", "0")
EXCUSED = "this machine: "  # how the reason of an excused skip begins
CGROUP = Path("/sys/fs/cgroup")


class Ability(NamedTuple):
    """`lacks` says what is missing, "" when nothing is; `excused`: nobody can install it."""

    lacks: Callable[[], str]
    excused: bool


def _program(*names: str) -> Ability:
    """Any one of these programs. scripts/setup --test installs them: lacking one is no excuse."""

    def lacks() -> str:
        path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
        return "" if any(shutil.which(name, path=path) for name in names) else f"no {names[0]}"

    return Ability(lacks, excused=False)


def _root() -> str:
    return "" if os.geteuid() == 0 else "not run as root"


def _userns() -> str:
    """Whether an ordinary user may make a user namespace here (as root: whether anybody may)."""
    done = subprocess.run(["unshare", "--user", "true"], capture_output=True, text=True)
    return "" if done.returncode == 0 else f"no user namespaces: {done.stderr.strip()}"


def _cgroup_layout(wanted: str) -> Callable[[], str]:
    def lacks() -> str:
        if (CGROUP / "cgroup.controllers").exists():
            found = "cgroup_v2"
        elif (CGROUP / "unified/cgroup.procs").exists():
            found = "cgroup_hybrid"
        else:
            found = "cgroup_v1"
        return "" if found == wanted else f"its cgroups are {found}"

    return lacks


def _cgroup_v1_controllers() -> str:
    """Controllers in hierarchies of version 1: of a pure v1 machine or a hybrid one."""
    return "" if (CGROUP / "memory/cgroup.procs").exists() else "no cgroup v1 controllers"


def _systemd() -> str:
    return "" if Path("/run/systemd/system").is_dir() else "not booted with systemd"


def _systemd_to_boot() -> str:
    """What tests/vm/booted takes."""
    if not _systemd():
        return "booted with systemd as it is"
    return "" if Path("/usr/lib/systemd/systemd").exists() else "no systemd"


def _landlock() -> str:
    """Linux 5.13 may have it; landlock(7) tells when it has."""
    abi = ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1)
    return "" if abi >= 1 else "no Landlock"


def _kvm() -> str:
    return "" if os.access("/dev/kvm", os.R_OK | os.W_OK) else "no /dev/kvm"


def _apparmor() -> str:
    enabled = Path("/sys/module/apparmor/parameters/enabled")
    on = enabled.exists() and enabled.read_text().startswith("Y")
    return "" if on else "AppArmor is not enabled"


@functools.cache
def criu_folder() -> str:
    """Where a criu is that works on this kernel, for PATH: scripts/criu may have to get one first,
    as scripts/setup --test does. Raises CalledProcessError."""
    script = Path(__file__).parent.parent / "scripts/criu"
    done = subprocess.run([script], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _criu() -> str:
    try:
        criu_folder()
    except subprocess.CalledProcessError as error:
        return f"no criu that works: {error.stderr.strip()[-200:]}"
    return ""


ABILITIES: dict[str, Ability] = {
    "root": Ability(_root, excused=False),
    "userns": Ability(_userns, excused=True),
    "cgroup_v2": Ability(_cgroup_layout("cgroup_v2"), excused=True),
    "cgroup_v1": Ability(_cgroup_layout("cgroup_v1"), excused=True),
    "cgroup_hybrid": Ability(_cgroup_layout("cgroup_hybrid"), excused=True),
    "cgroup_v1_controllers": Ability(_cgroup_v1_controllers, excused=True),
    "systemd": Ability(_systemd, excused=True),
    "systemd_to_boot": Ability(_systemd_to_boot, excused=True),
    "kvm": Ability(_kvm, excused=True),
    "apparmor": Ability(_apparmor, excused=True),
    "landlock": Ability(_landlock, excused=True),
    "bash": _program("bash"),
    "buildah": _program("buildah"),
    "busybox": _program("busybox"),
    "cc": _program("cc", "gcc", "clang"),
    "chromium": _program("chromedriver"),
    "clang": _program("clang"),
    "clang-tidy": _program("clang-tidy"),
    "containerd": _program("containerd"),
    "criu": Ability(_criu, excused=False),
    "crun": _program("crun"),
    "docker": _program("dockerd"),
    "fish": _program("fish"),
    "ip": _program("ip"),
    "man": _program("man"),
    "mandoc": _program("mandoc"),
    "newuidmap": _program("newuidmap"),
    "podman": _program("podman"),
    "ps": _program("ps"),
    "runc": _program("runc"),
    "shellcheck": _program("shellcheck"),
    "strace": _program("strace"),
    "systemd-notify": _program("systemd-notify"),
    "systemd-socket-activate": _program("systemd-socket-activate"),
    "zsh": _program("zsh"),
}


@functools.cache
def lacking(ability: str) -> str:
    """What is missing for this ability, "" when nothing is. Found out once a run."""
    return ABILITIES[ability].lacks()


def needs(*abilities: str) -> pytest.MarkDecorator:
    """Marks a test, a class or (as `pytestmark`) a module with what it needs of the machine."""
    unknown = [ability for ability in abilities if ability not in ABILITIES]
    if unknown:
        raise ValueError(f"needs: no such ability: {', '.join(unknown)}")
    return pytest.mark.needs(*abilities)


def excuse(reason: str) -> NoReturn:
    """Skips the running test because of what this machine is: allowed under PYRUN_MUST_RUN too."""
    pytest.skip(EXCUSED + reason)


def check(abilities: tuple[str, ...]) -> None:
    """Skips the running test when one of the abilities is lacking."""
    for ability in abilities:
        if missing := lacking(ability):
            if ABILITIES[ability].excused:
                excuse(missing)
            pytest.skip(missing)  # conftest.py makes a failure of it where tests must run
