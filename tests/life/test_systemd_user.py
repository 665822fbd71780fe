# SPDX-License-Identifier: Apache-2.0
"""Containers in the user's own systemd: --systemd-cgroup of a rootless pyrun."""

from __future__ import annotations

import os
import pwd
import subprocess
import tempfile
from pathlib import Path

import pytest

from life.bundles import Bundle
from life.runtimes import Container
from life.systemd_units import BY_SYSTEMD, HOME, TOP, home_of, unit
from needs import excuse, needs

pytestmark = [
    needs("systemd"),
    pytest.mark.usefixtures("no_unit_left"),
    pytest.mark.pyrun_only("its rootless"),
]
unified = needs("cgroup_v2")
legacy = needs("cgroup_v1_controllers")
NO_BUS = "unix:path=/nonexistent"


class User:
    """One whose systemd runs, and pyrun as a service of that."""

    def __init__(self, container: Container) -> None:
        found = (u for u in pwd.getpwall() if Path(f"/run/user/{u.pw_uid}/bus").exists())
        user = next((u for u in found if u.pw_uid), None)
        if user is None:
            excuse("no user's manager is running")
        self.container, self.uid, self.gid = container, user.pw_uid, user.pw_gid
        self.folder = Path(f"/run/user/{self.uid}")
        self.prefix = [
            "systemd-run", "-q", f"--machine={user.pw_name}@.host", "--user", "--pipe", "--wait",
            f"--setenv=XDG_RUNTIME_DIR={self.folder}",
        ]  # fmt: skip
        if "PYRUN_NO_FAST" in os.environ:  # the test's way
            self.prefix.append("--setenv=PYRUN_NO_FAST=1")

    def pyrun(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """One verb."""
        root = self.folder / self.container.id
        command = [*self.prefix, self.container.runtime.path, "--root", root, *BY_SYSTEMD, *words]
        # The container holds its standard streams: nobody may wait for the end of a pipe.
        with open(os.devnull, "r+b") as null, tempfile.TemporaryFile("w+") as err:
            done = subprocess.run(command, stdin=null, stdout=null, stderr=err, timeout=60)
            err.seek(0)
            return subprocess.CompletedProcess(command, done.returncode, "", err.read())

    def create(self, nested: bool = False) -> subprocess.CompletedProcess[str]:
        """A container that sleeps: `nested`, in the user namespace where its maker is root."""
        bundle = self.container.bundle
        bundle.linux["cgroupsPath"] = f"user.slice:life:{self.container.id}"
        bundle.linux["namespaces"] = [{"type": "pid"}, {"type": "mount"}]
        del bundle.config["hostname"]
        bundle.without_mount("/sys", "/dev/mqueue", "/dev/pts")
        if nested:
            self.prefix += ["unshare", "--user", "--map-root-user", "--map-auto"]
        else:
            bundle.linux["namespaces"].append({"type": "user"})
            for kind, number in (("uid", self.uid), ("gid", self.gid)):
                bundle.linux[f"{kind}Mappings"] = [{"containerID": 0, "hostID": number, "size": 1}]
        bundle.say("sleep 100")
        bundle.save()
        pid_file = self.folder / "life.pid"
        words = ("create", "--bundle", bundle.path, "--pid-file", pid_file, self.container.id)
        return self.pyrun(*words)

    def cgroup(self) -> str:
        """Where systemd has the container."""
        return home_of((self.folder / "life.pid").read_text())


@unified
@pytest.mark.parametrize("nested", [False, True], ids=["as a user", "as root of a user namespace"])
@pytest.mark.parametrize("bus", ["", NO_BUS], ids=["by the bus", "without a bus"])
def test_a_users_own_manager(container: Container, bundle: Bundle, nested: bool, bus: str) -> None:
    """Below the user's cgroup; podman makes a user namespace first. Where no bus is, the manager is
    asked directly."""
    user = User(container)
    if bus:
        user.prefix.append(f"--setenv=DBUS_SESSION_BUS_ADDRESS={bus}")
    bundle.linux["resources"] = {"pids": {"limit": 30}}
    done = user.create(nested)
    assert (done.returncode, done.stderr) == (0, "")
    own = user.cgroup()
    assert own.endswith(f"user@{user.uid}.service/user.slice/{unit(container)}")
    place = TOP / own.lstrip("/")
    assert (place / "pids.max").read_text() == "30\n"
    assert user.pyrun("delete", "--force", container.id).returncode == 0
    assert not place.exists()


@legacy
@pytest.mark.parametrize("nested", [False, True], ids=["as a user", "as root of a user namespace"])
def test_a_users_own_manager_v1(container: Container, bundle: Bundle, nested: bool) -> None:
    """It has its own hierarchy alone, where there are no limits."""
    user = User(container)
    bundle.linux["resources"] = {}
    done = user.create(nested)
    assert (done.returncode, done.stderr) == (0, "")
    own = user.cgroup()
    assert own.endswith(f"user@{user.uid}.service/user.slice/{unit(container)}")
    assert user.pyrun("ps", container.id).returncode == 0
    assert user.pyrun("delete", "--force", container.id).returncode == 0
    assert not (HOME / own.lstrip("/")).exists()


@legacy
def test_limits_that_a_user_may_not_set(container: Container, bundle: Bundle) -> None:
    user = User(container)
    bundle.linux["resources"] = {"pids": {"limit": 30}}
    done = user.create()
    assert done.returncode == 1
    assert "/linux/resources/pids/limit: rootless needs no limits" in done.stderr
