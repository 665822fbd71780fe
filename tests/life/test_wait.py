# SPDX-License-Identifier: Apache-2.0
"""wait: how a container ended, told to somebody who is not its parent. No peer has the verb."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from life.bundles import Bundle
from life.runtimes import Container, Result, eventually
from needs import excuse, needs

pytestmark = [pytest.mark.pyrun_only("the verb"), needs("root")]


def keeps_status() -> bool:
    """Linux 6.15 and later: PIDFD_INFO_EXIT."""
    numbers = os.uname().release.split(".")
    return (int(numbers[0]), int(numbers[1].split("-")[0])) >= (6, 15)


def wait(container: Container, *flags: str) -> Result:
    return container.runtime("wait", *flags, container.id)


def waiting(container: Container, *flags: str) -> subprocess.Popen[bytes]:
    """A `wait` that has the container in view: it sleeps in poll(2)."""
    process = container.runtime.popen(
        "wait", *flags, container.id, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )

    def polls() -> bool:
        with open(f"/proc/{process.pid}/wchan") as file:
            return "poll" in file.read()

    assert eventually(polls)
    return process


def said(process: subprocess.Popen[bytes]) -> Result:
    out, err = process.communicate(timeout=20)
    return Result(process.returncode, out.decode(), err.decode())


@pytest.mark.parametrize("verb", ["exit 0", "exit 7", "exit 255"])
def test_status_of_one_that_its_parent_has_reaped(container: Container, verb: str) -> None:
    if not keeps_status():
        excuse("its kernel keeps no status")
    container.created(verb)
    process = waiting(container)
    process.send_signal(signal.SIGSTOP)  # else it would see the zombie
    assert container.start().code == 0
    assert container.wait() == int(verb.split()[1])
    process.send_signal(signal.SIGCONT)
    assert said(process) == (int(verb.split()[1]), "", "")


def test_status_of_one_that_nobody_reaps(container: Container) -> None:
    """Whichever kernel: this process, which is its parent now, does not wait for it yet."""
    container.created("exit 7")
    process = waiting(container)
    assert container.start().code == 0
    assert said(process) == (7, "", "")
    assert container.wait() == 7


def test_killed_by_a_signal(container: Container) -> None:
    container.started("sleep 100")
    process = waiting(container, "--json")
    assert container.kill("KILL").code == 0
    result = said(process)
    assert (result.code, result.err) == (137, "")
    assert json.loads(result.out) == {"id": container.id, "code": 137, "signal": 9}
    container.wait()


def test_one_that_has_ended_is_asked_again_and_again(container: Container) -> None:
    """From the record of the first `wait`, once it is reaped."""
    container.started("exit 3")
    assert eventually(lambda: container.status() == "stopped")
    assert wait(container).code == 3
    assert container.wait() == 3
    assert wait(container) == (3, "", "")
    result = wait(container, "--json")
    assert (result.code, result.err) == (3, "")
    assert json.loads(result.out) == {"id": container.id, "code": 3, "signal": None}
    assert container.delete().code == 0


def test_not_on_record(container: Container) -> None:
    container.started("exit 3")
    assert container.wait() == 3
    result = wait(container, "--json")
    assert result.code == 125
    assert json.loads(result.out) == {"id": container.id, "code": None, "signal": None}
    assert result.err == (
        f"pyrun: container {container.id} has stopped, and how it ended is not on record: `wait`"
        " while it runs has it recorded, and so has `run --keep`\n"
    )


def test_run_keep_has_it_recorded(container: Container) -> None:
    assert container.run("exit 9", flags=["--keep"]).code == 9
    assert wait(container) == (9, "", "")
    assert container.delete().code == 0


def test_in_the_foreground_of_another(container: Container, bundle: Bundle) -> None:
    if not keeps_status():
        excuse("its kernel keeps no status")
    bundle.say("trap", "exit 4")
    bundle.save()
    words = ("run", "--bundle", bundle.path, container.id)
    process = container.runtime.popen(*words, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    other = waiting(container)
    assert container.kill("TERM").code == 0
    assert said(other) == (4, "", "")
    process.communicate(timeout=10)
    assert process.returncode == 4


def test_deleted_meanwhile(container: Container) -> None:
    container.started("sleep 100")
    processes = [waiting(container) for _ in range(3)]
    assert container.delete("--force").code == 0
    if keeps_status():
        pid = container.pid
        assert eventually(lambda: _reaped(pid))
    assert [said(process).code for process in processes] == [137] * 3


def _reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def test_paused_and_not_started_are_waited_for(container: Container) -> None:
    container.created("exit 5")
    process = waiting(container)
    assert container.runtime("pause", container.id).code == 0
    time.sleep(0.1)
    assert process.poll() is None
    assert container.runtime("resume", container.id).code == 0
    assert container.start().code == 0
    assert said(process).code == 5
    container.wait()


def test_interrupted(container: Container) -> None:
    container.started("sleep 100")
    process = waiting(container)
    process.send_signal(signal.SIGINT)
    assert said(process) == (130, "", "pyrun: interrupted\n")
    assert container.status() == "running"
    process = waiting(container)
    process.send_signal(signal.SIGTERM)
    assert said(process).code == -signal.SIGTERM


def test_no_such_container(container: Container) -> None:
    result = wait(container, "--json")
    assert result == (125, "", f"pyrun: container does not exist: {container.id}\n")


def test_a_program_of_threads(make_container: Callable[[], Container], tmp_path: Any) -> None:
    """One whose first thread ends before the others: it goes on, and so does `wait`."""
    source = tmp_path / "threads.c"
    source.write_text(
        "#include <pthread.h>\n#include <unistd.h>\n"
        "static void *rest(void *n) { sleep(1); _exit(3); return n; }\n"
        "int main(void) { pthread_t t; pthread_create(&t, 0, rest, 0); pthread_exit(0); }\n"
    )
    container = make_container()
    program = container.bundle.rootfs / "threads"
    subprocess.run(["cc", "-static", "-pthread", "-o", program, source], check=True)
    container.bundle.process["args"] = ["/threads"]
    container.started()
    assert wait(container).code == 3
    container.wait()
