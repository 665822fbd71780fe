# SPDX-License-Identifier: Apache-2.0
"""What a runtime that was killed, or that lacked something, may leave behind: nothing that delete
--force does not take away. And whose records it believes."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from faults.sampling import ALL
from needs import needs

from .box import Box

pytestmark = needs("root", "busybox")

CGROUPS = Path("/sys/fs/cgroup")


def left(box: Box) -> list[str]:
    """Traces of the container: state, cgroups, processes that have its name."""
    # an empty folder is only a name, which any create may take: it has no record yet
    found = [str(path) for path in box.state.glob("[!.]*") if list(path.iterdir())]
    found += [str(path) for path in [*CGROUPS.glob(f"*/{box.id}"), *CGROUPS.glob(box.id)]]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if f"pyrun:init {box.id}\0".encode() in path.read_bytes():
                found.append(str(path))
        except OSError:
            continue  # it has just ended
    return found


def create(box: Box, *before: str) -> subprocess.Popen[bytes]:
    """`create` under way, with what it says in a file: its init inherits that."""
    command = [*before, *box.command("create", "--bundle", str(box.bundle), box.id)]
    with open(box.folder / "said", "wb") as said:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said
        )


def check_end(box: Box, creating: subprocess.Popen[bytes]) -> None:
    """It has made the container, or says why not and has left nothing; it can be deleted."""
    code = creating.wait(timeout=20)
    said = (box.folder / "said").read_text()
    if code:
        assert said
        assert "internal error" not in said
        assert "Traceback" not in said
        deadline = time.monotonic() + 1
        while left(box) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert left(box) == [], said
    else:
        assert json.loads(box.verb("state").stdout)["status"] == "created"
    force(box)


def force(box: Box) -> None:
    """delete --force, and whether it has left something."""
    done = box.verb("delete", "--force")
    assert done.returncode == 0, done.stderr
    deadline = time.monotonic() + 2
    while left(box) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert left(box) == []


def test_create_killed_at_any_time_is_undone(box: Box, is_pyrun: bool) -> None:
    """crun: four init processes leaked although delete said 0 (before its record is written)."""
    if not is_pyrun:
        pytest.skip("the peers are known to fail")
    box.process["args"] = ["sleep", "60"]
    box.config["hooks"] = {"createRuntime": [{"path": "/bin/true"}]}
    box.write()
    for step in range(0, 80, 2):
        under_way = create(box)
        time.sleep(step / 1000)
        under_way.kill()
        under_way.wait()
        force(box)


@pytest.mark.parametrize("limit", range(3, 65 if ALL else 24))
def test_create_without_descriptors_leaves_nothing(box: Box, is_pyrun: bool, limit: int) -> None:
    """runc 1.5.1-dev: create and delete said 0, and the init was leaked."""
    if not is_pyrun:
        pytest.skip("the peers are known to fail")
    box.process["args"] = ["sleep", "60"]
    box.config["hooks"] = {"createContainer": [{"path": "/bin/true"}]}
    box.write()
    check_end(box, create(box, "prlimit", f"--nofile={limit}:{limit}"))


@pytest.mark.parametrize("megabytes", [16, 24, 32, 48, 64, 96, 128, 256, 512])
def test_create_without_address_space_leaves_nothing(
    box: Box, is_pyrun: bool, megabytes: int
) -> None:
    if not is_pyrun:
        pytest.skip("the peers are known to fail")
    box.process["args"] = ["sleep", "60"]
    box.write()
    check_end(box, create(box, "prlimit", f"--as={megabytes << 20}"))


@pytest.mark.parametrize("whose", ["the caller's", "the container's"])
@pytest.mark.parametrize("count", range(1, 6))
def test_create_where_few_processes_may_be(
    box: Box, is_pyrun: bool, whose: str, count: int
) -> None:
    """pids.max of a cgroup above: clone3 and fork fail with EAGAIN, wherever they are."""
    if not is_pyrun:
        pytest.skip("the peers are known to fail")
    controllers = CGROUPS if (CGROUPS / "cgroup.controllers").exists() else CGROUPS / "pids"
    few = controllers / f"{box.id}-few"
    few.mkdir()
    try:
        (few / "pids.max").write_text(str(count))
        box.process["args"] = ["sleep", "60"]
        kind = "createRuntime" if whose == "the caller's" else "createContainer"  # of the init
        box.config["hooks"] = {kind: [{"path": "/bin/true"}]}
        if whose == "the container's":
            box.config["linux"]["cgroupsPath"] = f"/{few.name}/{box.id}"
        box.write()
        enter = (
            f'echo $$ > {few}/cgroup.procs; exec "$@"' if whose == "the caller's" else 'exec "$@"'
        )
        check_end(box, create(box, "sh", "-c", enter, "sh"))
        assert [place.name for place in few.iterdir() if place.is_dir()] == []
    finally:
        box.delete()
        for place in [*CGROUPS.glob(few.name), *CGROUPS.glob(f"*/{few.name}")]:
            place.rmdir()


def test_a_caller_that_ignores_its_children(box: Box) -> None:
    """SIGCHLD is ignored by some init programs, and their children inherit that."""
    box.config["hooks"] = {"createRuntime": [{"path": "/bin/true"}]}
    box.process["args"] = ["sh", "-c", "exit 7"]
    script = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    done = box.run(before=["/usr/bin/env", "python3", "-c", script])
    assert done.returncode == 7, done.stderr


def test_records_of_before_a_reboot_kill_nobody(box: Box, is_pyrun: bool) -> None:
    """The cgroup of that name is another's by now."""
    if not is_pyrun:
        pytest.skip("what is on record is each runtime's own")
    box.process["args"] = ["sleep", "60"]
    pid = box.create()
    intent = box.state / box.id / "intent.json"
    record = json.loads(intent.read_text())
    intent.write_text(json.dumps({**record, "boot_id": "another"}))
    try:
        assert json.loads(box.verb("state").stdout)["status"] == "stopped"
        assert box.verb("delete", "--force").returncode == 0
        assert Path(f"/proc/{pid}").exists()
    finally:
        (box.state / box.id).mkdir(parents=True, exist_ok=True)
        intent.write_text(json.dumps(record))
        os.kill(pid, 9)
        force(box)


@pytest.mark.parametrize("verb", ["state", "delete", "kill", "start"])
def test_r13_a_state_folder_of_another_user_is_not_believed(
    box: Box, is_pyrun: bool, verb: str
) -> None:
    """Its records could name any cgroup to kill, and hooks to run as root."""
    if not is_pyrun:
        pytest.skip("the peers believe them")
    box.process["args"] = ["sleep", "60"]
    box.create()
    os.chown(box.state, 1000, 1000)
    try:
        done = box.verb(verb)
        assert done.returncode != 0
        assert "another user" in done.stderr
    finally:
        os.chown(box.state, 0, 0)


@pytest.mark.parametrize("room", range(0, 40, 4))
def test_create_without_room_for_its_state_leaves_nothing(
    box: Box, is_pyrun: bool, room: int
) -> None:
    if not is_pyrun:
        pytest.skip("the peers are known to fail")
    box.process["args"] = ["sleep", "60"]
    box.config["annotations"] = {"size": "x" * 6000}
    box.write()
    box.state.mkdir(mode=0o700)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "none", box.state], check=True
    )
    try:
        (box.state / ".filler").write_bytes(b"x" * (65536 - room * 1024))
        code = create(box).wait(timeout=20)
        said = (box.folder / "said").read_text()
        if code:
            assert "no space left" in said
            assert left(box) == []
        force(box)
    finally:
        box.delete()
        subprocess.run(["umount", box.state], check=True)
