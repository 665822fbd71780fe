# SPDX-License-Identifier: Apache-2.0
"""`pyrun plan`: needs no root, makes nothing, and says for whom the plan is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from needs import needs
from pyrun import spec_default

NOBODY = 65534
# Whatever makes, changes or removes something that outlives the process.
EFFECTS = (
    "mkdir,mkdirat,mknod,mknodat,rename,renameat,renameat2,unlink,unlinkat,rmdir,link,linkat,"
    "symlink,symlinkat,truncate,ftruncate,chmod,fchmod,fchmodat,chown,fchown,lchown,fchownat,"
    "mount,umount2,move_mount,open_tree,fsopen,mount_setattr,pivot_root,chroot,unshare,setns,"
    "clone3,fork,vfork,kill,pidfd_send_signal,sethostname,setdomainname,bpf,keyctl,socket,connect"
)
PROFILE = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "syscalls": [{"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"}],
}


@pytest.fixture
def bundle() -> Iterator[Path]:
    """A bundle like a root engine's, which others may read: pytest's own folder they may not."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        path.chmod(0o755)
        (path / "rootfs").mkdir(mode=0o755)
        config = spec_default.default(None)
        config["linux"]["seccomp"] = PROFILE
        config["process"]["rlimits"] = [{"type": "RLIMIT_CORE", "soft": 0, "hard": 1}]
        config["process"]["oomScoreAdj"] = -5
        (path / "config.json").write_text(json.dumps(config))
        (path / "config.json").chmod(0o644)
        yield path


def run(pyrun: Path, *words: str | Path, **rest: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([pyrun, *words], capture_output=True, text=True, env={}, **rest)


def test_text(pyrun: Path, bundle: Path) -> None:
    done = run(pyrun, "plan", "--bundle", bundle)
    assert (done.returncode, done.stderr) == (0, "")
    head, _, operations = done.stdout.partition("\n\n")
    assert f"bundle   {bundle}\nrootfs   {bundle}/rootfs\n" in head
    assert "clone3   CLONE_NEWNS|CLONE_NEWUTS|CLONE_NEWIPC|CLONE_NEWPID|CLONE_NEWNET\n" in head
    assert "donate   fifo\ndonate   result\n" in head
    assert head.endswith("runtime  process.oomScoreAdj: oom_score_adj -5")
    assert "process.rlimits[0]             setrlimit(RLIMIT_CORE, 0, 1)\n" in operations
    found = re.search(r"seccomp  SCMP_ACT_ERRNO but for 2 .* in 1 rules.*: (\d+) instr", head)
    assert found
    assert int(found.group(1)) > 5
    assert re.search(r"^mounts\[0\]\.type +fsopen\(\"proc\"\) = context$", operations, re.MULTILINE)
    assert operations.endswith('"HOME="])\n')


def test_cgroup_directories(pyrun: Path, bundle: Path) -> None:
    lines = run(pyrun, "plan", "--bundle", bundle).stdout.splitlines()
    directories = [line.split()[1] for line in lines if line.startswith("cgroup ")]
    assert directories
    assert all(path.startswith("/") and path.endswith("/ID") for path in directories)
    lines = run(
        pyrun, "--cgroup-manager", "disabled", "plan", "--bundle", bundle
    ).stdout.splitlines()
    assert "cgroup   none" in lines


def test_json_says_the_same(pyrun: Path, bundle: Path) -> None:
    text = run(pyrun, "plan", cwd=bundle).stdout
    found = json.loads(run(pyrun, "plan", "--json", cwd=bundle).stdout)
    assert found["bundle"] == str(bundle)
    assert found["seccomp"]["rules"] == 1
    shown = [line.split(maxsplit=1)[1] for line in text.partition("\n\n")[2].splitlines()]
    assert [operation["text"] for operation in found["operations"]] == shown
    last = found["operations"][-1]
    assert (last["operation"], last["pointer"], last["field"]) == (
        "execve",
        "/process/args",
        "process.args",
    )
    assert last["operands"]["args"] == '["sh"]'


@needs("root")
def test_nobody_reads_the_plan_that_root_would_get(pyrun: Path, bundle: Path) -> None:
    mine = run(pyrun, "plan", cwd=bundle)
    theirs = run(pyrun, "plan", cwd=bundle, user=NOBODY, group=NOBODY, extra_groups=[])
    assert (theirs.returncode, theirs.stderr) == (0, "")
    other = "for      root (not uid 65534: without a user namespace it takes root)"
    assert other in theirs.stdout
    assert theirs.stdout.replace(other, "for      root") == mine.stdout


@needs("root")
def test_an_ordinary_users_own_plan(pyrun: Path, bundle: Path) -> None:
    config = spec_default.default((NOBODY, NOBODY))
    config["process"]["rlimits"] = [{"type": "RLIMIT_CORE", "soft": 0, "hard": 2**64 - 1}]
    (bundle / "config.json").write_text(json.dumps(config))
    done = run(pyrun, "plan", cwd=bundle, user=NOBODY, group=NOBODY, extra_groups=[])
    assert (done.returncode, done.stderr) == (0, "")
    assert "for      uid 65534\n" in done.stdout
    assert "runtime  linux.uidMappings: uid_map 0 65534 1\n" in done.stdout
    assert "runtime  process.rlimits[0]: prlimit RLIMIT_CORE 0 unlimited, when" in done.stdout
    assert "CLONE_NEWUSER" in done.stdout


def snapshot(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.lstat().st_mtime_ns) for path in [folder, *folder.rglob("*")])


@needs("strace")
def test_nothing_is_written(pyrun: Path, bundle: Path, tmp_path: Path) -> None:
    """The seccomp profile is compiled and not cached, no state folder is made."""
    before, trace = snapshot(bundle), tmp_path / "trace"
    root = tmp_path / "missing"
    strace = [
        "strace",
        "-f",
        "-o",
        trace,
        "-e",
        f"trace={EFFECTS},openat,open,creat,write,memfd_create",
    ]
    words = [pyrun, "--root", root, "plan", "--bundle", bundle]
    done = subprocess.run([*strace, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not root.exists()
    assert snapshot(bundle) == before
    calls = [line for line in trace.read_text().splitlines() if re.match(r"\d+ +\w+\(", line)]
    assert len(calls) > 5
    assert [line for line in calls if has_effect(line, in_memory(calls))] == []


def in_memory(calls: list[str]) -> set[str]:
    """Descriptors of memory: libseccomp hands its program over by one."""
    return {line.rpartition("= ")[2] for line in calls if "memfd_create(" in line}


def has_effect(line: str, memory: set[str]) -> bool:
    name, _, rest = line.split(maxsplit=1)[1].partition("(")
    if name == "write":
        return rest.partition(",")[0] not in {"1", *memory}
    if name in ("open", "openat", "creat"):
        return bool(re.search("O_WRONLY|O_RDWR|O_CREAT", rest)) or name == "creat"
    return name in EFFECTS.split(",")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"process": None}, "process is missing"),
        ({"root": {"path": "nowhere"}}, "rootfs"),
        ({"mounts": [{"destination": "/m"}]}, "/mounts/0/type"),
        ({"hostname": 1}, "/hostname"),
    ],
)
def test_what_create_would_refuse(
    pyrun: Path, bundle: Path, change: dict[str, Any], words: str
) -> None:
    config = json.loads((bundle / "config.json").read_text()) | change
    (bundle / "config.json").write_text(json.dumps(config))
    done = run(pyrun, "plan", "--bundle", bundle)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_it_is_not_on_the_hot_path() -> None:
    """describe and the verb itself are for people."""
    code = (
        "import sys, pyrun.commands.create, pyrun.commands.start, pyrun.commands.run;"
        "print(any(name in sys.modules for name in ('pyrun.describe', 'pyrun.commands.plan')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
