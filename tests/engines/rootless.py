# SPDX-License-Identifier: Apache-2.0
"""podman as an ordinary user of the engines' host: an account, ranges of ids, a folder of his."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from . import image
from .host import Host, Result, eventually
from .podman import Podman, configuration

NAME = "keeper"
UID = 4321
FIRST, COUNT = 300000, 65536


def add_user(host: Host) -> None:
    """The account, in this host's /etc, with a home and what a login makes."""
    if f"\n{NAME}:" in host.path("/etc/passwd").read_text():
        return
    for name, line in (
        ("passwd", f"{NAME}:x:{UID}:{UID}:{NAME}:/var/lib/containers/{NAME}:/bin/sh\n"),
        ("group", f"{NAME}:x:{UID}:\n"),
        ("shadow", f"{NAME}:*:20000::::::\n"),  # without it PAM lets no systemd of his begin
        ("subuid", f"{NAME}:{FIRST}:{COUNT}\n"),
        ("subgid", f"{NAME}:{FIRST}:{COUNT}\n"),
    ):
        place = host.path(f"/etc/{name}")
        apart = host.driver == "cgroupfs" and name.startswith("sub")
        text = place.read_text() if place.exists() and not apart else ""
        place.write_text(text + line)
    for folder in (f"/var/lib/containers/{NAME}", f"/run/user/{UID}"):
        place = host.path(folder)
        place.mkdir(parents=True, mode=0o700)
        os.chown(place, UID, UID)
    host.path("/var/lib/containers").chmod(0o755)
    host.path("/run/user").chmod(0o755)


class Rootless(Podman):
    """podman of this user; where there is systemd, in his own."""

    @staticmethod
    def prepare(host: Host) -> None:
        """The account, configuration and image."""
        add_user(host)
        if host.driver == "systemd":
            host.ask("loginctl", "enable-linger", NAME)
            assert eventually(lambda: host.path(f"/run/user/{UID}/bus").exists())
        host.write("/etc/containers/containers.conf", configuration(host.driver))
        archive = image.write(host.folder / "box.tar")
        user = Rootless(host, "pyrun")
        host.ask(*user.words("load", "--quiet", "--input", archive))

    def words(self, *words: str | Path) -> list[str]:
        """The words of a command line, by which root becomes this user first."""
        drop = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--init-groups", "--inh-caps=-all"]
        home = f"HOME=/var/lib/containers/{NAME}"
        if self.host.driver == "systemd":
            # By its KillMode the unit's end is not that of the containers, as with a shell's.
            return [
                "systemd-run", "-q", f"--machine={NAME}@.host", "--user", "--pipe", "--wait",
                "--collect", "--property=KillMode=process", f"--setenv={home}",
                *super().words(*words),
            ]  # fmt: skip
        return [*drop, "env", home, f"XDG_RUNTIME_DIR=/run/user/{UID}", *super().words(*words)]

    def try_(self, *words: str | Path, **keywords: Any) -> Result:
        """Any command of the user's."""
        line = self.words()
        return self.host(*line[: line.index("podman")], *words, **keywords)
