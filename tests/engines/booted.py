# SPDX-License-Identifier: Apache-2.0
"""podman on the machine itself, which was booted with systemd: in folders of its own, root's or, in
the user's own systemd, an ordinary user's."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from needs import excuse

from . import image
from .host import PATIENCE, runtime_path

CONFIGURATION = """
[containers]
log_driver = "k8s-file"
[engine]
cgroup_manager = "systemd"
events_logger = "file"
runtime_supports_json = ["crun", "runc", "pyrun"]
"""


def ordinary_user() -> pwd.struct_passwd:
    """One whose systemd runs."""
    found = (u for u in pwd.getpwall() if Path(f"/run/user/{u.pw_uid}/bus").exists())
    user = next((u for u in found if u.pw_uid), None)
    if user is None:
        excuse("no user's manager is running")
    return user


class Booted:
    """Commands of podman's with one runtime; `end` it."""

    def __init__(self, runtime: str, user: pwd.struct_passwd | None = None) -> None:
        self.runtime = runtime
        self.folder = Path(tempfile.mkdtemp(prefix="pyrun-booted-", dir="/var/tmp"))
        self.prefix: list[str] = []
        if user:
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            # By its KillMode the unit's end is not that of the containers, as with a shell's.
            self.prefix = [
                "systemd-run", "-q", f"--machine={user.pw_name}@.host", "--user", "--pipe",
                "--wait", "--collect", "--property=KillMode=process",
                f"--setenv=HOME={user.pw_dir}",
            ]  # fmt: skip
        (self.folder / "containers.conf").write_text(CONFIGURATION)
        self.ask("load", "--quiet", "--input", str(image.write(self.folder / "box.tar")))

    def words(self, *words: str) -> list[str]:
        """The words of a command line."""
        places = [f"--{name}={self.folder}/{name}" for name in ("root", "runroot", "tmpdir")]
        runtime = f"--runtime={runtime_path(self.runtime)}"
        setting = f"CONTAINERS_CONF={self.folder}/containers.conf"
        return [*self.prefix, "env", setting, "podman", *places, runtime, *words]

    def ask(self, *words: str) -> str:
        """A command that must work: what it printed."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            done = subprocess.run(
                self.words(*words), stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                timeout=4 * PATIENCE, cwd="/",
            )  # fmt: skip
            out.seek(0)
            err.seek(0)
            said = out.read()
            assert done.returncode == 0, (words, said, err.read())
            return said.removesuffix("\n")

    def started(self, *flags: str, words: Sequence[str] = ("top",)) -> str:
        """`run --detach`, without a network: its id."""
        return self.ask("run", "--detach", "--network=none", *flags, image.NAME, *words)

    def cgroup(self, name: str) -> str:
        """Of its first process, in the unified hierarchy."""
        pid = self.ask("inspect", "--format", "{{.State.Pid}}", name)
        return Path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::")

    def end(self) -> None:
        """Nothing of it is left."""
        subprocess.run(self.words("rm", "--all", "--force", "--time=0"), capture_output=True)
        if self.prefix:  # files of ids that only the user's namespace has
            root = f"{self.folder}/root"
            subprocess.run(self.words("unshare", "rm", "-rf", root), capture_output=True)
        subprocess.run(["umount", f"{self.folder}/root/overlay"], capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)
