# SPDX-License-Identifier: Apache-2.0
"""Advisories about descriptors and binaries of the runtime that a container could reach."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from needs import needs

from .box import SECONDS, Box

pytestmark = needs("root", "busybox")

F_GET_SEALS = 1034
SEALED = 0x1 | 0x8  # SEAL and WRITE
LEAKED = (*range(3, 13), *range(20, 40))


def leaking(box: Box) -> list[str]:
    """A command prefix that leaks the host's root into the runtime as many descriptors."""
    script = "".join(f"exec {number}</\n" for number in LEAKED) + 'exec "$@"'
    return ["bash", "-c", script, "bash"]


@pytest.mark.parametrize("number", [*range(3, 13), 20, 39])
def test_cve_2024_21626_working_directory_in_a_leaked_descriptor(box: Box, number: int) -> None:
    box.process["cwd"] = f"/proc/self/fd/{number}"
    box.process["args"] = ["/bin/sh", "-c", f"cat ./{box.outside}/secret; cat etc/passwd"]
    (box.rootfs / "etc/passwd").write_text("image:x:0:0::/:/bin/sh\n")
    done = box.run(before=leaking(box))
    assert "HOST SECRET" not in done.stdout
    assert "root:x" not in done.stdout


@pytest.mark.parametrize("number", [*range(3, 13), 20, 39])
def test_cve_2024_21626_program_in_a_leaked_descriptor(box: Box, number: int) -> None:
    binary = box.folder / "hostbin"
    binary.write_text("#!/bin/sh\necho HOSTBIN\n")
    binary.chmod(0o755)
    box.process["args"] = [f"/proc/self/fd/{number}{binary}"]
    done = box.run(before=leaking(box))
    assert "HOSTBIN" not in done.stdout
    assert done.returncode != 0


def test_cve_2024_21626_no_descriptor_reaches_the_program(box: Box) -> None:
    box.process["args"] = ["/bin/ls", "/proc/self/fd"]
    done = box.run(before=leaking(box))
    assert done.stdout.split() == ["0", "1", "2", "3"], done.stderr  # 3: ls has it open


def files_of(runtime: Path) -> dict[Path, str]:
    """The runtime's own files, and what is in them."""
    paths = [runtime.resolve()]
    paths += runtime.resolve().parent.parent.glob("lib/python*/site-packages/pyrun/executor")
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def plant_loader(box: Box) -> None:
    """Gives the image a dynamic loader that writes to whatever is run by it: loader.c."""
    program = box.folder / "loader"
    flags = ["-O1", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector"]
    source = Path(__file__).with_name("loader.c")
    subprocess.run(["cc", *flags, "-o", program, source], check=True)
    for place in ("lib64/ld-linux-x86-64.so.2", "lib/ld-linux-aarch64.so.1"):
        (box.rootfs / place).parent.mkdir()
        shutil.copy(program, box.rootfs / place)


@needs("cc")
@pytest.mark.parametrize("entry", ["direct", "script"])
def test_cve_2019_5736_the_runtime_as_its_own_program(box: Box, entry: str) -> None:
    before = files_of(box.runtime)
    plant_loader(box)
    script = box.rootfs / "entry"
    script.write_text("#!/proc/self/exe\n")
    script.chmod(0o755)
    box.process["args"] = ["/proc/self/exe" if entry == "direct" else "/entry", "x"]
    box.run()
    assert files_of(box.runtime) == before


def test_cve_2019_5736_the_binary_of_the_waiting_init(box: Box) -> None:
    before = files_of(box.runtime)
    pid = box.create()
    enter = ["nsenter", "-t", str(pid), "-m", "-p", "-r", "/bin/sh", "-c"]
    script = "for mode in '>' '>>' '<>'; do eval \"echo PWNED $mode /proc/1/exe\"; done"
    subprocess.run([*enter, script], capture_output=True)
    assert files_of(box.runtime) == before
    fd = os.open(f"/proc/{pid}/exe", os.O_RDONLY)
    try:
        assert fcntl.fcntl(fd, F_GET_SEALS) & SEALED == SEALED
    finally:
        os.close(fd)


def test_cve_2016_9962_the_waiting_init_has_no_way_to_the_host(box: Box) -> None:
    """Whoever gets at its descriptors finds no directory, and nothing of the host's but stdio."""
    pid = box.create()
    for name in os.listdir(f"/proc/{pid}/fd"):
        link = os.readlink(f"/proc/{pid}/fd/{name}")
        if int(name) < 3:
            continue
        assert not os.path.isdir(f"/proc/{pid}/fd/{name}"), f"{name}: {link}"
        assert not link.startswith(("/dev", "/proc", "/sys", "mnt:", "net:")), f"{name}: {link}"
    assert os.readlink(f"/proc/{pid}/cwd") == "/"


def test_cve_2016_9962_the_waiting_init_is_not_the_containers(box: Box) -> None:
    """Not dumpable: its memory and descriptors are not root's in the container."""
    linux = box.config["linux"]
    linux["namespaces"].append({"type": "user"})
    for kind in ("uid", "gid"):
        linux[f"{kind}Mappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    pid = box.create()
    assert os.stat(f"/proc/{pid}/environ").st_uid == 0


def test_cve_2020_15257_no_socket_that_others_could_reach(box: Box) -> None:
    """In a network namespace of the test's own, where nobody else's sockets are."""
    up = ["unshare", "--net", "sh", "-c", "echo up; exec sleep 60"]
    keeper = subprocess.Popen(up, stdout=subprocess.PIPE)
    try:
        assert keeper.stdout
        keeper.stdout.readline()

        def abstract() -> list[str]:
            lines = Path(f"/proc/{keeper.pid}/net/unix").read_text().splitlines()
            return [line for line in lines if "@" in line]

        inside = ["nsenter", f"--net=/proc/{keeper.pid}/ns/net"]
        box.process["args"] = ["sleep", "60"]
        box.create(before=inside)
        assert abstract() == []
        subprocess.run([*inside, *box.command("start", box.id)], check=True, timeout=SECONDS)
        assert abstract() == []
        assert not [path for path in box.state.rglob("*") if path.is_socket()]
    finally:
        keeper.kill()
        keeper.communicate()
