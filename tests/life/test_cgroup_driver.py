# SPDX-License-Identifier: Apache-2.0
"""The cgroup driver on the kernel's own hierarchies: this machine's, and a v2 of its own."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from needs import excuse, needs
from pyrun.cgroup import driver, procs
from pyrun.errors import Error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = needs("root")

PARENT = f"/pyrun-test-{os.getpid()}"
LIMITS = {
    "memory": {"limit": 64 << 20, "swap": 64 << 20, "reservation": 32 << 20},
    "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0", "mems": "0"},
    "pids": {"limit": 20},
    "blockIO": {},
}
CLONE_NEWNS = 0x20000


def plan(name: str = "box") -> dict[str, Any]:
    return driver.plan({"linux": {"cgroupsPath": f"{PARENT}/{name}"}}, name, driver.facts())


def remove_parents(record: dict[str, Any]) -> None:
    """Our parent directory in each hierarchy: rmdir fails when the driver left something below."""
    for path in dict.fromkeys(record["paths"].values()):
        if os.path.isdir(os.path.dirname(path)):
            os.rmdir(os.path.dirname(path))


def gone(record: dict[str, Any]) -> bool:
    return not any(os.path.exists(path) for path in record["paths"].values())


def start(script: str) -> subprocess.Popen[bytes]:
    """A shell that runs `script` once it is told to: in the cgroup by then."""
    return subprocess.Popen(
        ["sh", "-c", f"read go; {script}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "100"])


def run_in(record: dict[str, Any], script: str) -> str:
    """What the script prints when it runs inside the cgroup."""
    process = start(script)
    driver.join(record, process.pid)
    out, _ = process.communicate(b"go\n", timeout=20)
    return out.decode()


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


@pytest.fixture
def record() -> Iterator[dict[str, Any]]:
    """A planned cgroup on this machine's v1 hierarchies, and nothing left of it afterwards."""
    if driver.facts()["layout"] not in ("v1", "hybrid"):
        excuse("its controllers are not in cgroup v1")
    record = plan()
    planned = {**record, "paths": dict(record["paths"])}
    yield record
    driver.destroy(planned)
    remove_parents(planned)


@pytest.mark.parametrize("controller", ["memory", "cpu", "cpuset", "pids", "devices"])
def test_v1_limits_read_back(record: dict[str, Any], controller: str) -> None:
    if controller not in record["paths"]:
        excuse(f"no v1 hierarchy of {controller}")
    known = {name: LIMITS[name] for name in LIMITS if name in record["paths"]}
    driver.create(record, known)
    expected = {
        "memory": {
            "memory.limit_in_bytes": str(64 << 20),
            "memory.memsw.limit_in_bytes": str(64 << 20),
            "memory.soft_limit_in_bytes": str(32 << 20),
        },
        "cpu": {"cpu.shares": "512", "cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "100000"},
        "cpuset": {"cpuset.cpus": "0", "cpuset.mems": "0"},
        "pids": {"pids.max": "20"},
        "devices": {
            "devices.list": "c *:* m\nb *:* m\nc 1:3 rwm\nc 1:7 rwm\nc 1:5 rwm\n"
            "c 5:0 rwm\nc 1:9 rwm\nc 1:8 rwm\nc 136:* rwm\nc 5:2 rwm\nc 10:200 rwm"
        },
    }
    for file, value in expected[controller].items():
        assert Path(record["paths"][controller], file).read_text().strip() == value


def test_v1_join_list_kill_destroy(record: dict[str, Any]) -> None:
    driver.check(record)
    driver.create(record, {})
    assert driver.open_into(record) == -1
    process = sleeper()
    driver.join(record, process.pid)
    assert driver.processes(record) == [process.pid]
    own = Path(f"/proc/{process.pid}/cgroup").read_text().splitlines()
    assert sum(line.endswith(f":{PARENT}/box") for line in own) == len(own)
    driver.kill(record, signal.SIGTERM)
    assert process.wait(10) == -signal.SIGTERM
    assert not driver.frozen(record)
    driver.destroy(record)
    assert gone(record)
    driver.destroy(record)


def test_v1_devices_are_denied(record: dict[str, Any]) -> None:
    driver.create(record, {"devices": [{"allow": False, "access": "rwm"}]})
    script = "head -c1 /dev/zero | wc -c; head -c1 /dev/kmsg 2>&1 >/dev/null"
    assert run_in(record, script).splitlines() == [
        "1",
        "head: cannot open '/dev/kmsg' for reading: Operation not permitted",
    ]


def test_v1_the_number_of_processes_is_limited(record: dict[str, Any]) -> None:
    driver.create(record, {"pids": {"limit": 1}})
    assert "fork" in run_in(record, "exec 2>&1; true | true; /bin/true")


def test_v1_oom_is_known(record: dict[str, Any]) -> None:
    driver.create(record, {"memory": {"limit": 16 << 20, "swap": 16 << 20}})
    assert not driver.oom_killed(record)
    run_in(record, f"exec {sys.executable} -ISc 'b\"x\" * (64 << 20)'")
    assert driver.oom_killed(record)


def test_v1_kill_reaches_processes_that_fork_and_flee(record: dict[str, Any]) -> None:
    driver.create(record, {"pids": {"limit": 50}})
    process = start("f() { f & }; while :; do f; f; done 2>/dev/null")
    driver.join(record, process.pid)
    assert process.stdin
    assert process.stdout
    process.stdout.close()
    process.stdin.write(b"go\n")
    process.stdin.close()
    assert eventually(lambda: len(driver.processes(record)) > 5)
    driver.kill(record, signal.SIGKILL)
    process.wait(10)
    assert eventually(lambda: driver.processes(record) == [])


def test_v1_a_frozen_container_can_be_destroyed(record: dict[str, Any]) -> None:
    driver.create(record, {})
    process = sleeper()
    driver.join(record, process.pid)
    driver.freeze(record)
    assert driver.frozen(record)
    driver.kill(record, signal.SIGUSR1)
    assert driver.frozen(record)  # as it was found
    driver.thaw(record)
    assert not driver.frozen(record)
    driver.freeze(record)
    driver.destroy(record)
    assert process.wait(10) in (-signal.SIGKILL, -signal.SIGUSR1)
    assert gone(record)


def test_v1_sub_cgroups_and_their_processes_go_too(record: dict[str, Any]) -> None:
    driver.create(record, {})
    process = sleeper()
    for path in procs.directories(record):
        if "cpuset" not in path:  # would have to be given CPUs first
            os.makedirs(f"{path}/one/two")
            Path(path, "one/two/cgroup.procs").write_text(str(process.pid))
    assert driver.processes(record) == [process.pid]
    driver.destroy(record)
    assert process.wait(10) == -signal.SIGKILL
    assert gone(record)


def test_v1_a_half_made_cgroup_goes_too(record: dict[str, Any]) -> None:
    half = procs.directories(record)[1:3]
    for path in half:
        os.makedirs(path)
    driver.destroy(record)
    assert gone(record)
    for path in half:
        assert os.path.isdir(os.path.dirname(path))  # only the leaf is the container's
    driver.destroy(record)


def test_v1_somebody_elses_processes_survive_a_refusal(record: dict[str, Any]) -> None:
    driver.create(record, {})
    process = sleeper()
    driver.join(record, process.pid)
    second = plan()
    with pytest.raises(Error, match="container's cgroup is not empty: 1 process"):
        driver.check(second)
    with pytest.raises(Error, match="container's cgroup is not empty: 1 process"):
        driver.create(second, {})
    driver.destroy(second)
    assert process.poll() is None
    driver.destroy(record)
    assert process.wait(10) == -signal.SIGKILL


def test_v1_the_kernels_refusal_names_field_file_and_reason(record: dict[str, Any]) -> None:
    with pytest.raises(Error) as caught:
        driver.create(record, {"cpu": {"cpus": "9999"}})
    assert caught.value.pointer == "/linux/resources/cpu/cpus"
    assert "cpuset.cpus" in str(caught.value)
    assert caught.value.hint


def test_v1_destroy_gives_up_and_says_who_is_left(
    record: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.create(record, {})
    process = sleeper()
    driver.join(record, process.pid)
    monkeypatch.setattr(procs, "kill", lambda _record, _number: None)
    monkeypatch.setattr(driver, "PATIENCE", 0.05)
    with pytest.raises(Error, match=rf"device or resource busy: processes in it: {process.pid}"):
        driver.destroy(record)
    monkeypatch.undo()
    driver.destroy(record)
    process.wait(10)


# ---- v2: the unified hierarchy mounted over /sys/fs/cgroup, in a mount namespace of its own ----


def in_v2(body: Callable[[dict[str, Any]], None]) -> None:
    """Run `body` with a planned record in a child process that sees only cgroup v2."""
    ready, child_end = os.pipe()
    child = os.fork()
    if child == 0:
        status, text = 1, ""
        try:
            _mount_v2()
            record = plan()
            assert record["layout"] == "v2"
            planned = {**record, "paths": dict(record["paths"])}
            try:
                body(record)
            finally:
                driver.destroy(planned)
                remove_parents(planned)
            status = 0
        except BaseException:  # noqa: BLE001 the parent raises it
            text = traceback.format_exc()
        os.write(child_end, text.encode()[-60000:])
        os._exit(status)
    os.close(child_end)
    with os.fdopen(ready) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, text


def _mount_v2() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for command in (
        "mount --make-rprivate /",
        "umount -l -R /sys/fs/cgroup",
        "mount -t cgroup2 cgroup2 /sys/fs/cgroup",
    ):
        subprocess.run(command.split(), check=True)


OPEN = {"devices": [{"allow": True, "access": "rwm"}]}  # no filter: no bpf(2) needed


@pytest.fixture
def subtree_control() -> Iterator[None]:
    """The driver enables controllers from the root down: leave the root as it was."""
    mount = driver.facts()["mounts"].get("")
    if mount is None:
        excuse("no cgroup v2 mounted")
    file = Path(mount[0], "cgroup.subtree_control")
    before = set(file.read_text().split())
    yield
    for controller in set(file.read_text().split()) - before:
        file.write_text(f"-{controller}")


@pytest.mark.usefixtures("subtree_control")
class TestV2:
    def test_join_freeze_kill_destroy(self) -> None:
        def body(record: dict[str, Any]) -> None:
            driver.check(record)
            driver.create(record, OPEN)
            fd = driver.open_into(record)
            assert os.readlink(f"/proc/self/fd/{fd}") == record["paths"][""]
            os.close(fd)
            process = sleeper()
            driver.join(record, process.pid)
            os.mkdir(f"{record['paths']['']}/sub")
            inner = sleeper()
            Path(record["paths"][""], "sub/cgroup.procs").write_text(str(inner.pid))
            assert driver.processes(record) == sorted([process.pid, inner.pid])
            driver.freeze(record)
            assert driver.frozen(record)
            driver.kill(record, signal.SIGKILL)
            assert {process.wait(10), inner.wait(10)} == {-signal.SIGKILL}
            driver.destroy(record)
            assert gone(record)
            driver.destroy(record)

        in_v2(body)

    def test_somebody_elses_processes_survive_a_refusal(self) -> None:
        def body(record: dict[str, Any]) -> None:
            driver.create(record, OPEN)
            process = sleeper()
            driver.join(record, process.pid)
            second = plan()
            with pytest.raises(Error, match="container's cgroup is not empty: 1 process"):
                driver.create(second, OPEN)
            driver.destroy(second)
            assert process.poll() is None
            driver.destroy(record)
            assert process.wait(10) == -signal.SIGKILL

        in_v2(body)

    def test_a_threaded_parent_is_refused(self) -> None:
        def body(record: dict[str, Any]) -> None:
            parent = os.path.dirname(record["paths"][""])
            os.makedirs(f"{parent}/threads")
            Path(parent, "threads/cgroup.type").write_text("threaded")
            try:
                with pytest.raises(Error, match="cannot enter cgroupv2 .* invalid state"):
                    driver.create(record, OPEN)
            finally:
                os.rmdir(f"{parent}/threads")

        in_v2(body)

    @needs("cc")
    @pytest.mark.parametrize(
        ("rules", "zero", "kmsg"),
        [
            ([], True, False),
            ([{"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"}], True, True),
            (
                [
                    {"allow": True, "access": "rwm"},
                    {"allow": False, "type": "c", "major": 1, "minor": 11, "access": "rw"},
                ],
                True,
                False,
            ),
        ],
    )
    def test_the_filter(
        self, bpf_binding: None, rules: list[dict[str, Any]], zero: bool, kmsg: bool
    ) -> None:
        def body(record: dict[str, Any]) -> None:
            driver.create(record, {"devices": rules})
            for device, expected in (("zero", zero), ("kmsg", kmsg)):
                out = run_in(record, f": 2>/dev/null </dev/{device} && echo open")
                assert (out == "open\n") == expected, device

        in_v2(body)


@pytest.fixture(scope="module")
def bpf_binding(tmp_path_factory: pytest.TempPathFactory) -> None:
    """pyrun.kernel._bpf: the installed one, or one built here from the source tree."""
    import pyrun.kernel

    try:
        import pyrun.kernel._bpf
    except ImportError:
        place = tmp_path_factory.mktemp("bpf")
        builder = Path(pyrun.kernel.__path__[0], "build_bpf.py")
        subprocess.run([sys.executable, builder, place / "_bpf.c"], check=True)
        import sysconfig

        include = f"-I{sysconfig.get_paths()['include']}"
        command = ["cc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", include]
        subprocess.run([*command, place / "_bpf.c", "-o", place / "_bpf.abi3.so"], check=True)
        pyrun.kernel.__path__.append(str(place))
