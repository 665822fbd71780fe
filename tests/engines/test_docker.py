# SPDX-License-Identifier: Apache-2.0
"""Docker Engine: a container's life, its limits, what it may and what it sees, builds, networks."""

from __future__ import annotations

import json

import pytest

from needs import needs

from .docker import Docker
from .host import Result, eventually
from .image import NAME
from .pairs import Pair
from .screens import screen

pytestmark = needs("root", "busybox", "docker", "runc")
Both = Pair[Docker]

STATUS = ["grep", "-E", "Cap|NoNewPrivs|Seccomp|Groups", "/proc/self/status"]
LIMITS = (
    "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory.max 2>/dev/null;"
    " cat pids/pids.max pids.max 2>/dev/null; cat cpu/cpu.cfs_quota_us cpu.max 2>/dev/null;"
    " cat cpuset/cpuset.cpus cpuset.cpus 2>/dev/null; true"
)
SERVE = "echo hello > /tmp/index.html; exec httpd -f -p 80 -h /tmp"


@pytest.fixture
def both(docker: Both) -> Both:
    """The engine of this module."""
    return docker


def test_the_engine_names_the_runtime(both: Both) -> None:
    """`info` lists it, `inspect` tells which one a container has."""

    def exercise(docker: Docker) -> list[object]:
        info = json.loads(docker.ask("info", "--format", "{{json .}}"))
        name = docker.started()
        told = docker.inspect(name, "{{.HostConfig.Runtime}}")
        return [docker.runtime in info["Runtimes"], told == docker.runtime]

    assert both(exercise) == [True, True]


def test_output_and_exit_code(both: Both) -> None:
    def exercise(docker: Docker) -> Result:
        return docker.run(sh="echo out; echo err >&2; exit 7")

    assert both(exercise) == Result(7, "out\n", "err\n")


def test_standard_input(both: Both) -> None:
    assert both(lambda d: d.sees("-i", "--", "wc", "-c", stdin=b"x" * 100_000)) == "100000"


def test_program_that_is_not_there(both: Both) -> None:
    """docker makes 127 and 126 of the runtime's very words."""

    def exercise(docker: Docker) -> list[int]:
        return [
            docker.run("--", "/no/such/program").code,
            docker.run("--", "no-such-program").code,
            docker.run("--", "/etc/passwd").code,
            docker.run("--entrypoint=/etc", "--").code,
        ]

    assert both(exercise) == [127, 127, 126, 126]


def test_detached_logs_stop_and_remove(both: Both) -> None:
    def exercise(docker: Docker) -> list[object]:
        script = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.1; done"
        name = docker.started(sh=script)
        assert eventually(lambda: docker.ask("logs", name) == "up")
        running = docker.inspect(name, "{{.State.Status}}")
        docker.ask("stop", name)
        ended = docker.inspect(name, "{{.State.Status}} {{.State.ExitCode}}")
        said = docker.ask("logs", name)
        docker.ask("rm", name)
        return [running, ended, said, docker("inspect", name).code]

    assert both(exercise) == ["running", "exited 3", "up\nbye", 1]


def test_kill_sends_any_signal(both: Both) -> None:
    def exercise(docker: Docker) -> list[object]:
        script = "trap 'echo usr1' USR1; echo up; while :; do sleep 0.1; done"
        name = docker.started(sh=script)
        assert eventually(lambda: docker.ask("logs", name) == "up")
        docker.ask("kill", "--signal=USR1", name)
        assert eventually(lambda: docker.ask("logs", name) == "up\nusr1")
        docker.ask("kill", name)
        return [docker.wait(name), docker("kill", name).code]

    assert both(exercise) == [137, 1]


def test_exec(both: Both) -> None:
    def exercise(docker: Docker) -> list[object]:
        name = docker.started("--env=A=1")
        flags = ("--user=box", "--workdir=/tmp", "--env=B=2")
        seen = docker.ask("exec", *flags, name, "sh", "-c", 'id -u; pwd; echo "$A $B"')
        code = docker("exec", name, "sh", "-c", "exit 9").code
        echo = docker.ask("exec", "-i", name, "cat", stdin="through exec")
        absent = docker("exec", name, "/no/such/program").code
        docker.ask("exec", "--detach", name, "sh", "-c", "echo $PPID > /tmp/done")
        assert eventually(lambda: docker("exec", name, "test", "-s", "/tmp/done").code == 0)
        return [seen.split(), code, echo, absent, docker.exec(name, "cat", "/tmp/done")]

    seen, code, echo, absent, detached = both(exercise)
    assert [seen, code, echo] == [["1000", "/tmp", "1", "2"], 9, "through exec"]
    assert absent in (126, 127)  # from Docker 28 on, as for `run`
    assert detached == "0"


def test_terminals(both: Both) -> None:
    def exercise(docker: Docker) -> list[int]:
        codes = []
        name = docker.started()
        line = docker.words(*docker.line("run", ("--rm", "-it", "--", "sh")))
        for words in (docker.words("exec", "-it", name, "sh"), line):
            with screen(docker.host, words, rows=33, columns=77) as shell:
                shell.wait_for(b"# ")
                shell.type(b"tty; test -t 0 && echo ter''minal\n")
                shell.wait_for(b"/dev/pts/")
                shell.wait_for(b"terminal")
                shell.type(b"while ! stty size | grep '40 1''20'; do sleep 0.1; done\n")
                shell.resize_until(40, 120, b"40 120")
                shell.type(b"exit 5\n")
                codes.append(shell.end())
        return codes

    assert both(exercise) == [5, 5]


def test_limits_and_update(both: Both) -> None:
    def exercise(docker: Docker) -> list[str]:
        flags = ("--memory=64m", "--pids-limit=33", "--cpus=0.5", "--cpuset-cpus=0")
        name = docker.started(*flags)
        before = docker.exec(name, "sh", "-c", LIMITS).split()
        docker.ask("update", "--memory=96m", "--memory-swap=96m", "--cpus=0.25", name)
        after = docker.exec(name, "sh", "-c", LIMITS).split()
        return [*before[:3], before[-1], *after[:3]]

    wanted = ["67108864", "33", "50000", "0", "100663296", "33", "25000"]
    assert both(exercise) == wanted


def test_the_oom_killer_is_reported(both: Both) -> None:
    def exercise(docker: Docker) -> list[object]:
        script = "head -c 100m /dev/zero | tail; s=$?; sleep 0.5; exit $s"
        name = docker.started("--memory=24m", "--memory-swap=24m", sh=script)
        return [docker.wait(name), docker.inspect(name, "{{.State.OOMKilled}}")]

    assert both(exercise) == [137, "true"]


def test_files(both: Both) -> None:
    """A read-only root, tmpfs, binds, volumes."""

    def exercise(docker: Docker) -> list[object]:
        folder = f"/run/bound-{docker.runtime}"
        docker.host.write(f"{folder}/file", "from the host\n")
        volume = f"vol-{docker.runtime}"
        flags = ("--read-only", "--tmpfs=/tmp:size=1m", f"--volume={folder}:/b:ro",
                 f"--volume={volume}:/srv")  # fmt: skip
        script = (
            "touch /x 2>/dev/null; echo $?; cat /b/file; touch /b/x 2>/dev/null; echo $?;"
            " df -k /tmp | tail -n 1 | tr -s ' ' | cut -d' ' -f2;"
            " cat /srv/box/note; echo 2 > /srv/two"
        )
        seen = docker.sees(*flags, sh=script).split("\n")
        kept = docker.sees(f"--volume={volume}:/v", "--", "cat", "/v/two")
        docker.ask("volume", "rm", volume)
        return [seen, kept]

    assert both(exercise) == [["1", "from the host", "1", "1024", "a note"], "2"]


@pytest.mark.parametrize(("kind", "seen"), [("rslave", [True, False]), ("rshared", [True, True])])
def test_propagation(both: Both, kind: str, seen: list[bool]) -> None:
    def exercise(docker: Docker) -> list[bool]:
        host = docker.host
        folder = f"/run/tree-{docker.runtime}-{kind}"
        for place in ("host", "inside"):
            host.path(f"{folder}/{place}").mkdir(parents=True)
        host.ask("mount", "--bind", folder, folder)
        host.ask("mount", "--make-shared", folder)
        may_mount = ("--cap-add=SYS_ADMIN", "--security-opt=apparmor=unconfined")
        name = docker.started(*may_mount, f"--volume={folder}:/tree:{kind}")
        host.ask("mount", "-t", "tmpfs", "later", f"{folder}/host")
        docker.exec(name, "mount", "-t", "tmpfs", "later", "/tree/inside")
        found = [
            " /tree/host " in docker.exec(name, "cat", "/proc/self/mounts"),
            f" {folder}/inside " in host.ask("cat", "/proc/self/mounts"),
        ]
        docker.clean()
        host("umount", "-R", folder)
        return found

    assert both(exercise) == seen


def test_confinement(both: Both) -> None:
    """Capabilities, the default filter and one of the user's, no new privileges, groups."""

    def exercise(docker: Docker) -> list[object]:
        rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}
        profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
        place = docker.host.write("/run/profile.json", json.dumps(profile))
        mkdir = docker.run(f"--security-opt=seccomp={place}", "--", "mkdir", "/x")
        return [
            docker.sees("--", *STATUS),
            docker.sees("--user=box", "--group-add=77", "--", *STATUS),
            docker.sees("--cap-drop=ALL", "--cap-add=CHOWN", "--", *STATUS),
            docker.sees("--security-opt=no-new-privileges", "--", *STATUS),
            "No space left" in mkdir.err,
        ]

    plain, user, chown, new, refused = both(exercise)
    assert "Seccomp:\t2" in plain and "NoNewPrivs:\t0" in plain
    assert "CapEff:\t0000000000000000" in user
    assert "CapEff:\t0000000000000001" in chown
    assert "NoNewPrivs:\t1" in new
    assert refused is True


def test_privileged(both: Both) -> None:
    """docker asks for every capability that it knows, and a machine may have less."""
    seen = both(lambda d: d.sees("--privileged", "--", *STATUS), unless="apply caps|not permitted")
    assert "Seccomp:\t0" in seen


def test_settings(both: Both) -> None:
    """Devices, ulimits, sysctls, /dev/shm, names, init, environment."""

    def exercise(docker: Docker) -> list[str]:
        flags = ["--device=/dev/zero:/dev/noughts:r", "--ulimit=nofile=500:600", "--hostname=boxed",
                 "--sysctl=net.ipv4.ip_unprivileged_port_start=99", "--shm-size=5m",
                 "--add-host=there:10.1.2.3", "--env=A=b c", "--init"]  # fmt: skip
        script = (
            "head -c 2 /dev/noughts | od -An -tx1; ulimit -Sn; ulimit -Hn; hostname;"
            " cat /proc/sys/net/ipv4/ip_unprivileged_port_start; df -k /dev/shm | tail -n 1;"
            " grep there /etc/hosts; echo $A $MADE_BY; cat /proc/1/comm"
        )
        return docker.sees(*flags, sh=script).split()

    wanted = "00 00 500 600 boxed 99 shm 5120 0 5120 0% /dev/shm 10.1.2.3 there b c image"
    assert both(exercise) == [*wanted.split(), "docker-init"]


def test_host_namespaces(both: Both) -> None:
    def exercise(docker: Docker) -> list[str]:
        flags = ["--network=host", "--pid=host", "--ipc=host", "--uts=host", "--cgroupns=host"]
        script = "for n in net pid ipc uts cgroup mnt; do readlink /proc/self/ns/$n; done"
        own = docker.host.ask("sh", "-c", script).splitlines()
        seen = docker.sees(*flags, sh=script).splitlines()
        return [word.split(":")[0] for word in own if word in seen]

    assert both(exercise) == ["net", "pid", "ipc", "uts", "cgroup"]


@pytest.mark.long
def test_pause_top_and_stats(both: Both) -> None:
    def exercise(docker: Docker) -> list[object]:
        name = docker.started("--memory=50m", "--", "sleep", "1000")
        docker.ask("pause", name)
        paused = docker.inspect(name, "{{.State.Status}}")
        docker.ask("unpause", name)
        top = docker.ask("top", name, "-o", "pid,args").splitlines()[1:]
        stats = json.loads(docker.ask("stats", "--no-stream", "--format", "{{json .}}", name))
        limit = stats["MemUsage"].split(" / ")[1]
        return [paused, [line.split()[1:] for line in top], limit, stats["PIDs"]]

    assert both(exercise) == ["paused", [["sleep", "1000"]], "50MiB", "1"]


@pytest.mark.long
def test_restart_policy_and_health(both: Both) -> None:
    def exercise(docker: Docker) -> list[object]:
        name = docker.started("--restart=on-failure:2", sh="echo once; exit 3")
        docker.until(name, "{{.RestartCount}} {{.State.Status}}", "2 exited")
        flags = ("--health-cmd=test -e /tmp/healthy", "--health-interval=200ms")
        well = docker.started(*flags, "--health-retries=1")
        docker.until(well, "{{.State.Health.Status}}", "unhealthy")
        docker.exec(well, "touch", "/tmp/healthy")
        docker.until(well, "{{.State.Health.Status}}", "healthy")
        return [docker.ask("logs", name)]

    assert both(exercise) == ["once\nonce\nonce"]


def test_attach_and_restart(both: Both) -> None:
    def exercise(docker: Docker) -> list[object]:
        name = docker.name()
        script = "read x; echo got $x; exit 6"
        docker.ask(*docker.line("create", ("-i", "--name", name), script))
        first = docker("start", "--attach", "--interactive", name, stdin="a line\n")
        second = docker("start", "--attach", "--interactive", name, stdin="another\n")
        return [first.code, first.out, second.out]

    assert both(exercise) == [6, "got a line\n", "got another\n"]


def test_two_on_a_network(both: Both) -> None:
    """As compose makes it: one asks the other by its name."""

    def exercise(docker: Docker) -> str:
        network = f"net-{docker.runtime}"
        docker.ask("network", "create", network)
        docker.started(f"--network={network}", "--network-alias=web", sh=SERVE)
        ask = "until wget -q -O - http://web/index.html; do sleep 0.1; done"
        seen = docker.sees(f"--network={network}", sh=ask)
        docker.clean()
        docker.ask("network", "rm", network)
        return seen

    assert both(exercise) == "hello"


@pytest.mark.long
def test_published_port(both: Both) -> None:
    def exercise(docker: Docker) -> str:
        docker.started("--publish=8080:80", sh=SERVE)
        get = "busybox wget -q -O - http://127.0.0.1:8080/index.html"
        assert eventually(lambda: docker.host("sh", "-c", get).code == 0)
        seen = docker.host.ask("sh", "-c", get)
        docker.clean()
        return seen

    assert both(exercise) == "hello"


def test_commit(both: Both) -> None:
    """What a container has changed becomes an image. (A build is by the default runtime:
    test_installed.py.)"""

    def exercise(docker: Docker) -> str:
        name = docker.started()
        docker.exec(name, "sh", "-c", "echo kept > /tmp/file")
        made = f"committed-{docker.runtime}"
        docker.ask("commit", name, made)
        seen = docker.ask("run", "--rm", "--runtime", docker.runtime, made, "cat", "/tmp/file")
        docker.ask("rmi", made)
        return seen

    assert both(exercise) == "kept"


COUNT = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done"


def check_checkpoint(both: Both, network: str) -> None:
    """It goes on from where it was, with its log."""

    def exercise(docker: Docker) -> list[object]:
        flags = ("--security-opt=seccomp=unconfined", f"--network={network}")
        name = docker.started(*flags, sh=COUNT)
        assert eventually(lambda: len(docker.ask("logs", name).split()) > 3)
        docker.ask("checkpoint", "create", name, "one")
        docker.until(name, "{{.State.Status}}", "exited")
        before = docker.ask("logs", name).split()
        docker.ask("start", "--checkpoint=one", name)
        assert eventually(lambda: len(docker.ask("logs", name).split()) > len(before) + 3)
        after = [int(word) for word in docker.ask("logs", name).split()]
        return [after == list(range(1, len(after) + 1)), docker.inspect(name, "{{.State.Status}}")]

    assert both(exercise, patience=3) == [True, "running"]


@needs("criu")
def test_checkpoint(both: Both) -> None:
    check_checkpoint(both, "bridge")


def test_the_image_is_ours(both: Both) -> None:
    """No registry was asked."""
    assert NAME in both(lambda d: d.ask("images", "--format", "{{.Repository}}:{{.Tag}}"))
