# SPDX-License-Identifier: Apache-2.0
"""The cgroup driver on v2: the unified hierarchy, mounted over /sys/fs/cgroup for one process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from life.cgroup_steps import LIMITS, gone, in_v2, plan, run_in, sleeper
from needs import excuse, needs
from pyrun.cgroup import driver
from pyrun.errors import Error

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = needs("root")
OPEN = {"devices": [{"allow": True, "access": "rwm"}]}  # no filter: no bpf(2) needed


V2_VALUES = {
    "memory": {
        "memory.max": str(64 << 20),
        "memory.swap.max": "0",
        "memory.low": str(32 << 20),
    },
    "cpu": {"cpu.weight": "59", "cpu.max": "50000 100000"},
    "cpuset": {"cpuset.cpus": "0", "cpuset.mems": "0"},
    "pids": {"pids.max": "20"},
}


def v2_controllers() -> list[str]:
    mount = driver.facts()["mounts"][""][0]
    return Path(mount, "cgroup.controllers").read_text().split()


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

    @pytest.mark.parametrize("controller", ["memory", "cpu", "cpuset", "pids"])
    def test_limits_read_back(self, controller: str) -> None:
        if controller not in v2_controllers():
            excuse(f"no {controller} in cgroup v2")

        def body(record: dict[str, Any]) -> None:
            field = "cpu" if controller == "cpuset" else controller
            wanted = LIMITS[field]
            if field == "cpu" and "cpuset" not in v2_controllers():
                wanted = {name: wanted[name] for name in ("shares", "quota", "period")}
            driver.create(record, {field: wanted, **OPEN})
            for file, value in V2_VALUES[controller].items():
                if os.path.exists(f"{record['paths']['']}/{file}") or "swap" not in file:
                    assert Path(record["paths"][""], file).read_text().strip() == value

        in_v2(body)

    def test_a_limit_without_its_controller_is_an_error(self) -> None:
        if "pids" in v2_controllers():
            excuse("cgroup v2 has every controller")

        def body(record: dict[str, Any]) -> None:
            with pytest.raises(Error, match="the pids controller is not available") as caught:
                driver.create(record, {"pids": {"limit": 5}, **OPEN})
            assert caught.value.pointer == "/linux/resources/pids/limit"

        in_v2(body)

    def test_oom_is_known(self) -> None:
        if "memory" not in v2_controllers():
            excuse("no memory in cgroup v2")

        def body(record: dict[str, Any]) -> None:
            driver.create(record, {"memory": {"limit": 16 << 20, "swap": 16 << 20}, **OPEN})
            assert not driver.oom_killed(record)
            run_in(record, f"exec {sys.executable} -ISc 'b\"x\" * (64 << 20)'")
            assert driver.oom_killed(record)

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

    def test_delegation(self) -> None:
        def body(record: dict[str, Any]) -> None:
            driver.create(record, OPEN)
            driver.delegate(record, 65534)
            path = Path(record["paths"][""])
            for file in (path, path / "cgroup.procs", path / "cgroup.subtree_control"):
                assert file.stat().st_uid == 65534
            assert (path / "cgroup.type").stat().st_uid == 0

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

    @needs("cc")
    def test_a_filter_is_replaced(self, bpf_binding: None) -> None:
        """By an update of the rules: the earlier ones would go on to deny."""
        from pyrun.cgroup import devicefilter, devices

        def body(record: dict[str, Any]) -> None:
            kmsg = {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"}
            driver.create(record, {"devices": [kmsg]})
            test = ": 2>/dev/null </dev/kmsg && echo open"
            assert run_in(record, test) == "open\n"
            devicefilter.set_policy(record, devices.policy([]), fresh=False)
            assert run_in(record, test) == ""
            everything = devices.policy([{"allow": True, "access": "rwm"}])
            devicefilter.set_policy(record, everything, fresh=False)
            assert run_in(record, test) == "open\n"

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
