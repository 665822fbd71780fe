# SPDX-License-Identifier: Apache-2.0
"""Advisories about the names by which a restored container gets mounts of the host back."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

import needs

from .box import Box

pytestmark = needs.needs("root", "busybox", "criu")

SECONDS = 60
DEVNULL = subprocess.DEVNULL


@pytest.fixture
def criu(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime finds one that works, if it is one that looks for it."""
    done = subprocess.run([runtime, "--version"], capture_output=True, text=True)
    if done.stdout.startswith("crun") and "+CRIU" not in done.stdout:
        needs.excuse("its crun is built without CRIU")
    monkeypatch.setenv("PATH", f"{needs.criu_folder()}:{os.environ['PATH']}")


def call(box: Box, verb: str, *words: str) -> int:
    """A verb whose container has no stream of ours, which CRIU could not save."""
    command = box.command(verb, *words, box.id)
    done = subprocess.run(
        command, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, timeout=SECONDS, cwd=box.bundle
    )
    return done.returncode


def eventually(path: Path) -> bool:
    """Whether a file comes."""
    end = time.monotonic() + SECONDS
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.05)
    return path.exists()


def lead(link: Path, target: Path | str) -> None:
    """A link of the image leads elsewhere from now on."""
    link.unlink()
    link.symlink_to(target)


def prepare(box: Box, name: str) -> None:
    """Two volumes below links of the image: one of its own, and one of the host's, read-only."""
    source = box.folder / "source"
    source.mkdir()
    for file in ("secret", "ptmx"):
        (source / file).write_text("of the volume")
    for link, folder, volume, mode in (
        ("link", name, source, "rw"), ("other", "two", box.outside, "ro"),
    ):  # fmt: skip
        (box.rootfs / folder).mkdir()
        (box.rootfs / link).symlink_to(f"/{folder}")
        options = ["bind", mode]
        mount = {"destination": f"/{link}", "source": str(volume), "options": options}
        box.config["mounts"].append(mount)
    box.sh(
        "echo > /tmp/up; while ! [ -e /tmp/go ]; do sleep 0.1; done;"
        f" cat '/{name}/secret' > /tmp/seen;"
        f" for f in /link /other '/{name}' /two; do echo PWNED > $f/ptmx; done; echo > /tmp/end"
    )


@pytest.mark.usefixtures("criu")
@pytest.mark.parametrize("name", ["one", "x]:y"])
@pytest.mark.parametrize("when", ["never", "before", "turned", "between"])
def test_cve_2026_119101_cve_2026_115520_links_of_the_image_name_no_mount(
    box: Box, when: str, name: str
) -> None:
    """They lead to the host's folder, or each to the other's place, before the checkpoint, or after
    it: a restored container has no more of the host than it had."""
    tmp, link, place = box.rootfs / "tmp", box.rootfs / "link", box.rootfs / name
    prepare(box, name)
    box.write()
    assert call(box, "run", "--detach", "--bundle", str(box.bundle)) == 0
    assert eventually(tmp / "up")
    if when == "before":
        lead(link, box.outside)
    elif when == "turned":
        lead(link, "/two")
        lead(box.rootfs / "other", f"/{name}")
    words = ("--image-path", str(box.folder / "images"))
    saved = call(box, "checkpoint", *words) == 0
    if when == "between" and saved:
        lead(link, box.outside)
        place.rmdir()
        place.symlink_to(box.outside)
    (tmp / "go").write_text("")
    restored = saved and call(box, "restore", "--detach", "--bundle", str(box.bundle), *words) == 0
    assert restored or (name, when) != ("one", "never"), "an ordinary one comes back"
    if restored:
        assert eventually(tmp / "end")
        assert (tmp / "seen").read_text() == "of the volume"
    assert box.untouched()
