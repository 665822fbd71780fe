# SPDX-License-Identifier: Apache-2.0
"""Steps that the tests of the cgroup driver share: a cgroup to plan, processes to put into it."""

from __future__ import annotations

import ctypes
import os
import subprocess
import time
import traceback
from typing import TYPE_CHECKING, Any

from pyrun.cgroup import driver

if TYPE_CHECKING:
    from collections.abc import Callable

CLONE_NEWNS = 0x20000
PARENT = f"/pyrun-test-{os.getpid()}"
LIMITS: dict[str, dict[str, Any]] = {
    "memory": {"limit": 64 << 20, "swap": 64 << 20, "reservation": 32 << 20},
    "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0", "mems": "0"},
    "pids": {"limit": 20},
    "blockIO": {},
}


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
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    if os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        return  # to mount it anew would change its options for everybody
    for command in (
        "umount -l -R /sys/fs/cgroup",
        "mount -t cgroup2 cgroup2 /sys/fs/cgroup",
    ):
        subprocess.run(command.split(), check=True)
