# SPDX-License-Identifier: Apache-2.0
"""Advisories about a process that is brought into a container, whose root file system and processes
are hostile by then."""

from __future__ import annotations

import os
import stat
import subprocess

import pytest

from needs import needs

from .box import SECONDS, Box
from .test_own_files import LEAKED, files_of, leaking, plant_loader

pytestmark = needs("root", "busybox")


@pytest.fixture
def running(box: Box) -> Box:
    """A container that waits."""
    (box.rootfs / "etc/passwd").write_text("image:x:0:0::/:/bin/sh\n")
    box.process["args"] = ["sleep", "1000"]
    box.create()
    assert box.verb("start").returncode == 0
    return box


def enter(
    box: Box, *words: str, flags: tuple[str, ...] = (), before: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """exec, with a pipe for each stream."""
    command = [*before, *box.command("exec", *flags, box.id, *words)]
    return subprocess.run(command, input="", capture_output=True, text=True, timeout=SECONDS)


def test_an_ordinary_process(running: Box) -> None:
    assert enter(running, "echo", "here").stdout == "here\n"


@pytest.mark.parametrize("number", [*range(3, 13), 20, 39])
def test_cve_2024_21626_working_directory_in_a_leaked_descriptor(running: Box, number: int) -> None:
    done = enter(
        running, "/bin/sh", "-c", f"cat ./{running.outside}/secret; cat etc/passwd; ls",
        flags=("--cwd", f"/proc/self/fd/{number}"), before=tuple(leaking(running)),
    )  # fmt: skip
    assert "HOST SECRET" not in done.stdout
    assert "root:x" not in done.stdout
    assert "usr" not in done.stdout.split()


@pytest.mark.parametrize("where", ["/way", "/proc/self/cwd", "/proc/1/cwd", "/proc/1/root"])
def test_cve_2024_21626_working_directory_by_a_link(running: Box, where: str) -> None:
    """The image leads there by a link of its own, or procfs does."""
    (running.rootfs / "way").symlink_to("/proc/self/fd/7")
    done = enter(
        running, "/bin/sh", "-c", f"cat ./{running.outside}/secret; cat ../../../etc/passwd",
        flags=("--cwd", where), before=tuple(leaking(running)),
    )  # fmt: skip
    assert "HOST SECRET" not in done.stdout
    assert "root:x" not in done.stdout


@pytest.mark.parametrize("number", [*range(3, 13), 20, 39])
def test_cve_2024_21626_program_in_a_leaked_descriptor(running: Box, number: int) -> None:
    binary = running.folder / "hostbin"
    binary.write_text("#!/bin/sh\necho HOSTBIN\n")
    binary.chmod(0o755)
    done = enter(running, f"/proc/self/fd/{number}{binary}", before=tuple(leaking(running)))
    assert "HOSTBIN" not in done.stdout
    assert done.returncode != 0


def test_cve_2024_21626_no_descriptor_reaches_the_program(running: Box) -> None:
    done = enter(running, "/bin/ls", "/proc/self/fd", before=tuple(leaking(running)))
    assert done.stdout.split() == ["0", "1", "2", "3"], done.stderr  # 3: ls has it open
    assert LEAKED


@needs("cc")
@pytest.mark.parametrize("entry", ["direct", "script"])
def test_cve_2019_5736_the_runtime_as_its_own_program(running: Box, entry: str) -> None:
    before = files_of(running.runtime)
    plant_loader(running)
    script = running.rootfs / "entry"
    script.write_text("#!/proc/self/exe\n")
    script.chmod(0o755)
    enter(running, "/proc/self/exe" if entry == "direct" else "/entry", "x")
    assert files_of(running.runtime) == before


def test_cve_2019_5736_a_writer_that_waits_for_the_runtime(running: Box) -> None:
    """In the container, root keeps the binary of whoever comes in open, and writes to it as soon
    as nobody runs it any more."""
    before = files_of(running.runtime)
    script = (
        "while :; do for p in /proc/[0-9]*; do [ $p = /proc/$$ ] || [ $p = /proc/1 ] || "
        "{ [ /proc/self/fd/9 -ef /bin/busybox ] || { n=0; while [ $n -lt 50 ]; do n=$((n + 1)); "
        "{ echo PWNED >> /proc/self/fd/9; } && echo GOT && break; done; }; } 9< $p/exe; "
        "done; done 2>/dev/null"
    )
    command = running.command("exec", running.id, "/bin/sh", "-c", script)
    with open(running.folder / "hunter", "w+b") as output:
        hunter = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            for _ in range(20):
                assert enter(running, "true").returncode == 0
        finally:
            hunter.terminate()
            hunter.wait(10)
        output.seek(0)
        got = output.read().decode().split("\n")
    assert files_of(running.runtime) == before
    assert "GOT" not in got


@needs("strace")
def test_cve_2022_1227_no_program_of_the_image_runs_outside(running: Box) -> None:
    """R12: the runtime executes its own file and the user's program, and looks for no other."""
    for name in ("ps", "nsenter", "newuidmap", "python3"):
        tool = running.rootfs / "bin" / name
        tool.write_text("#!/bin/sh\necho OUTSIDE\n")
        tool.chmod(0o755)
    trace = running.folder / "trace"
    done = enter(
        running, "/bin/true",
        before=("strace", "-f", "-qq", "-e", "trace=execve,execveat", "-o", str(trace)),
    )  # fmt: skip
    assert done.returncode == 0
    paths = [line.split('"')[1] for line in trace.read_text().splitlines() if '"' in line]
    paths.remove("/bin/true")  # not the last: what waits becomes the launcher
    inside = [path for path in paths if path.startswith(str(running.rootfs))]
    assert inside == []
    assert "OUTSIDE" not in done.stdout


def test_cve_2022_36109_groups_of_the_caller(running: Box) -> None:
    command = running.command("exec", "--user", "1000:1000", running.id, "/bin/id", "-G")
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS,
        extra_groups=[0, 4, 27, 44],
    )  # fmt: skip
    assert done.stdout.split() == ["1000"]


def test_cve_2026_88265_streams_that_are_no_devices(running: Box) -> None:
    """A link in the container stands for /dev/null, to a file that its root would like to have:
    streams are judged by type and number, and a pipe stays a pipe."""
    script = "busybox rm /dev/null && busybox ln -s /vol/x /dev/null && echo set"
    assert enter(running, "/bin/sh", "-c", script).stdout == "set\n"
    done = enter(running, "/bin/sh", "-c", "echo written", flags=("--user", "1000"))
    assert done.stdout == "written\n"
    assert not (running.rootfs / "vol/x").exists()
    null = running.folder / "null"  # the host's own would stay another's
    os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    command = running.command("exec", "--user", "1000", running.id, "/bin/echo", "x")
    with open(null, "r+b", buffering=0) as stream:
        subprocess.run(command, stdin=stream, stdout=stream, timeout=SECONDS)
    assert null.stat().st_uid == 0
    assert not (running.rootfs / "vol/x").exists()


@pytest.mark.parametrize("where", ["attr/current", "attr/exec", "attr/apparmor/exec", "trigger"])
def test_cve_2025_52881_a_proc_that_leads_astray(box: Box, where: str) -> None:
    """A label that is asked for goes where it belongs, or the process does not start."""
    box.config["mounts"] = [m for m in box.config["mounts"] if m["destination"] != "/proc"]
    attributes = box.rootfs / "proc/self/attr"
    (attributes / "apparmor").mkdir(parents=True)
    (box.rootfs / "proc/thread-self").symlink_to("self")
    target = box.rootfs / "proc/self" / where
    target.write_text("untouched")
    if where == "trigger":  # as /proc/sysrq-trigger would be
        for name in ("exec", "current", "apparmor/exec"):
            (attributes / name).symlink_to("/proc/self/trigger")
    box.process["args"] = ["sleep", "1000"]
    try:
        box.create()
    except subprocess.CalledProcessError:
        assert target.read_text() == "untouched"
        return  # it wants a procfs
    assert box.verb("start").returncode == 0
    done = enter(box, "/bin/true", flags=("--apparmor", "unconfined-by-nobody"))
    assert target.read_text() == "untouched"
    assert done.returncode != 0
