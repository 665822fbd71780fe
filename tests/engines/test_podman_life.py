# SPDX-License-Identifier: Apache-2.0
"""A container's life under podman: run, watch, signal, stop, restart, remove; codes and words."""

from __future__ import annotations

import json

import pytest

from needs import excuse, needs

from . import load
from .host import Host, Result, eventually
from .image import NAME
from .pairs import Pair
from .podman import Podman
from .screens import screen

pytestmark = needs("root", "busybox", "podman", "runc", "crun")
Both = Pair[Podman]


def test_output_and_exit_code(both: Both) -> None:
    def exercise(podman: Podman) -> Result:
        return podman.run(sh="echo out; echo err >&2; exit 7")

    assert both(exercise) == Result(7, "out\n", "err\n")


def test_standard_input(both: Both) -> None:
    assert both(lambda p: p.sees("-i", "--", "wc", "-c", stdin=b"x" * 100_000)) == "100000"


def test_the_engine_names_the_runtime(both: Both) -> None:
    """What podman tells of a container, and of the machine: the runtime, and no systemd."""

    def exercise(podman: Podman) -> list[bool]:
        name = podman.started()
        told = podman.inspect(name, "{{.OCIRuntime}}")
        info = json.loads(podman.ask("info", "--format", "json"))["host"]["ociRuntime"]
        return [
            told.endswith(podman.runtime),
            info["path"].endswith(f"/{podman.runtime}"),
            info["version"].startswith(f"{podman.runtime} version "),
        ]

    assert both(exercise) == [True, True, True]


def test_detached_logs_stop_and_remove(both: Both) -> None:
    def exercise(podman: Podman) -> list[object]:
        script = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.1; done"
        name = podman.started(sh=script)
        assert eventually(lambda: podman.ask("logs", name) == "up")
        running = podman.inspect(name, "{{.State.Status}} {{.State.Running}}")
        podman.ask("stop", name)
        ended = podman.inspect(name, "{{.State.Status}} {{.State.ExitCode}}")
        assert eventually(lambda: podman.ask("logs", name).endswith("bye"))
        podman.ask("rm", name)
        return [running, ended, podman("container", "exists", name).code]

    assert both(exercise) == ["running true", "exited 3", 1]


@pytest.mark.long
def test_stop_kills_what_does_not_listen(both: Both) -> None:
    def exercise(podman: Podman) -> str:
        name = podman.started(sh="trap '' TERM; while :; do sleep 0.1; done")
        podman.ask("stop", "--time=1", name)
        return podman.inspect(name, "{{.State.Status}} {{.State.ExitCode}}")

    assert both(exercise) == "exited 137"


def test_kill_sends_any_signal(both: Both) -> None:
    def exercise(podman: Podman) -> list[object]:
        script = "trap 'echo usr1' USR1; echo up; while :; do sleep 0.1; done"
        name = podman.started(sh=script)
        assert eventually(lambda: podman.ask("logs", name) == "up")
        podman.ask("kill", "--signal=USR1", name)
        assert eventually(lambda: podman.ask("logs", name) == "up\nusr1")
        podman.ask("kill", name)
        code = podman.wait(name)
        late = podman("kill", name)
        return [code, late.code]

    assert both(exercise) == [137, 125]


@pytest.mark.long
def test_remove_by_force(both: Both) -> None:
    def exercise(podman: Podman) -> list[int]:
        name = podman.started()
        refused = podman("rm", name).code
        return [refused, podman("rm", "--force", "--time=0", name).code]

    assert both(exercise) == [2, 0]


def test_program_that_is_not_there(both: Both) -> None:
    """podman makes 127 and 126 of the runtime's words."""

    def exercise(podman: Podman) -> list[object]:
        absent = podman.run("--", "/no/such/program")
        unfound = podman.run("--", "no-such-program")
        plain = podman.run("--", "/etc/passwd")
        assert "no such file or directory" in absent.err.lower(), absent
        assert "no-such-program" in unfound.err, unfound
        assert "permission denied" in plain.err.lower(), plain
        return [absent.code, unfound.code, plain.code]

    assert both(exercise) == [127, 127, 126]


def test_errors_of_a_runtime_are_one_clear_line(both: Both) -> None:
    """podman shows the message of the JSON log, and not the log."""

    def exercise(podman: Podman) -> list[object]:
        result = podman.run("--workdir=/etc/passwd", "--", "true")
        said = result.err.lower()
        return [result.code, "not a directory" in said, '"level"' in said, "traceback" in said]

    assert both(exercise)[2:] == [False, False]


def test_exec(both: Both) -> None:
    def exercise(podman: Podman) -> list[object]:
        name = podman.started("--env=A=1", "--", "top")
        user = podman.ask(
            "exec",
            "--user=box",
            "--workdir=/tmp",
            "--env=B=2",
            name,
            "sh",
            "-c",
            'id -u; id -g; pwd; echo "$A $B"',
        )
        code = podman("exec", name, "sh", "-c", "exit 9").code
        echo = podman.ask("exec", "-i", name, "cat", stdin="through exec")
        absent = podman("exec", name, "/no/such/program").code
        plain = podman("exec", name, "/etc/passwd").code
        return [user.split(), code, echo, absent, plain]

    expected = [["1000", "1000", "/tmp", "1", "2"], 9, "through exec", 127, 126]
    assert both(exercise) == expected


def test_exec_detached(both: Both) -> None:
    def exercise(podman: Podman) -> str:
        name = podman.started()
        podman.ask("exec", "--detach", name, "sh", "-c", "echo $PPID > /tmp/done")
        assert eventually(lambda: podman("exec", name, "test", "-s", "/tmp/done").code == 0)
        return podman.exec(name, "cat", "/tmp/done")

    assert both(exercise) == "0"


def test_exec_with_privileges_and_without(both: Both) -> None:
    def exercise(podman: Podman) -> list[bool]:
        name = podman.started()
        ask = ("grep", "CapEff", "/proc/self/status")
        plain = int(podman.exec(name, *ask).split()[1], 16)
        more = int(podman.ask("exec", "--privileged", name, *ask).split()[1], 16)
        return [bool(plain & 1 << 21), bool(more & 1 << 21)]  # CAP_SYS_ADMIN

    assert both(exercise) == [False, True]


def test_exec_at_a_terminal(both: Both) -> None:
    def exercise(podman: Podman) -> int:
        name = podman.started()
        line = podman.words("exec", "-it", name, "sh")
        with screen(podman.host, line, rows=33, columns=77) as shell:
            shell.wait_for(b"# ")
            shell.type(b"stty size; tty\n")
            shell.wait_for(b"33 77")
            shell.wait_for(b"/dev/pts/")
            shell.type(b"exit 4\n")
            return shell.end()

    assert both(exercise) == 4


def test_run_at_a_terminal(both: Both) -> None:
    def exercise(podman: Podman) -> int:
        line = podman.words("run", "--rm", "-it", NAME, "sh")
        with screen(podman.host, line, rows=21, columns=90) as shell:
            shell.wait_for(b"# ")
            shell.type(b"stty size; tty; test -t 0 && echo ter''minal\n")
            shell.wait_for(b"21 90")
            shell.wait_for(b"/dev/pts/0")
            shell.wait_for(b"terminal")
            shell.resize(40, 120)
            shell.type(b"stty size\n")
            shell.wait_for(b"40 120")
            shell.type(b"exit 5\n")
            return shell.end()

    assert both(exercise) == 5


@pytest.mark.long
def test_attach(both: Both) -> None:
    def exercise(podman: Podman) -> list[object]:
        name = podman.name()
        podman.ask("create", "-i", "--name", name, NAME, "sh", "-c", "read x; echo got $x; exit 6")
        result = podman("start", "--attach", "--interactive", name, stdin="a line\n")
        return [result.out, result.code]

    assert both(exercise) == ["got a line\n", 6]


@pytest.mark.long
def test_attach_to_a_terminal(both: Both) -> None:
    def exercise(podman: Podman) -> int:
        name = podman.started("-it", "--", "sh")
        with screen(podman.host, podman.words("attach", name)) as shell:
            shell.type(b"echo at''tached\n")
            shell.wait_for(b"attached")
            shell.type(b"exit 8\n")
            shell.end()
        return podman.wait(name)

    assert both(exercise) == 8


def test_pause_and_unpause(both: Both) -> None:
    def exercise(podman: Podman) -> list[object]:
        name = podman.started(sh="while :; do echo; sleep 0.05; done")
        podman.ask("pause", name)
        status = podman.inspect(name, "{{.State.Status}}")
        count = len(podman.ask("logs", name).splitlines())
        refused = podman("exec", name, "true").code
        podman.ask("unpause", name)
        later = eventually(lambda: len(podman.ask("logs", name).splitlines()) > count + 2)
        return [status, refused, later, podman.inspect(name, "{{.State.Status}}")]

    assert both(exercise) == ["paused", 255, True, "running"]


def test_top_and_stats(both: Both) -> None:
    def exercise(podman: Podman) -> list[object]:
        name = podman.started("--memory=50m", "--", "sleep", "1000")
        rows = podman.ask("top", name, "user", "pid", "args").splitlines()[1:]
        native = podman.ask("top", name, "-o", "args").splitlines()
        stats = json.loads(podman.ask("stats", "--no-stream", "--format", "json", name))[0]
        limit = stats["mem_usage"].split(" / ")[1]
        return [[row.split() for row in rows], native[-1], limit, stats["pids"]]

    expected = [[["root", "1", "sleep", "1000"]], "sleep 1000", "52.43MB", "1"]
    assert both(exercise) == expected


def test_restart_policy(both: Both) -> None:
    def exercise(podman: Podman) -> list[str]:
        name = podman.started("--restart=on-failure:2", sh="echo once; exit 3")
        podman.until(name, "{{.RestartCount}} {{.State.Status}}", "2 exited")
        return [podman.ask("logs", name), podman.inspect(name, "{{.State.ExitCode}}")]

    assert both(exercise) == ["once\nonce\nonce", "3"]


@pytest.mark.long
def test_restart_command(both: Both) -> None:
    def exercise(podman: Podman) -> str:
        name = podman.started(sh="echo life; exec sleep 1000")
        assert eventually(lambda: podman.ask("logs", name) == "life")
        podman.ask("restart", "--time=0", name)
        assert eventually(lambda: podman.ask("logs", name) == "life\nlife")
        return podman.inspect(name, "{{.State.Status}}")

    assert both(exercise) == "running"


@pytest.mark.long
def test_health_check(both: Both) -> None:
    def exercise(podman: Podman) -> list[object]:
        name = podman.started(
            "--health-cmd=test -e /tmp/healthy",
            "--health-interval=disable",
            "--health-retries=1",
            "--",
            "top",
        )
        ill = podman("healthcheck", "run", name).code
        podman.exec(name, "touch", "/tmp/healthy")
        well = podman("healthcheck", "run", name).code
        return [ill, well, podman.inspect(name, "{{.State.Health.Status}}")]

    assert both(exercise) == [1, 0, "healthy"]


def test_an_init_that_reaps(both: Both) -> None:
    def exercise(podman: Podman) -> list[object]:
        name = podman.started("--init", sh="trap '' TERM; sleep 1000")
        first = podman.exec(name, "cat", "/proc/1/comm")
        podman.exec(name, "sh", "-c", "(sleep 0.1 &)")  # its parent ends first
        zombies = "ps -o stat,comm | grep -c '^Z' || true"
        reaped = eventually(lambda: podman.exec(name, "sh", "-c", zombies) == "0")
        return [first, reaped]

    assert both(exercise) == ["podman-init", True]


def test_the_oom_killer_is_reported(both: Both) -> None:
    """The child is killed, and then the container itself ends with its status. podman's monitor no
    longer watches if it looks when the limit has been met and nobody is killed yet, and its last
    look comes after systemd has removed the cgroup, with every runtime: it is stopped meanwhile."""
    script = (
        "mkfifo /go /killed /end; read x < /go; head -c 100m /dev/zero | tail; s=$?;"
        " echo $s > /killed; read x < /end; exit $s"
    )

    def exercise(podman: Podman) -> list[object]:
        name = podman.started("--memory=24m", "--memory-swap=24m", sh=script)
        told = podman.inspect(name)
        monitor = podman.host.path(told["ConmonPidFile"]).read_text()
        podman.host.ask("kill", "-STOP", monitor)
        ready = "until [ -p /end ]; do sleep 0.1; done; echo > /go; cat /killed"
        try:
            assert podman.exec(name, "sh", "-c", ready) == "137"
        finally:
            podman.host.ask("kill", "-CONT", monitor)
        if podman.host.driver == "systemd":
            mark = podman.host.path(f"/run/libpod/persist/{told['Id']}/oom")
            assert eventually(mark.exists), f"{podman.runtime}: its monitor saw nothing"
        podman("exec", name, "sh", "-c", "echo > /end")  # it may be gone before it has an exit code
        return [podman.wait(name), podman.inspect(name, "{{.State.OOMKilled}}")]

    code, reported = both(exercise)
    assert code == 137
    if reported == "false":
        excuse("podman does not see OOM kills in its cgroups, with runc either")
    assert reported == "true"


@pytest.mark.long
def test_lives_over_and_over(both: Both) -> None:
    """The same container, started again after each end."""

    def exercise(podman: Podman) -> list[int]:
        name = podman.name()
        podman.ask(
            "create", "--name", name, NAME, "sh", "-c", "echo x >> /tmp/n; exit $(wc -l < /tmp/n)"
        )
        return [podman("start", "--attach", name).code for _ in range(3)]

    assert both(exercise) == [1, 2, 3]


@pytest.mark.long
def test_commit_keeps_what_was_written(both: Both) -> None:
    def exercise(podman: Podman) -> str:
        name = podman.started()
        podman.exec(name, "sh", "-c", "echo kept > /tmp/file")
        made = f"localhost/committed-{podman.runtime}"
        podman.ask("commit", "--quiet", name, made)
        seen = podman.sees("--", "cat", "/tmp/file", of=made)
        podman.ask("rmi", made)
        return seen

    assert both(exercise) == "kept"


def test_many_at_once(podman_host: Host) -> None:
    """None fails, and none is left. bench/many.py measures more, beside runc and crun."""
    line = Podman(podman_host, "pyrun").words("run", "--rm", NAME, "echo", "{}")
    _, said = load.at_once(podman_host, line, range(load.COUNT), 10)
    assert sorted(map(int, said)) == list(range(load.COUNT))


def test_preserved_descriptors(both: Both) -> None:
    def exercise(podman: Podman) -> str:
        line = podman.words("run", "--rm", "--preserve-fds=2", NAME, "sh", "-c", "cat <&3; cat <&4")
        script = 'exec 3</proc/sys/kernel/ostype 4</proc/sys/kernel/ostype; exec "$@"'
        return podman.host.ask("sh", "-c", script, "sh", *line)

    assert both(exercise) == "Linux\nLinux"


def test_no_descriptor_of_the_engine_gets_in(both: Both) -> None:
    """What is open in a container: its streams, and the folder that is being listed."""
    listing = both(lambda p: p.sees("--", "ls", "/proc/self/fd"))
    assert listing.split() == ["0", "1", "2", "3"]
