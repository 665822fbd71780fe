# SPDX-License-Identifier: Apache-2.0
"""What `pyrun doctor` tells of hosts that are made of files here, and of the one it runs on."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from pyrun.commands import doctor
from pyrun.doctor import cgroups, engines, examination, kernel, users
from pyrun.doctor.finding import BAD, GAP, OK, Finding
from pyrun.doctor.host import Host
from pyrun.errors import Error

CGROUP2 = "30 24 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n"
CGROUP1 = "".join(
    f"{31 + number} 24 0:{number} / /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}\n"
    for number, name in enumerate(cgroups.LEGACY)
)


class Made(Host):
    """A host on which nothing is lacking."""

    def __init__(self, root: Path, uid: int = 0) -> None:
        super().__init__({}, str(root))
        self.release, self.uid, self.home, self.path = "6.12.1", uid, "/home/me", "/usr/bin"
        self.answers: dict[str, str] = {}
        self.write("/proc/self/mountinfo", CGROUP2)
        self.write("/proc/self/cgroup", "0::/user.slice/s.scope\n")
        for kind in kernel.NAMESPACES:
            self.write(f"/proc/self/ns/{kind}", "")
        self.write("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids misc\n")
        self.write("/proc/sys/kernel/seccomp/actions_avail", " ".join(kernel.ACTIONS))
        self.write("/sys/kernel/security/lsm", "capability,landlock,apparmor")
        self.write("/sys/module/apparmor/parameters/enabled", "Y\n")
        self.write("/proc/sys/kernel/keys/maxkeys", "2000\n")
        self.write("/proc/sys/kernel/keys/root_maxkeys", "1000000\n")
        self.write("/usr/bin/newuidmap", "")
        self.write("/usr/bin/newgidmap", "")
        self.write("/run/systemd/system/x", "")

    def write(self, path: str, text: str, mode: int = 0o755) -> None:
        """A file of the host."""
        file = Path(self.root + path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def user(self) -> str:
        return "root" if self.is_root else "me"

    def state_folder(self) -> str:
        return "/run/pyrun"

    def landlock(self) -> int:
        return 6

    def new_user_namespace(self) -> str:
        return self.answers.get("userns", "")

    def libseccomp(self) -> str:
        return self.answers.get("libseccomp", "2.5.4")

    def libsystemd(self) -> bool:
        return "libsystemd" not in self.answers

    def criu(self) -> str:
        return self.answers.get("criu", "")


@pytest.fixture
def host(tmp_path: Path) -> Made:
    """Root's."""
    return Made(tmp_path)


@pytest.fixture
def mine(tmp_path: Path) -> Made:
    """An ordinary user's, on a host where nothing is delegated and no range given yet."""
    return Made(tmp_path, uid=1000)


def test_nothing_is_lacking(host: Made) -> None:
    found = examination.examine(host)
    assert [finding for finding in found if finding.status != OK] == []
    assert [finding for finding in found if finding.advice] == []
    assert examination.text(host, found, "1.2")[-1] == "Containers can run here. Gaps: none."


def lacks(finding: Finding, status: str, *words: str) -> None:
    """It is a gap, says so in these words, and has one line of advice."""
    assert finding.status == status, finding
    assert finding.advice
    assert "\n" not in finding.found + finding.advice
    for word in words:
        assert word in finding.found + finding.advice


def test_kernel_too_old(host: Made) -> None:
    host.release = "5.10.0-8-amd64"
    lacks(kernel.version(host), BAD, "5.10.0-8-amd64", "5.14")


def test_kernel_without_time_namespaces(host: Made) -> None:
    Path(host.root + "/proc/self/ns/time").unlink()
    lacks(kernel.namespaces(host), GAP, "no time", "CONFIG_TIME_NS")


def test_no_proc(tmp_path: Path) -> None:
    lacks(kernel.namespaces(Host({}, str(tmp_path))), BAD, "/proc")


def test_programs_in_memory_forbidden(host: Made) -> None:
    host.write("/proc/sys/vm/memfd_noexec", "1\n")
    assert kernel.programs_in_memory(host).status == OK
    host.write("/proc/sys/vm/memfd_noexec", "2\n")
    lacks(kernel.programs_in_memory(host), BAD, "vm.memfd_noexec=1")


def test_masked_proc(host: Made) -> None:
    host.write("/proc/self/mountinfo", "9 1 0:5 / /proc/sys/fs/binfmt_misc rw - autofs a rw\n")
    assert kernel.proc(host).status == OK
    host.write("/proc/self/mountinfo", "9 1 0:5 /null /proc/kcore rw - devtmpfs d rw\n")
    lacks(kernel.proc(host), GAP, "/proc/kcore", "unmask=ALL")


def test_seccomp(host: Made) -> None:
    host.write("/proc/sys/kernel/seccomp/actions_avail", "kill_process errno trace log allow")
    lacks(kernel.seccomp(host), GAP, "user_notif")
    host.answers["libseccomp"] = ""
    lacks(kernel.seccomp(host), GAP, "libseccomp-dev")
    host.write("/proc/sys/kernel/seccomp/actions_avail", "")
    lacks(kernel.seccomp(host), GAP, "CONFIG_SECCOMP_FILTER")


def test_labels(host: Made) -> None:
    host.write("/sys/module/apparmor/parameters/enabled", "N\n")
    lacks(kernel.labels(host), GAP, "capability, landlock", "lsm=")
    host.write("/proc/filesystems", "nodev\tselinuxfs\n")
    assert kernel.labels(host) == Finding("labels", OK, "SELinux")


def test_landlock(host: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kernel.landlock(host).found == "version 6"
    monkeypatch.setattr(host, "landlock", lambda: 0)
    lacks(kernel.landlock(host), GAP, "org.pyrun.landlock")


def test_keys(mine: Made) -> None:
    assert kernel.keys(mine).status == OK
    mine.write("/proc/sys/kernel/keys/maxkeys", "200\n")
    lacks(kernel.keys(mine), GAP, "200", "kernel.keys.maxkeys")


@pytest.mark.parametrize(
    ("sysctl", "value"),
    [
        ("user/max_user_namespaces", "0"),
        ("kernel/unprivileged_userns_clone", "0"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1"),
    ],
)
def test_user_namespaces_are_switched_off(mine: Made, sysctl: str, value: str) -> None:
    assert users.user_namespaces(mine).status == OK
    mine.write(f"/proc/sys/{sysctl}", value)
    lacks(users.user_namespaces(mine), BAD, sysctl.replace("/", "."))
    mine.uid = 0
    lacks(users.user_namespaces(mine), GAP)


def test_user_namespaces_are_refused(mine: Made) -> None:
    mine.answers["userns"] = "operation not permitted"
    lacks(users.user_namespaces(mine), BAD, "operation not permitted")


def test_subordinate_ids(mine: Made) -> None:
    lacks(users.subordinate_ids(mine), GAP, "me has 0 in /etc/subuid", "usermod")
    mine.write("/etc/subuid", "you:100000:65536\nme:165536:65536\n")
    mine.write("/etc/subgid", "1000:165536:1000\n")
    lacks(users.subordinate_ids(mine), GAP, "me has 1000 in /etc/subgid")
    mine.write("/etc/subgid", "1000:165536:65536\n")
    assert users.subordinate_ids(mine).status == OK
    Path(mine.root + "/usr/bin/newgidmap").unlink()
    lacks(users.subordinate_ids(mine), GAP, "no newgidmap", "uidmap")


def test_state_folder(host: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "made when it is needed" in users.state_folder(host).found
    folder = Path(host.root + "/run/pyrun")
    folder.mkdir(mode=0o755)
    host.uid = folder.stat().st_uid
    folder.chmod(0o755)
    lacks(users.state_folder(host), BAD, "0755", "0700")
    folder.chmod(0o700)
    assert users.state_folder(host) == Finding("state folder", OK, "/run/pyrun")
    host.uid += 1
    lacks(users.state_folder(host), BAD, f"uid {host.uid - 1}")
    monkeypatch.setattr(host, "state_folder", lambda: "/none/of/these")
    monkeypatch.setattr(host, "writable", lambda path: path != "/")
    lacks(users.state_folder(host), BAD, "can't be made in /", "--root")

    def nowhere() -> str:
        raise Error("XDG_RUNTIME_DIR is not set", hint="pass --root DIR")

    monkeypatch.setattr(host, "state_folder", nowhere)
    lacks(users.state_folder(host), BAD, "XDG_RUNTIME_DIR", "--root")


def test_cgroups_of_version_2(host: Made) -> None:
    host.write("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io\n")
    lacks(cgroups.layout(host), GAP, "v2, without memory, pids", "cgroup_disable")


def test_cgroups_of_version_1(host: Made) -> None:
    host.write("/proc/self/mountinfo", CGROUP1)
    lacks(cgroups.layout(host), GAP, "v1: blkio", "unified_cgroup_hierarchy=1")
    lacks(cgroups.delegation(host), GAP, "no writing in blkio")  # the folders aren't there
    for name in cgroups.LEGACY:
        host.write(f"/sys/fs/cgroup/{name}/tasks", "")
    assert cgroups.delegation(host).status == OK
    lacks(cgroups.systemd(host), GAP, "name=systemd is mounted nowhere")
    host.write("/proc/self/mountinfo", CGROUP1.replace("pids", "perf_event"))
    lacks(cgroups.layout(host), GAP, "v1, without pids")


def test_no_cgroups(host: Made) -> None:
    host.write("/proc/self/mountinfo", "")
    lacks(cgroups.layout(host), GAP, "mount -t cgroup2")
    lacks(cgroups.delegation(host), GAP)


def test_read_only_cgroups(host: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "writable", lambda path: path != "/sys/fs/cgroup")
    lacks(cgroups.delegation(host), GAP, "read-only", "remount,rw")


def test_delegation_to_a_user(mine: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    lacks(cgroups.delegation(mine), GAP, "no cgroup is this user's", "Delegate=")
    manager = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service"
    mine.write(f"{manager}/cgroup.controllers", "memory pids\n")
    lacks(cgroups.delegation(mine), GAP, "without cpu, cpuset, io", "Delegate=")
    mine.write(f"{manager}/cgroup.controllers", "cpu cpuset io memory pids\n")
    assert cgroups.delegation(mine).status == OK
    monkeypatch.setattr(mine, "writable", lambda _: False)
    lacks(cgroups.delegation(mine), GAP, "no cgroup is this user's")


def test_systemd(mine: Made) -> None:
    lacks(cgroups.systemd(mine), GAP, "no bus", "enable-linger me")
    mine.write("/run/user/1000/systemd/private", "")
    assert cgroups.systemd(mine).status == OK
    Path(mine.root + "/run/user/1000/systemd/private").unlink()
    lacks(cgroups.systemd(mine), GAP, "no bus")
    mine.write("/run/user/1000/bus", "")
    assert cgroups.systemd(mine).status == OK
    mine.answers["libsystemd"] = ""
    lacks(cgroups.systemd(mine), GAP, "libsystemd-dev")
    Path(mine.root + "/run/systemd/system/x").unlink()
    Path(mine.root + "/run/systemd/system").rmdir()
    lacks(cgroups.systemd(mine), GAP, "--systemd-cgroup")


def test_checkpoints(host: Made) -> None:
    host.answers["criu"] = "no criu in PATH"
    lacks(examination.checkpoints(host), GAP, "no criu in PATH", "docs/checkpoint.md")


ENGINES = {
    "podman": (
        "podman",
        "/etc/containers/containers.conf",
        '[engine.runtimes]\ncrun = ["/usr/bin/crun"]\npyrun = ["/usr/local/bin/pyrun"]\n',
    ),
    "docker": (
        "dockerd",
        "/etc/docker/daemon.json",
        '{"runtimes": {"pyrun": {"path": "/usr/local/bin/pyrun"}}}',
    ),
    "containerd": (
        "containerd",
        "/etc/containerd/config.toml",
        '[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.p.options]\n'
        'BinaryName = "/usr/local/bin/pyrun"\n',
    ),
    "cri-o": (
        "crio",
        "/etc/crio/crio.conf.d/10-pyrun.conf",
        '[crio.runtime.runtimes.pyrun]\nruntime_path = "/usr/local/bin/pyrun"\n',
    ),
}


@pytest.mark.parametrize("name", ENGINES)
def test_engines(host: Made, name: str) -> None:
    program, file, text = ENGINES[name]
    assert [finding.name for finding in engines.engines(host)] == ["engines"]
    host.write(f"/usr/bin/{program}", "")
    (found,) = engines.engines(host)
    assert found.name == name
    lacks(found, GAP, "does not know pyrun", "README.md")
    host.write(file, text)
    lacks(engines.engines(host)[0], GAP, "/usr/local/bin/pyrun", "make install")
    host.write("/usr/local/bin/pyrun", "")
    assert engines.engines(host) == [Finding(name, OK, f"knows /usr/local/bin/pyrun ({file})")]
    host.write(file, "}{ =")
    lacks(engines.engines(host)[0], GAP, file)


@pytest.mark.parametrize("name", ["podman", "docker", "containerd", "cri-o"])
@pytest.mark.parametrize("word", ["engine", "runtimes", "plugins", "crio"])
def test_configs_of_another_shape(host: Made, name: str, word: str) -> None:
    program, file, _ = ENGINES[name]
    host.write(f"/usr/bin/{program}", "")
    host.write(file, f'{{"{word}": 1}}' if file.endswith("json") else f"{word} = 1\n")
    lacks(engines.engines(host)[0], GAP, "does not know pyrun")


def test_as_json(host: Made) -> None:
    host.release = "4.19.0"
    found = examination.examine(host)
    document = examination.document(host, found, "1.2")
    assert json.loads(json.dumps(document)) == document
    assert document["canRun"] is False
    assert document["checks"][0]["name"] == "kernel"
    assert document["checks"][0]["status"] == BAD
    assert examination.text(host, found, "1.2")[-1] == "No container can run here yet."


def test_the_verb(
    host: Made, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "Host", lambda _: host)
    host.answers["criu"] = "an \x1b[31m escape"
    assert doctor.run({"json": False}) == 0
    out = capfd.readouterr().out
    assert "ok   kernel " in out
    assert "\\x1b[31m" in out
    assert "\x1b" not in out
    host.release = "4.19.0"
    assert doctor.run({"json": True}) == 1
    assert json.loads(capfd.readouterr().out)["canRun"] is False


def test_this_host(pyrun: Path, tmp_path: Path) -> None:
    """Whatever it is like, pyrun tells of all of it, and of itself the truth."""
    command = [str(pyrun), "--root", str(tmp_path / "state"), "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    document = json.loads(done.stdout)
    assert done.returncode == (0 if document["canRun"] else 1)
    assert done.stderr == ""
    names = [entry["name"] for entry in document["checks"]]
    assert {"kernel", "state folder", "cgroups", "seccomp", "checkpoints"} <= set(names)
    assert len(set(names)) == len(names)
    for entry in document["checks"]:
        assert (entry["advice"] == "") == (entry["status"] == "ok"), entry
    kind = "v2" if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else "v1|hybrid|none"
    told = next(entry["found"] for entry in document["checks"] if entry["name"] == "cgroups")
    assert any(told.startswith(word) for word in [*kind.split("|"), "no hierarchy"])
    assert not (tmp_path / "state").exists()


def test_systemd_with_version_1(host: Made) -> None:
    own = CGROUP1.splitlines()[0].replace("blkio", "name=systemd")
    host.write("/proc/self/mountinfo", f"{CGROUP1}{own}\n")
    assert cgroups.systemd(host).status == OK
