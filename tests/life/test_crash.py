# SPDX-License-Identifier: Apache-2.0
"""SIGKILL of a verb at any of its system calls: `state` stays sane, `delete --force` takes all of
it away, and the id can be used again. A full disk and a damaged record besides."""

from __future__ import annotations

import collections
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from life import hierarchies, leftovers
from life.bundles import Bundle
from life.runtimes import Container, eventually
from needs import needs

pytestmark = [needs("strace"), pytest.mark.pyrun_only("no peer keeps this promise")]

STATUSES = {"creating", "created", "running", "paused", "stopped"}  # paused: frozen to be killed
# Calls without an effect on anything but the process itself: being killed at one of them is being
# killed at the next.
INNER = frozenset(
    """brk mmap munmap mprotect mremap madvise rt_sigaction rt_sigprocmask fstat newfstatat lseek
    read pread64 getdents64 getpid gettid geteuid getuid getgid getegid fcntl futex getrandom
    readlink clock_gettime sigaltstack prctl uname poll access faccessat2 statx stat lstat getcwd
    """.split()  # noqa: SIM905 - a list of as many strings would fill the screen
)
LINE = re.compile(r"^(\w+)\(")


def points(trace: Path, begin: str, count: int) -> list[tuple[str, int]]:
    """(call, which of its kind) for up to `count` places spread over a traced run, from the first
    line on that has `begin` in it."""
    seen: collections.Counter[str] = collections.Counter()
    found: list[tuple[str, int]] = []
    begun = False
    for line in trace.read_text(errors="replace").splitlines():
        match = LINE.match(line)
        if not match:
            continue
        name = match.group(1)
        seen[name] += 1
        begun = begun or begin in line
        if begun and name not in INNER and name not in {"exit_group", "execve"}:
            found.append((name, seen[name]))
    assert found, "nothing was traced"
    step = max(1.0, len(found) / count)
    return [found[int(i * step)] for i in range(min(count, len(found)))]


class Victim:
    """A container whose verbs are killed."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.trace = container.bundle.path / "trace"
        self.state_root = container.runtime.root
        self.killed = 0

    def strace(self, *options: str) -> list[str]:
        """The prefix of a traced verb. Only its own process is traced, not the container's."""
        return ["strace", "-qq", "-s", "4096", "-o", str(self.trace), *options]

    def kill_at(self, call: str, number: int, *words: str | Path) -> int:
        """Runs a verb that is killed there; its exit code."""
        prefix = self.strace(
            "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"
        )
        with open(os.devnull, "r+b") as null:
            process = self.container.runtime.popen(
                *words, prefix=prefix, stdin=null, stdout=null, stderr=null
            )
            code = process.wait(20)
            self.killed += code == -signal.SIGKILL
            return code

    def check(self, where: str, before: leftovers.Host) -> None:
        """After the kill."""
        container = self.container
        result = container.runtime("state", container.id)
        if result.code == 0:
            assert any(f'"status": "{status}"' in result.out for status in STATUSES), where
        else:
            assert "does not exist" in result.err, f"{where}: {result}"
        result = container.delete("--force")
        assert (result.code, result.err) == (0, ""), where
        left = leftovers.wait_until_clean(before, [self.state_root])
        assert left == [], f"{where}: left behind: {left}"
        assert container.create().code == 0, where
        assert container.delete("--force").code == 0, where


@pytest.fixture
def victim(container: Container, bundle: Bundle) -> Victim:
    """With a poststop hook as a witness, and a terminal's worth of features."""
    bundle.say("sleep 100")
    bundle.linux["maskedPaths"] = ["/proc/keys"]
    bundle.linux["resources"]["memory"] = {"limit": 64 << 20}
    return Victim(container)


def staged(bundle: Bundle) -> None:
    """A container that takes a first stage: its init is not what was cloned first."""
    bundle.map_ids()
    bundle.linux["namespaces"].append({"type": "time"})
    bundle.linux["timeOffsets"] = {"boottime": {"secs": 500000}}
    bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/true"}]}


def layered(bundle: Bundle) -> None:
    """A container whose root is laid by a process of its own, before its init is cloned."""
    bundle.map_ids()
    bundle.config["annotations"] = {"org.pyrun.rootfs.ephemeral": "true"}


def kill_everywhere(victim: Victim, words: list[str], begin: str, count: int) -> None:
    """A verb that makes the container, killed at so many places from the line with `begin` on."""
    container = victim.container
    container.bundle.save()
    null = subprocess.DEVNULL

    def make(*prefix: str) -> None:
        process = container.runtime.popen(*words, prefix=prefix, stdout=null, stderr=null)
        assert process.wait(20) == 0

    # So that the parents of its cgroups are there when it is traced, and a template, as later.
    make()
    assert container.delete("--force").code == 0
    make(*victim.strace())
    places = points(victim.trace, begin, count)
    assert container.delete("--force").code == 0
    before = leftovers.look([victim.state_root])
    for call, number in places:
        victim.kill_at(call, number, *words)
        victim.check(f"{call} {number}", before)
    assert victim.killed > len(places) * 0.8


@pytest.mark.parametrize("view", hierarchies.VIEWS)
def test_create(victim: Victim, view: str) -> None:
    container = victim.container
    words = ["create", "--bundle", str(container.bundle.path), container.id]
    with hierarchies.view(view):
        if not hierarchies.has_memory():
            del container.bundle.linux["resources"]["memory"]
        kill_everywhere(victim, words, "mkdir", 28)


@pytest.mark.parametrize("change", [staged, layered])
def test_create_with_help(victim: Victim, change: Callable[[Bundle], None]) -> None:
    container = victim.container
    change(container.bundle)
    words = ["create", "--bundle", str(container.bundle.path), container.id]
    kill_everywhere(victim, words, "mkdir", 20)


def test_run(victim: Victim) -> None:
    """Detached: past READY there is a program to start."""
    container = victim.container
    words = ["run", "--detach", "--bundle", str(container.bundle.path), container.id]
    kill_everywhere(victim, words, "clone3", 12)


@pytest.mark.parametrize(
    ("verb", "flags", "running"),
    [("start", [], False), ("delete", [], False), ("delete", ["--force"], True)],
    ids=str,
)
def test_verb(victim: Victim, verb: str, flags: list[str], running: bool) -> None:
    container = victim.container
    words = [verb, *flags, container.id]

    def prepare() -> None:
        container.created()
        if running:
            assert container.start().code == 0

    before = leftovers.look([victim.state_root])
    prepare()
    process = container.runtime.popen(*words, prefix=victim.strace())
    assert process.wait(20) == 0
    places = points(victim.trace, container.id + '"', 12)
    assert container.delete("--force").code == 0
    for call, number in places:
        prepare()
        victim.kill_at(call, number, *words)
        victim.check(f"{call} {number}", before)
    # How often a verb looks whether a process has ended is the machine's affair.
    assert victim.killed > len(places) / 2


def test_killed_between_create_and_start(container: Container) -> None:
    """The init itself."""
    container.created("sleep 100")
    os.kill(container.pid, signal.SIGKILL)
    container.wait()
    assert container.status() == "stopped"
    assert container.delete().code == 0


def test_kill_of_a_creating_runtime_takes_its_init_along(
    container: Container, bundle: Bundle
) -> None:
    """While a hook runs, by its parent-death signal: before anybody calls delete."""
    mark = bundle.path / "mark"
    bundle.config["hooks"] = {
        "createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", f"echo > {mark}; exec sleep 1"]}]
    }
    bundle.say("sleep 100")
    bundle.save()
    process = container.runtime.popen("create", "--bundle", bundle.path, container.id)
    assert eventually(mark.exists)
    pid = container.state()["pid"]
    assert container.status() == "creating"
    process.kill()
    process.wait()

    def ended() -> bool:
        try:
            return bool(os.waitpid(pid, os.WNOHANG)[0])
        except ChildProcessError:
            return True

    assert eventually(ended, 4)
    assert container.status() == "stopped"
    assert container.start().code == 1


@pytest.mark.parametrize("name", ["state.json", "intent.json"])
@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"init_process_pid": "x"}', "\0" * 10])
def test_damaged_record(container: Container, name: str, damage: str) -> None:
    """It is refused by its name, and nothing is done; but each of the two says enough to take the
    container away, the intent's part by its copy in the file for verbs without Python."""
    container.created("sleep 100")
    path = container.runtime.root / container.id / name
    path.write_text(damage)
    for verb in ("state", "start", "kill", "delete"):
        result = container.runtime(verb, container.id)
        assert result.code == 1
        assert str(path) in result.err
        assert "internal error" not in result.err
    pid = container.pid
    assert container.delete("--force").code == 0
    assert not path.parent.exists()
    assert eventually(lambda: not Path(f"/proc/{pid}").exists() or container.wait() == -9)


@pytest.mark.parametrize("lost", ["fast", "cgroup", "all"])
def test_damaged_records(container: Container, lost: str) -> None:
    """What is not known is not done, and said."""
    container.created("sleep 100")
    folder = container.runtime.root / container.id
    whole = {name: (folder / name).read_bytes() for name in ("intent.json", "state.json")}
    (folder / "intent.json").write_text("{")
    if lost == "fast":
        (folder / "state.json").write_text("{")  # its cgroup is in `fast`
    else:
        data = (folder / "fast").read_bytes()
        (folder / "fast").write_bytes(data[:-3] + b"x" + data[-2:])
    if lost == "all":
        (folder / "state.json").write_text("{")
    log = container.bundle.path / "log"
    result = container.delete("--force", options=["--log-level", "warning", "--log", log])
    if lost == "all":
        assert result.code == 1
        assert f"{folder}/intent.json" in result.err
        assert "nothing else tells what is to be undone" in result.err
        for name, content in whole.items():
            (folder / name).write_bytes(content)
        assert container.delete("--force").code == 0
        return
    assert result.code == 0, result
    assert not folder.exists()
    assert "poststop hooks are not run" in log.read_text()
    assert ("which cgroup it was" in log.read_text()) == (lost == "cgroup")
    assert container.wait() == -9
    for left in sorted(leftovers.cgroups(), reverse=True):
        if container.id in left:
            assert lost == "cgroup"
            Path(left).rmdir()


def test_pid_that_another_process_has(container: Container) -> None:
    """A pid is not believed without the time at which its process started."""
    container.created("sleep 100")
    path = container.runtime.root / container.id / "state.json"
    time.sleep(0.05)  # start times are told to the hundredth of a second
    stranger = subprocess.Popen(["sleep", "100"])
    try:
        text = path.read_text().replace(f":{container.pid},", f":{stranger.pid},")
        assert f":{stranger.pid}," in text
        os.kill(container.pid, signal.SIGKILL)
        container.wait()
        path.write_text(text)
        assert container.status() == "stopped"
        assert container.kill().code == 1
        assert container.delete("--force").code == 0
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("free", [0, 1, 2])
def test_full_disk(container: Container, free: int) -> None:
    """State that cannot be written: an error before anything is made."""
    root = container.runtime.root
    command = ["mount", "-t", "tmpfs", "-o", f"size=16k,nr_inodes={3 + free}", "none", str(root)]
    subprocess.run(command, check=True)
    try:
        (root / "fill").write_bytes(b"x" * 4096 * (4 - free))
        result = container.create("sleep 100")
        assert result.code == 1
        assert "no space left on device" in result.err
        assert container.delete("--force").code == 0
        assert [path.name for path in root.iterdir()] == ["fill"]
    finally:
        subprocess.run(["umount", root], check=True)


@pytest.mark.parametrize("count", [*range(4, 24, 2), 32])
def test_few_descriptors(container: Container, count: int) -> None:
    """A limit of descriptors: an error or a container, never half of one."""
    result = container.create("sleep 100", prefix=["prlimit", f"--nofile={count}"])
    if result.code == 0:
        assert container.status() == "created"
    else:
        assert result.code in {1, 127}, result
        assert "Traceback" not in result.err
        assert container.runtime("state", container.id).code == 1


@pytest.mark.parametrize("traced", [False, True], ids=["half of Python", "all of it"])
@pytest.mark.parametrize("more", [[], [signal.SIGHUP, signal.SIGINT]], ids=["one", "three"])
def test_interrupted_before_it_has_begun(
    container: Container, tmp_path: Path, traced: bool, more: list[signal.Signals]
) -> None:
    """By signals that were blocked, and wait: one is told, and not even the folder stays."""

    def hold() -> None:
        for number in (signal.SIGTERM, *more):
            signal.pthread_sigmask(signal.SIG_BLOCK, {number})
            os.kill(os.getpid(), number)

    container.created("print x")
    container.delete("--force")
    before = leftovers.look([container.runtime.root])
    words = ["create", "--bundle", container.bundle.path, container.id]
    if traced:
        words += ["--trace", tmp_path / "trace"]
    result = container.runtime(*words, preexec_fn=hold)
    assert result.code in {128 + number for number in (signal.SIGTERM, *more)}
    assert result.err.count("interrupted by signal") == result.err.count("\n") == 1
    assert leftovers.wait_until_clean(before, [container.runtime.root]) == []
    assert not (container.runtime.root / container.id).exists()
