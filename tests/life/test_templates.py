# SPDX-License-Identifier: Apache-2.0
"""The next container of a shape takes no Python, and is the same as one that did."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from life import hierarchies, leftovers
from life.bundles import Bundle, bind, mount
from life.runtimes import Container
from life.templates import BOOT, MOST, PAUSE, Maker
from needs import needs

pytestmark = [
    needs("root", "strace"),
    pytest.mark.pyrun_only("no peer has templates"),
    pytest.mark.one_way("templates are the launcher's"),
    pytest.mark.usefixtures("each_view"),
]

LOOK = (
    "mounts", "env", "hostname", "domainname", "caps", "id", "umask", "cwd", "nnp",
    "status Seccomp", "fds", "keyring", "rlimit 7", "cat /proc/self/cmdline", "ls /dev",
    "cat /proc/self/cgroup", "cat /proc/self/oom_score_adj", "ioprio", "network", "pids",
    "syscall 39", "open /dev/local r",
)  # fmt: skip
LIMITS = (
    "memory.limit_in_bytes", "cpu.shares", "cpu.cfs_quota_us", "cpuset.cpus", "cpuset.mems",
    "pids.max", "devices.list", "cgroup.procs", "memory.max", "memory.low", "memory.swap.max",
    "cpu.weight", "cpu.max", "cpuset.cpus.effective", "cgroup.controllers", "cgroup.type",
)  # fmt: skip


@pytest.fixture
def maker(container: Container) -> Maker:
    container.bundle.say(*LOOK)
    # Which it has, and no rule allows.
    container.bundle.linux["devices"] = [
        {"path": "/dev/local", "type": "c", "major": 240, "minor": 9, "fileMode": 0o666}
    ]
    return Maker(container)


def records(container: Container) -> dict[str, Any]:
    """What is on record, without what differs each time."""
    folder = container.runtime.root / container.id
    found: dict[str, Any] = {
        name: json.loads((folder / name).read_bytes()) for name in ("intent.json", "state.json")
    }
    found["exec"] = (folder / "exec").read_bytes()
    found["files"] = sorted(os.listdir(folder))
    found["modes"] = [oct((folder / name).lstat().st_mode) for name in found["files"]]
    found["state"] = container.state()
    assert found["state"]["pid"] == container.pid == found["state.json"]["init_process_pid"]
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", found["state"]["created"])
    for record in ("intent.json", "state"):
        del found[record]["created"]
    del found["intent.json"]["stdio"]
    for name in ("init_process_pid", "init_process_start"):
        del found["state.json"][name]
    del found["state"]["pid"]
    fast = (folder / "fast").read_bytes()
    found["fast"] = fast[:8], fast[20:24], fast[28:32], re.sub(rb"20\d\d-[^\"]*Z", b"", fast[128:])
    return found


def limits(container: Container) -> dict[str, str]:
    intent = json.loads((container.runtime.root / container.id / "intent.json").read_bytes())
    found = {}
    for path in set(intent["cgroup"]["paths"].values()):
        for name in LIMITS:
            if (Path(path) / name).exists():
                text = (Path(path) / name).read_text()
                found[f"{path}/{name}"] = text.replace(f"{container.pid}\n", "PID\n")
    return found


def from_outside(container: Container) -> list[str]:
    """Of its init while it waits, or is about to."""
    place = Path(f"/proc/{container.pid}")
    status = (place / "status").read_text()
    wanted = ["Name", "Umask", "Groups", "Seccomp", "NoNewPrivs", "SigBlk", "SigIgn"]
    wanted += ["Cpus_allowed", "Threads"]
    lines = [line for line in status.splitlines() if line.partition(":")[0] in wanted]
    title = (place / "cmdline").read_bytes().split(b"\0")[0].decode()
    return [*lines, title, *sorted(os.listdir(place / "fd"))[:3]]


def from_inside(container: Container) -> list[str]:
    """The answers, of mounts without numbers."""
    assert container.start() == (0, "", "")
    container.wait()
    answers = container.answers()
    assert len(answers) >= len(LOOK)
    assert answers[len(LOOK) - 1] == "error: EPERM"
    assert not [answer for answer in answers if answer.startswith("payload:")]
    table = [
        re.sub(r"^\d+ \d+ \d+:\d+ | (master|shared):\d+", "", m) for m in answers[0].split("\n")
    ]
    # A temporary file without a name is another one each time.
    return ["\n".join(table), *(re.sub(r"#\d+ ", "", answer) for answer in answers[1:])]


def everything(maker: Maker) -> dict[str, Any]:
    container = maker.container
    found = {"records": records(container), "limits": limits(container)}
    found["outside"] = from_outside(container)
    found["inside"] = from_inside(container)
    maker.delete()
    return found


def plain(_bundle: Bundle, _number: int) -> None:
    pass


def strings(bundle: Bundle, number: int) -> None:
    """All that may differ, differs."""
    bundle.config["hostname"] = f"host-{number * 7}"
    bundle.config["domainname"] = "x" * (1 + number * 40)
    bundle.config["annotations"] = {"a": f"<{number}>", "org.example/b": "y" * number * 300 or "z"}
    # podman says so whoever makes the cgroups; here it is not systemd.
    bundle.config["annotations"]["org.systemd.property.TimeoutStopUSec"] = f"uint64 {number + 1}"
    bundle.process["args"] += [";", "print", f"word {'w' * number * 900}!"]
    bundle.process["env"] += [f"NUMBER={number}", f"LONG={'v' * (1 + number * 3000)}", "SAME=same"]
    for name in ("one", ".another"):
        place = bundle.path / f"{name}-{number}"
        place.mkdir(exist_ok=True)
        (place / name).write_text(f"{number}")
        destination = f"/data/{name.strip('.')}"
        bundle.config["mounts"].append(bind(place, destination, "rbind", "ro"))
    bundle.linux["cgroupsPath"] = f"/{leftovers.PARENT}/{'c' * (1 + number)}-{bundle.path.name}"


def limited(bundle: Bundle, number: int) -> None:
    if hierarchies.has_memory():
        bundle.linux["resources"] |= {
            "memory": {"limit": 64 << 20, "swap": 128 << 20, "reservation": 32 << 20},
            "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0"},
            "pids": {"limit": 40},
        }
    bundle.process["oomScoreAdj"] = 500
    bundle.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]
    bundle.config["annotations"] = {"n": f"{number}"}


def confined(bundle: Bundle, number: int) -> None:
    rules = [{"names": ["getpid"], "action": "SCMP_ACT_ERRNO"}]
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}
    bundle.linux["maskedPaths"] = ["/proc/keys", "/proc/acpi"]
    bundle.linux["readonlyPaths"] = ["/proc/sys", "/proc/bus"]
    bundle.config["root"]["readonly"] = True
    bundle.process["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [5, 6], "umask": 0o27}
    bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    bundle.process["cwd"] = "/home/user"
    bundle.config["hostname"] = f"h{number}"


def few_namespaces(bundle: Bundle, _number: int) -> None:
    bundle.namespaces("mount", "pid")
    del bundle.config["hostname"]
    bundle.without_mount("/sys", "/dev/mqueue")
    bundle.linux.pop("cgroupsPath")


def caller_cgroups(bundle: Bundle, _number: int) -> None:
    """Seen where they are: no cgroup namespace."""
    bundle.namespaces("mount", "pid", "uts", "ipc", "network")
    bundle.config["mounts"].append(mount("/sys/fs/cgroup", "cgroup", "nosuid", "ro"))


def whole_root(bundle: Bundle, number: int) -> None:
    """An absolute root.path, another each time."""
    other = bundle.path / f"root-{number}"
    if not other.exists():
        shutil.copytree(bundle.rootfs, other)
    bundle.config["root"]["path"] = str(other)


SHAPES = (plain, strings, limited, confined, few_namespaces, caller_cgroups, whole_root)


def ready(bundle: Bundle, before: dict[str, Any], shape: Callable[..., None], number: int) -> None:
    bundle.config = copy.deepcopy(before)
    shape(bundle, number)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_by_both_ways(
    maker: Maker, shape: Callable[[Bundle, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, before = maker.container.bundle, copy.deepcopy(maker.container.bundle.config)
    ready(bundle, before, shape, 0)
    maker.prime()
    ready(bundle, before, shape, 1)
    result, python = maker.make()
    assert (result, python) == ((0, "", ""), False)
    ours = everything(maker)
    monkeypatch.setenv("PYRUN_NO_FAST", "1")
    result, python = maker.make()
    assert (result, python) == ((0, "", ""), True)
    theirs = everything(maker)
    for kind, found in theirs.items():
        assert ours[kind] == found, kind


def test_joined_namespaces(maker: Maker, make_container: Callable[[], Container]) -> None:
    """As the containers of a pod: paths that differ from pod to pod."""
    bundle = maker.container.bundle
    for number in range(2):
        pause = make_container().started("sleep 1000")
        paths = {k: f"/proc/{pause.pid}/ns/{v}" for k, v in (("network", "net"), ("ipc", "ipc"))}
        bundle.namespaces("mount", "pid", "uts", "cgroup", **paths)
        if number == 0:
            maker.prime()
            continue
        result, python = maker.make()
        assert (result, python) == ((0, "", ""), False)
        for kind in ("net", "ipc"):
            inside = Path(f"/proc/{maker.container.pid}/ns/{kind}").stat().st_ino
            assert inside == Path(f"/proc/{pause.pid}/ns/{kind}").stat().st_ino
        own = Path(f"/proc/{maker.container.pid}/ns/uts").stat().st_ino
        assert own != Path(f"/proc/{pause.pid}/ns/uts").stat().st_ino
    # The host's own: what the plan may do there is another matter.
    bundle.namespaces("mount", "pid", "uts", "cgroup", network="/proc/1/ns/net", ipc=paths["ipc"])
    maker.delete()
    assert maker.make()[1] is True


def test_run_in_the_foreground(maker: Maker) -> None:
    container = maker.container
    bundle = container.bundle
    for number in range(3):
        bundle.process["env"] = ["PATH=/", f"N={number}"]
        prefix = ["strace", "-qq", "-f", "-e", "trace=execve", "-o", str(maker.trace)]
        result = container.run("env", f"exit {40 + number}", prefix=prefix)
        assert (result.code, result.err) == (40 + number, "")
        assert f"N={number}" in result.answers()[0]
        assert ("/interpreter" in maker.trace.read_text()) == (number == 0)
        assert not (container.runtime.root / container.id).exists()
        # exit's own argument is a hole as well


def test_run_detached(maker: Maker) -> None:
    container = maker.container
    container.bundle.say("sleep 1000")
    maker.prime("run", flags=["--detach"])
    result, python = maker.make("run", flags=["--detach", "--no-subreaper"])
    assert (result, python) == ((0, "", ""), False)
    assert container.status() == "running"
    assert container.exec("hostname").code == 0
    assert container.kill() == (0, "", "")
    container.wait()


def test_without_a_keyring(maker: Maker) -> None:
    """As some engines ask on the command line: another plan, and so another template."""
    flags = ["--no-new-keyring"]
    maker.prime(flags=flags)
    result, python = maker.make(flags=flags)
    assert (result, python) == ((0, "", ""), False)
    without = from_inside(maker.container)
    maker.delete()
    result, python = maker.make()
    assert (result, python) == ((0, "", ""), True)
    assert from_inside(maker.container) != without
    maker.delete()
    maker.prime()
    result, python = maker.make()
    assert (result, python) == ((0, "", ""), False)
    maker.delete()
    assert len(list(maker.templates.iterdir())) == 2


# ---- How they are kept. ----


def test_the_idle_one_makes_room(maker: Maker) -> None:
    def ask(variables: int) -> None:
        maker.container.bundle.process["env"] = ["PATH=/", *[f"V{i}=1" for i in range(variables)]]

    def makes(variables: int) -> bool:
        ask(variables)
        result, python = maker.make()
        assert result == (0, "", "")
        maker.delete()
        return python

    for number in range(MOST):
        ask(number)
        maker.prime()
    assert not makes(0)  # it is of use again
    ask(MOST)
    maker.prime()
    assert {path.name for path in maker.templates.iterdir()} == set(map(str, range(MOST)))
    assert [makes(number) for number in (MOST, 0, 1)] == [False, False, True]


def test_the_same_shape_has_one(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    maker.prime()
    maker.damage(BOOT, noticed=False)
    maker.prime()
    assert [path.name for path in maker.templates.iterdir()] == ["0"]
    assert maker.make()[1] is False
    maker.delete()
    time.sleep(PAUSE)
    monkeypatch.setenv("PYRUN_NO_FAST", "1")
    maker.container.bundle.process["env"].append("X=1")
    assert maker.container.create().code == 0
    assert len(list(maker.templates.iterdir())) == 1, "PYRUN_NO_FAST leaves none"


Config = dict[str, Any]


def hooks(config: Config) -> None:
    config["hooks"] = {"prestart": [{"path": "/bin/true"}]}


def layers(config: Config) -> None:
    config["annotations"] = {"org.pyrun.rootfs.ephemeral": "true"}


def property_of_systemd(config: Config) -> None:
    """What acts may need root's permission, which may be taken back."""
    config["annotations"] = {"org.systemd.property.CPUWeight": ""}


def other_time(config: Config) -> None:
    config["linux"]["namespaces"].append({"type": "time"})
    config["linux"]["timeOffsets"] = {"boottime": {"secs": 5}}


def link_as_source(config: Config) -> None:
    """It may be one the next time."""
    config["mounts"].append(bind("/etc/hostname", "/data/name", "bind", "copy-symlink"))


UNUSUAL = (hooks, layers, property_of_systemd, other_time, link_as_source)


@pytest.mark.parametrize("change", UNUSUAL)
def test_unusual_ones_leave_none(maker: Maker, change: Callable[[Config], None]) -> None:
    change(maker.container.bundle.config)
    assert maker.container.create() == (0, "", "")
    assert not maker.templates.exists()
