# SPDX-License-Identifier: Apache-2.0
"""The executor's end of the protocol in plan.h: it never outlives the runtime, and says why not."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

import pytest

from executor import plans
from executor.stage import END, FLAGS, encoded, end, run, spawned
from needs import needs
from pyrun import launch, ops, sync
from pyrun.compile import seccomp
from pyrun.errors import Error
from pyrun.linux import CLONE_NEWPID, O_PATH
from pyrun.types import Op

pytestmark = needs("userns")

A = 13
ALLOW = struct.pack("=HBBI", 0x06, 0, 0, seccomp.ALLOW)
POINTS: dict[str, list[Op]] = {
    "sync": [ops.sync(sync.READY)],
    "sync_receive": [ops.sync_receive(sync.CREATE_STATE, A)],
    "sync_send": [ops.open_host("/", O_PATH, A), ops.sync_send(sync.CONSOLE, A)],
    "fork_init": [ops.fork_init(0)],
}
WITHOUT_PIDS = FLAGS & ~CLONE_NEWPID


def steps(listed: list[Op]) -> list[tuple[str, Op]]:
    return [("", op) for op in listed]


@pytest.mark.parametrize("name", POINTS)
def test_end_of_file_at_a_sync_point_ends_it(name: str) -> None:
    after = [*POINTS[name], ops.find_executable(["/bin/sleep"]), ops.execve(["sleep", "60"], [])]
    with spawned(WITHOUT_PIDS) as child:
        launch.send_plan(child, steps(after), [])
        kind, first, _, _, fd = launch._receive(child)
        assert kind == (launch.CHILD if name == "fork_init" else launch.SYNC)
        if name == "fork_init":
            launch._become(child, first)
        if fd >= 0:
            os.close(fd)
        os.close(child.socket)
        child.socket = -1
        assert end(child) == END << 8


@pytest.mark.parametrize("sent", ["nothing", "descriptors"])
def test_end_of_file_before_the_plan_ends_it(sent: str) -> None:
    with spawned() as child:
        if sent == "descriptors":
            launch._send(child, launch.FDS, [0, 1])
        os.close(child.socket)
        child.socket = -1
        assert end(child) == END << 8


@pytest.mark.parametrize("kind", [0, launch.PLAN, launch.FDS, launch.SYNC, launch.FAILED, 99])
def test_any_other_answer_than_go_ends_it(kind: int) -> None:
    with spawned() as child:
        launch.send_plan(child, steps([ops.sync(1), ops.umask(0)]), [])
        launch._receive(child)
        launch._send(child, kind, [])
        assert launch._receive(child)[0] == 0
        assert end(child) == END << 8


@pytest.mark.parametrize("point", ["sync", "sync_receive"])
def test_an_answer_with_the_wrong_number_of_descriptors_ends_it(point: str) -> None:
    with spawned() as child:
        launch.send_plan(child, steps(POINTS[point]), [])
        launch._receive(child)
        launch._send(child, launch.GO, [0] if point == "sync" else [])
        assert end(child) == END << 8


def changed(at: int, value: int) -> bytes:
    data = bytearray(encoded([ops.sethostname("x"), ops.umask(0)]))
    struct.pack_into("=I", data, at, value)
    return bytes(data)


MALFORMED = {
    "empty": b"",
    "short": b"x" * 31,
    "zeros": bytes(4096),
    "magic": changed(0, 1),
    "version": changed(4, 2),
    "checksum of another build": changed(8, 0),
    "no operation": changed(12, 0),
    "too many operations": changed(12, 2**32 - 1),
    "too many slots": changed(16, 1025),
    "donated, but not sent": changed(20, 1),
    "code": changed(32, 2**31),
    "cut": encoded([ops.sethostname("x")])[:-1],
    "more": encoded([ops.sethostname("x")]) + b"\0",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_plan_is_refused_before_anything_runs(name: str) -> None:
    found = run([], data=MALFORMED[name])
    assert found.failed == (-1, errno.EINVAL, 0)
    assert found.status == END << 8


def test_descriptors_that_the_plan_does_not_know_of_are_refused() -> None:
    with spawned() as child:
        launch._send(child, launch.FDS, [0])
        sealed = launch.seal("plan", encoded([ops.umask(0)], 0))
        launch._send(child, launch.PLAN, [sealed])
        os.close(sealed)
        assert launch._receive(child)[:4] == (launch.FAILED, -1, errno.EINVAL, 0)


def test_donated_descriptors_arrive_in_order() -> None:
    """More than one message takes: each is the device of its number."""
    paths = ["/dev/null", "/dev/zero", "/dev/full"] * 100
    fds = [os.open(path, os.O_PATH | os.O_CLOEXEC) for path in paths]
    minors = {"/dev/null": 3, "/dev/zero": 5, "/dev/full": 7}
    checks = [ops.check_device(slot, 1, minors[path]) for slot, path in enumerate(paths)]
    try:
        assert run(checks, fds).failed is None
    finally:
        for fd in fds:
            os.close(fd)


@pytest.mark.parametrize("answered", [True, False])
def test_a_listener_is_told_by_its_number(answered: bool) -> None:
    listed = [ops.seccomp_listen(seccomp.NEW_LISTENER, ALLOW, sync.LISTENER), ops.sync(sync.READY)]
    with spawned() as child:
        launch.send_plan(child, steps(listed), [])
        kind, point, number, _, fd = launch._receive(child)
        assert (kind, point, fd) == (launch.SYNC, sync.LISTENER, -1)
        fetched = launch._fetch(child, number)
        assert os.readlink(f"/proc/self/fd/{fetched}") == "anon_inode:seccomp notify"
        os.close(fetched)
        if answered:
            launch.go(child, steps(listed), {})
            assert launch._receive(child)[:2] == (launch.SYNC, sync.READY)
            with pytest.raises(Error, match="pidfd_getfd: bad file descriptor"):
                launch._fetch(child, number)  # closed: it holds none itself
        os.close(child.socket)
        child.socket = -1
        assert end(child) == END << 8


def test_a_filter_that_the_kernel_refuses_has_no_listener() -> None:
    found = run([ops.seccomp_listen(seccomp.NEW_LISTENER, b"", sync.LISTENER)])
    assert found.failed == (0, errno.EINVAL, 0)


def test_sync_points_carry_descriptors_both_ways() -> None:
    seen: list[str] = []

    def answer(point: int, fd: int) -> int | None:
        if point == sync.CONSOLE:
            seen.append(os.readlink(f"/proc/self/fd/{fd}"))
            os.close(fd)
            return None
        return os.open("/dev/zero", os.O_RDONLY) if point == sync.CREATE_STATE else None

    listed = [
        ops.sync(sync.RUNTIME_HOOKS),
        ops.open_host("/dev/full", O_PATH, A),
        ops.sync_send(sync.CONSOLE, A),
        ops.sync_receive(sync.CREATE_STATE, A),
        ops.check_device(A, 1, 5),
    ]
    found = run(listed, answer=answer)
    assert found.failed is None
    assert found.points == [sync.RUNTIME_HOOKS, sync.CONSOLE, sync.CREATE_STATE]
    assert seen == ["/dev/full"]


def test_after_report_to_failures_go_there(tmp_path: Path) -> None:
    """The runtime is gone then, and the waiting init lives on: a byte in the fifo starts it."""
    os.mkfifo(tmp_path / "fifo")
    fifo = os.open(tmp_path / "fifo", os.O_RDWR | os.O_CLOEXEC)
    read_end, write_end = os.pipe()
    listed = [ops.report_to(1), ops.wait_start(0), ops.close_others(3), ops.fsopen("nosuchfs", A)]
    with spawned() as child:
        launch.send_plan(child, steps(listed), [fifo, write_end])
        os.close(write_end)
        assert launch._receive(child)[0] == 0  # its end is closed
        assert os.waitpid(child.pid, os.WNOHANG) == (0, 0)
        os.write(fifo, b"\0")
        assert struct.unpack("=Iiii", os.read(read_end, 64)) == (launch.FAILED, 3, errno.ENODEV, 0)
        assert os.read(read_end, 1) == b""
        assert end(child) == END << 8
    for fd in (fifo, read_end):
        os.close(fd)


def test_it_is_sealed_and_alone(tmp_path: Path) -> None:
    """/proc/self/exe leads to nothing on the host (CVE-2019-5736), no descriptor comes along."""
    extra = os.open("/", os.O_PATH)
    os.dup2(extra, 99, inheritable=True)
    try:
        with spawned(0) as child:
            exe = os.readlink(f"/proc/{child.pid}/exe")
            assert exe.startswith("/memfd:pyrun")
            with pytest.raises(OSError, match="busy|permitted"):
                os.open(f"/proc/{child.pid}/exe", os.O_WRONLY)
            launch.send_plan(child, steps([ops.sync(1)]), [])
            launch._receive(child)
            fds = {int(name) for name in os.listdir(f"/proc/{child.pid}/fd")}
            assert len(fds - {0, 1, 2}) == 1  # the socket
    finally:
        os.close(extra)
        os.close(99)


def test_the_reader_of_the_binary_takes_the_seeds(tmp_path: Path) -> None:
    """The seeds of the fuzzer are plans of this build, not of some other one."""
    for path in plans.write(tmp_path):
        assert run([], data=path.read_bytes()).failed == (-1, errno.EINVAL, 0)  # 2 are not donated
