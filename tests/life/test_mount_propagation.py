# SPDX-License-Identifier: Apache-2.0
"""Mounts that are shared, as systemd makes those of a host: nothing that a container mounts appears
there, and what is mounted there appears in the container where linux.rootfsPropagation says so."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from life.bundles import Bundle, bind
from life.mountinfo import mounts
from life.runtimes import Container
from life.test_mounts import mounted
from needs import needs
from pyrun import spec_default

pytestmark = needs("root", "busybox")

MAP = [{"containerID": 0, "hostID": 0, "size": 65536}]
# In a mount namespace of its own, so that this machine's mounts stay as they are.
HOST = """
import subprocess, sys
pyrun, bundle, root = sys.argv[1:]
def run(*words):
    subprocess.run(words, check=True)
def mounts():
    return open("/proc/self/mountinfo").read().splitlines()
run("mount", "--bind", bundle + "/rootfs", bundle + "/rootfs")
run("mount", "--make-rshared", "/")
before = mounts()
words = [pyrun, "--root", root, "--cgroup-manager", "disabled", "run", "--bundle", bundle, "shared"]
child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
assert child.stdout.readline() == "inside\\n"
new = [line for line in mounts() if line not in before]
child.communicate("go on\\n")
print(*new, sep="\\n")
sys.exit(child.returncode)
"""


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("word", [None, "rshared", "shared", "private", "runbindable"])
@pytest.mark.parametrize("kinds", [(), ("user",)])
def test_a_shared_host_sees_nothing(
    tmp_path: Path, pyrun: Path, kinds: tuple[str, ...], word: str | None
) -> None:
    config: dict[str, Any] = spec_default.default(None)
    config["process"] |= {"terminal": False, "args": ["sh", "-c", "echo inside; read x"]}
    config["root"]["readonly"] = False
    config["mounts"] = [mount for mount in config["mounts"] if mount["type"] != "cgroup"]
    linux = config["linux"]
    linux["namespaces"] += [{"type": kind} for kind in kinds]
    if kinds:
        linux |= {"uidMappings": MAP, "gidMappings": MAP}
    if word:
        linux["rootfsPropagation"] = word
    (tmp_path / "rootfs/bin").mkdir(parents=True)
    busybox = shutil.which("busybox")
    assert busybox
    shutil.copy(busybox, tmp_path / "rootfs/bin/sh")
    (tmp_path / "config.json").write_text(json.dumps(config))
    host = [sys.executable, "-c", HOST, str(pyrun), str(tmp_path), str(tmp_path / "state")]
    done = subprocess.run(["unshare", "--mount", *host], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


@pytest.fixture
def source(bundle: Bundle) -> Iterator[Path]:
    """A directory on a shared mount of the host."""
    path = bundle.path / "source"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "--make-shared", "shared", path], check=True)
    yield path
    subprocess.run(["umount", path], check=True)


LATER = {
    None: True,  # rslave
    "rslave": True,
    "slave": True,
    "shared": True,
    "private": False,
    "rprivate": False,
    "unbindable": False,
}


@pytest.mark.pyrun_only("runc binds the rootfs anew, crun makes all of the host private")
@pytest.mark.parametrize("word", LATER)
def test_what_the_host_mounts_later(
    container: Container, bundle: Bundle, source: Path, word: str | None
) -> None:
    """In a bound directory: it comes to the container where its mounts follow those of the host."""
    if word:
        bundle.linux["rootfsPropagation"] = word
    later = source / "later"
    later.mkdir()
    bundle.config["mounts"].append(bind(source, "/data", "rbind"))
    container.started("sleep 100")
    inside = Path(f"/proc/{container.pid}/mountinfo")
    subprocess.run(["mount", "-t", "tmpfs", "later", later], check=True)
    try:
        assert (" /data/later " in inside.read_text()) == LATER[word]
    finally:
        subprocess.run(["umount", later], check=True)
    assert " /data/later " not in inside.read_text()
    assert container.delete("--force").code == 0


@pytest.mark.differs(crun="1.8 asks for all at once, which the kernel refuses")
@pytest.mark.with_peers
@pytest.mark.parametrize(
    ("options", "tags"),
    [
        (["shared", "private"], []),
        (["private", "shared"], ["shared"]),
        (["slave", "shared"], ["shared", "master"]),
        (["slave", "shared", "private"], []),
    ],
    ids=str,
)
def test_in_the_order_given(
    container: Container, bundle: Bundle, tmp_path: Path, options: list[str], tags: list[str]
) -> None:
    """Of a mount whose source is shared on the host."""
    with mounted(tmp_path, "-t", "tmpfs", "--make-shared", "shared"):
        bundle.config["mounts"].append(bind(tmp_path, "/data", "bind", *options))
        found = mounts(container.ask("mounts")[0])["/data"]
    assert [tag.split(":")[0] for tag in found.tags] == tags
