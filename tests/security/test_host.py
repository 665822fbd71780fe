# SPDX-License-Identifier: Apache-2.0
"""Advisories about hooks, state folders and mounts of the host."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from needs import needs

from .box import PROC, Box
from .test_identity import user_namespace

pytestmark = needs("root", "busybox")

# A mount namespace of our own, whose root is shared as systemd has it.
SHARED = """
mount --make-rshared /
cat /proc/self/mountinfo > "$BEFORE"
"$@"
code=$?
cat /proc/self/mountinfo > "$AFTER"
exit $code
"""


def in_shared_mounts(box: Box) -> tuple[str, str, int]:
    """(mountinfo before, after, exit code) of running it where every mount is shared."""
    before, after = box.folder / "before", box.folder / "after"
    done = box.run(
        before=["unshare", "-m", "--propagation", "private", "sh", "-c", SHARED, "sh"],
        env={**os.environ, "BEFORE": str(before), "AFTER": str(after)},
    )
    return before.read_text(), after.read_text(), done.returncode


@pytest.mark.parametrize("kind", ["createRuntime", "createContainer", "poststop"])
def test_cve_2025_23266_hooks_do_not_get_the_containers_environment(box: Box, kind: str) -> None:
    box.process["env"] += ["LD_PRELOAD=/evil.so", "MARK=1"]
    dump = box.folder / "dump"
    script = box.folder / "hook"
    script.write_text(f"#!/bin/bash\ncat > /dev/null\nenv > {dump}\n")
    script.chmod(0o755)
    box.config["hooks"] = {kind: [{"path": str(script)}]}
    done = box.run()
    assert done.returncode == 0, done.stderr
    text = dump.read_text()
    assert "MARK" not in text
    assert "LD_PRELOAD" not in text


def test_cve_2021_41103_nobody_else_sees_the_state(box: Box) -> None:
    box.process["args"] = ["sleep", "60"]
    box.create()
    for path in [box.state, *box.state.rglob("*")]:
        status = path.stat()
        assert status.st_uid == 0
        assert status.st_mode & 0o077 == 0, path
    seen = subprocess.run(["ls", box.state / box.id], user=65534, group=65534, capture_output=True)
    assert seen.returncode != 0


def test_r20_without_a_mount_namespace_the_hosts_mounts_stay(box: Box) -> None:
    """runc before 1.5.3 made the propagation of / and of the rootfs' parent private."""
    linux = box.config["linux"]
    linux["namespaces"] = [entry for entry in linux["namespaces"] if entry["type"] != "mount"]
    box.config["mounts"] = []
    before, after, code = in_shared_mounts(box)
    assert before == after
    assert code == 0


@pytest.mark.parametrize("user", [False, True])
def test_r20_mounts_of_a_container_do_not_reach_the_host(box: Box, user: bool) -> None:
    if user:
        user_namespace(box)
        os.chown(box.rootfs, 100000, 100000)
    volume = {"destination": "/vol", "source": str(box.outside), "options": ["rbind"]}
    box.config["mounts"] += [volume, {"destination": "/vol/deep", "type": "tmpfs"}]
    (box.outside / "deep").mkdir()
    before, after, code = in_shared_mounts(box)
    assert code == 0
    assert before == after


@pytest.mark.parametrize("root", ["rslave", "rshared"])
@pytest.mark.parametrize("target", ["/vol/deep", "/dev/null"])
def test_r20_mounts_made_in_the_container_do_not_reach_the_host(
    box: Box, target: str, root: str
) -> None:
    """Root of a user namespace may mount in it, also below a volume that the host shares."""
    user_namespace(box)
    os.chown(box.rootfs, 100000, 100000)
    for kind in ("bounding", "effective", "permitted"):
        box.process["capabilities"][kind].append("CAP_SYS_ADMIN")
    volume = {"destination": "/vol", "source": str(box.outside), "options": ["rbind"]}
    box.config["mounts"] += [volume]
    box.config["linux"]["rootfsPropagation"] = root
    (box.outside / "deep").mkdir()
    mount = "mount -t tmpfs none" if target == "/vol/deep" else "mount --bind /bin/busybox"
    box.sh(f"{mount} {target} && echo MOUNTED; sleep 0.5")
    before, after = box.folder / "before", box.folder / "after"
    script = """
    mount --make-rshared /
    cp /proc/self/mountinfo "$BEFORE"
    ("$@" &)
    sleep 0.4
    cp /proc/self/mountinfo "$AFTER"
    wait
    """
    done = box.run(
        before=["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh"],
        env={**os.environ, "BEFORE": str(before), "AFTER": str(after)},
    )
    assert "MOUNTED" in done.stdout, done.stderr
    assert before.read_text() == after.read_text()


def test_r20_joined_mount_namespace_of_the_host(box: Box) -> None:
    """A path to the namespace that the runtime is in: its root would become the container's."""
    keeper = subprocess.Popen(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", "echo up; exec sleep 20"],
        stdout=subprocess.PIPE,
    )
    try:
        assert keeper.stdout
        keeper.stdout.readline()
        path = f"/proc/{keeper.pid}/ns/mnt"
        box.config["linux"]["namespaces"][-1] = {"type": "mount", "path": path}
        table = Path(f"/proc/{keeper.pid}/mountinfo")
        before = table.read_text()
        box.config["mounts"] = [PROC]
        box.run(before=["nsenter", f"--mount={path}"])
        assert table.read_text() == before
    finally:
        keeper.kill()
        keeper.communicate()


@pytest.mark.parametrize("word", ["shared", "rshared", "rslave", "rprivate"])
def test_r20_a_shared_root_on_a_mount_of_its_own(box: Box, word: str) -> None:
    """What is mounted in it during the set-up is not mounted in the bundle."""
    box.config["linux"]["rootfsPropagation"] = word
    script = 'mount --bind "$ROOTFS" "$ROOTFS"; ' + SHARED
    before, after = box.folder / "before", box.folder / "after"
    done = box.run(
        before=["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh"],
        env={
            **os.environ,
            "BEFORE": str(before),
            "AFTER": str(after),
            "ROOTFS": str(box.rootfs),
        },
    )
    assert done.returncode == 0, done.stderr
    assert before.read_text() == after.read_text()


def test_a_shared_volume_stays_shared(box: Box) -> None:
    """Cutting the host off does not cut off what the config asks for."""
    box.config["linux"]["rootfsPropagation"] = "rshared"
    volume = {"destination": "/vol", "source": str(box.outside), "options": ["rbind", "rshared"]}
    box.config["mounts"].append(volume)
    box.sh("cat /proc/self/mountinfo")
    script = 'mount --bind "$OUT" "$OUT"; mount --make-rshared /; "$@"'
    done = box.run(
        before=["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh"],
        env={**os.environ, "OUT": str(box.outside)},
    )
    lines = [line for line in done.stdout.splitlines() if " /vol " in line]
    assert lines, done.stderr
    assert " shared:" in lines[-1]


@needs("strace")
@pytest.mark.parametrize("user", [False, True])
def test_cve_2026_84042_cve_2025_24965_no_program_of_the_image_runs_outside(
    box: Box, user: bool
) -> None:
    """R12: hooks apart, the runtime starts programs of its own only, and looks for none in the PATH
    of the container. A trap that ran on the host would leave its name there."""
    if user:
        user_namespace(box)
        os.chown(box.rootfs, 100000, 100000)
    box.process["env"] = ["PATH=/trap:/bin"]
    mark, trace = box.folder / "mark", box.folder / "trace"
    for folder in (box.rootfs / "trap", box.rootfs / "bin"):
        folder.mkdir(exist_ok=True)
        for name in ("newuidmap", "newgidmap", "passt", "modprobe", "criu", "python3"):
            (folder / name).write_text(f'#!/bin/sh\necho "$0" >> {mark}\n')
            (folder / name).chmod(0o755)
    box.process["args"] = ["/bin/true"]
    strace = ["strace", "-f", "-y", "-qq", "-e", "trace=execve,execveat", "-o", str(trace)]
    done = box.run(before=strace)
    assert done.returncode == 0, done.stderr
    assert not mark.exists()
    calls = [line for line in trace.read_text().splitlines() if " exec" in line]
    # Of a resumed call the beginning has the path.
    payload = [line for line in calls if '"/bin/true"' in line]
    assert len(payload) == 1
    others = [line for line in calls if line not in payload]
    assert others
    assert [line for line in others if "/trap/" in line or str(box.rootfs) in line] == []


def test_state_is_json_that_only_names_the_container(box: Box) -> None:
    """Environment of the process, which may hold secrets, is not what `state` shows."""
    box.process["env"].append("SECRET=xyzzy")
    box.process["args"] = ["sleep", "60"]
    box.create()
    shown = box.verb("state").stdout
    assert json.loads(shown)["status"] == "created"
    assert "xyzzy" not in shown


@pytest.mark.parametrize("kind", ["createRuntime", "createContainer"])
def test_a_hook_that_hangs_is_ended_with_its_children(box: Box, kind: str) -> None:
    """In time, also when a grandchild holds the output open (runc waits for it)."""
    marker = box.folder / "marker"
    script = f"(sleep 4; touch {marker}) & sleep 60"
    args = ["sh", "-c", script]
    box.config["hooks"] = {kind: [{"path": "/bin/sh", "args": args, "timeout": 1}]}
    begun = time.monotonic()
    assert box.run().returncode != 0
    assert time.monotonic() - begun < 3
    time.sleep(max(0, begun + 5 - time.monotonic()))
    assert not marker.exists()


@pytest.mark.parametrize("kind", ["createRuntime", "createContainer"])
def test_a_hook_that_is_not_there_says_so(box: Box, kind: str, is_pyrun: bool) -> None:
    box.config["hooks"] = {kind: [{"path": "/nonexistent/hook"}]}
    done = box.run()
    assert done.returncode != 0
    if is_pyrun:
        assert "no such file or directory" in done.stderr
