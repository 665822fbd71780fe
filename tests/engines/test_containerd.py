# SPDX-License-Identifier: Apache-2.0
"""containerd with its own client and shim: a container's life, what it may, and what it sees."""

from __future__ import annotations

import base64
import json

import pytest

from needs import needs

from . import load
from .containerd import Ctr, metrics
from .host import Host, Result, eventually, runtime_path
from .image import NAME
from .pairs import Pair
from .screens import screen
from .watched import Watched

pytestmark = needs("root", "busybox", "containerd", "runc")
Both = Pair[Ctr]

STATUS = ["grep", "-E", "Cap|NoNewPrivs|Seccomp|Groups", "/proc/self/status"]
COUNT = "i=0; while :; do i=$((i+1)); echo $i >> /tmp/count; sleep 0.05; done"


@pytest.fixture
def both(ctr: Both) -> Both:
    """The engine of this module."""
    return ctr


def test_output_and_exit_code(both: Both) -> None:
    def exercise(ctr: Ctr) -> Result:
        return ctr.run(sh="echo out; echo err >&2; exit 7")

    assert both(exercise) == Result(7, "out\n", "err\n")


def test_program_that_is_not_there(both: Both) -> None:
    def exercise(ctr: Ctr) -> list[object]:
        result = ctr.run("--", "/no/such/program")
        said = result.err.lower()
        return [result.code, "no such file or directory" in said, '"level"' in said]

    assert both(exercise) == [1, True, False]


def test_environment_and_folder(both: Both) -> None:
    flags = ("--env=A=b", "--cwd=/tmp")
    assert both(lambda c: c.sees(*flags, sh="echo $A $MADE_BY; pwd")) == "b image\n/tmp"


def test_kill_wait_and_delete(both: Both) -> None:
    def exercise(ctr: Ctr) -> list[object]:
        name = ctr.started(sh="trap 'exit 3' TERM; touch /tmp/up; while :; do sleep 0.1; done")
        running = ctr.status(name)
        assert eventually(lambda: ctr.exec(name, "test", "-e", "/tmp/up").code == 0)
        ctr.ask("tasks", "kill", name)
        ctr.wait(name)
        late = ctr("tasks", "kill", name)
        gone = ctr("tasks", "delete", name)
        told = gone.code or int(gone.err.split("exit code ")[1].split('"')[0])
        return [running, late.code, "process already finished" in late.err, told, ctr.status(name)]

    assert both(exercise) == ["RUNNING", 1, True, 3, ""]


def test_deletion_of_what_runs(both: Both) -> None:
    def exercise(ctr: Ctr) -> list[object]:
        name = ctr.started()
        refused = ctr("tasks", "delete", name).code
        forced = ctr("tasks", "delete", "--force", name).code
        return [refused, forced, ctr.status(name)]

    assert both(exercise) == [1, 0, ""]


def test_exec(both: Both) -> None:
    def exercise(ctr: Ctr) -> list[object]:
        name = ctr.started("--env=A=1")
        script = "{ echo $A; id -u; pwd; } > /tmp/seen; exit 9"
        plain = ctr.exec(name, "sh", "-c", script, flags=["--cwd=/tmp"])
        user = ctr.exec(name, "sh", "-c", "id -u > /tmp/user", flags=["--user=1000"])
        absent = ctr.exec(name, "/no/such/program")
        assert "no such file or directory" in absent.err, absent
        seen = [ctr.file(name, "/tmp/seen"), ctr.file(name, "/tmp/user")]
        return [plain.code, user.code, absent.code, *seen]

    assert both(exercise) == [9, 0, 1, "1\n0\n/tmp\n", "1000\n"]


def test_exec_detached(both: Both) -> None:
    def exercise(ctr: Ctr) -> str:
        name = ctr.started()
        script = "echo $PPID > /tmp/done; sleep 1000"
        result = ctr.exec(name, "sh", "-c", script, flags=["--detach"])
        assert result.code == 0, result
        assert eventually(lambda: ctr.file(name, "/tmp/done"))
        return ctr.file(name, "/tmp/done")

    assert both(exercise) == "0\n"


def test_exec_at_a_terminal(both: Both) -> None:
    def exercise(ctr: Ctr) -> int:
        name = ctr.started()
        line = ["ctr", "tasks", "exec", "--tty", "--exec-id", "shell", name, "sh"]
        with screen(ctr.host, line, rows=33, columns=77) as shell:
            shell.wait_for(b"# ")
            # ctr tells the size when the process runs already.
            shell.type(b"while ! stty size | grep '33 7''7'; do sleep 0.1; done; tty\n")
            shell.wait_for(b"33 77")
            shell.wait_for(b"/dev/pts/")
            shell.type(b"exit 4\n")
            return shell.end()

    assert both(exercise) == 4


def test_run_at_a_terminal(both: Both) -> None:
    def exercise(ctr: Ctr) -> int:
        line = ["ctr", *ctr.words(("--rm", "--tty"), ctr.name(), sh="exec sh")]
        with screen(ctr.host, line, rows=21, columns=90) as shell:
            shell.wait_for(b"# ")
            # ctr tells the size when the process runs already.
            shell.type(b"while ! stty size | grep '21 9''0'; do sleep 0.1; done; tty\n")
            shell.wait_for(b"21 90")
            shell.wait_for(b"/dev/pts/0")
            shell.type(b"exit 5\n")
            return shell.end()

    assert both(exercise) == 5


def test_limits(both: Both) -> None:
    def exercise(ctr: Ctr) -> list[str]:
        name = ctr.started("--memory-limit=67108864", "--cpus=0.5")
        return [
            ctr.limit(name, "memory/memory.limit_in_bytes", "memory.max"),
            ctr.limit(name, "cpu/cpu.cfs_quota_us", "cpu.max").split()[0],
        ]

    assert both(exercise) == ["67108864", "50000"]


def test_read_only_and_mounts(both: Both) -> None:
    def exercise(ctr: Ctr) -> list[str]:
        folder = f"/run/bound-{ctr.runtime}"
        ctr.host.write(f"{folder}/file", "from the host\n")
        script = "touch /x 2>/dev/null; echo $?; cat /b/file; touch /b/x 2>/dev/null; echo $?"
        bind = f"--mount=type=bind,src={folder},dst=/b,options=rbind:ro"
        tmpfs = "--mount=type=tmpfs,src=tmpfs,dst=/t,options=size=1m"
        return ctr.sees("--read-only", bind, sh=script).split("\n") + [
            ctr.sees(tmpfs, sh="df -k /t | tail -n 1").split()[1]
        ]

    assert both(exercise) == ["1", "from the host", "1", "1024"]


def test_capabilities_and_privileges(both: Both) -> None:
    def exercise(ctr: Ctr) -> list[str]:
        return [
            ctr.sees("--", *STATUS),
            ctr.sees("--cap-add=CAP_SYS_PTRACE", "--cap-drop=CAP_KILL", "--", *STATUS),
            ctr.sees("--allow-new-privs", "--", *STATUS),
            ctr.sees("--privileged", "--", *STATUS),
        ]

    plain, chosen, new, privileged = both(exercise)
    assert "NoNewPrivs:\t1" in plain and "Seccomp:\t0" in plain
    assert int(chosen.split("CapEff:")[1].split()[0], 16) & (1 << 19 | 1 << 5) == 1 << 19
    assert "NoNewPrivs:\t0" in new
    assert int(privileged.split("CapEff:")[1].split()[0], 16) & 1 << 21


def test_seccomp(both: Both) -> None:
    """The engine's own profile, and one of the user's."""

    def exercise(ctr: Ctr) -> list[object]:
        default = ctr.sees("--seccomp", "--", *STATUS)
        rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}
        profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
        place = ctr.host.write("/run/profile.json", json.dumps(profile))
        custom = ctr.run("--seccomp", f"--seccomp-profile={place}", "--", "mkdir", "/x")
        return [default, custom.code, "No space left" in custom.err]

    default, code, reason = both(exercise)
    assert "Seccomp:\t2" in default and "Seccomp_filters:\t1" in default
    assert [code, reason] == [1, True]


def test_device(both: Both) -> None:
    """One that no container has by itself, which it may open; another of the kind it may not."""

    def exercise(ctr: Ctr) -> list[str]:
        device = "/run/noughts"
        if not ctr.host.path(device).exists():
            ctr.host.ask("mknod", device, "c", "1", "11")  # the kernel's messages
        script = (
            f"stat -c '%t %T' {device}; true < {device} && echo opened;"
            " mknod /tmp/memory c 1 1; true < /tmp/memory || echo held"
        )
        return ctr.run(f"--device={device}", "--cap-add=CAP_SYSLOG", sh=script).out.split()

    assert both(exercise) == ["1", "b", "opened", "held"]


def test_user_namespace(both: Both) -> None:
    def exercise(ctr: Ctr) -> list[str]:
        flags = ("--uidmap=0:100000:3000", "--gidmap=0:100000:3000")
        script = "cat /proc/self/uid_map; id -u; echo x > /tmp/x; stat -c %u /tmp/x"
        return ctr.sees(*flags, sh=script).split()

    assert both(exercise) == ["0", "100000", "3000", "0", "0"]


def test_host_network_and_joined_namespaces(both: Both) -> None:
    def exercise(ctr: Ctr) -> list[bool]:
        first = ctr.started()
        pid = ctr.pid(first)
        own = ctr.host.ask("readlink", "/proc/self/ns/net")
        ask = ("--", "readlink", "/proc/self/ns/net")
        joined = ctr.sees(f"--with-ns=network:/proc/{pid}/ns/net", *ask)
        return [
            ctr.sees("--net-host", *ask) == own,
            ctr.sees(*ask) == own,
            joined == ctr.host.ask("readlink", f"/proc/{pid}/ns/net"),
        ]

    assert both(exercise) == [True, False, True]


def test_pause_and_resume(both: Both) -> None:
    def exercise(ctr: Ctr) -> list[object]:
        name = ctr.started(sh=COUNT)
        ctr.ask("tasks", "pause", name)
        paused = ctr.status(name)
        refused = ctr.exec(name, "true").code
        ctr.ask("tasks", "resume", name)
        return [paused, refused, ctr.status(name), ctr.exec(name, "true").code]

    assert both(exercise) == ["PAUSED", 1, "RUNNING", 0]


def test_processes_and_metrics(both: Both) -> None:
    def exercise(ctr: Ctr) -> list[object]:
        name = ctr.started("--memory-limit=67108864", sh="sleep 1000 & sleep 1000 & wait")
        assert eventually(lambda: len(ctr.ask("tasks", "ps", name).splitlines()) == 4)
        found = metrics(ctr.ask("tasks", "metrics", name))
        memory = found.get("memory.usage_in_bytes") or found.get("memory.usage") or "0"
        return [found["pids.current"], int(memory) > 0]

    assert both(exercise) == ["3", True]


def test_signal_to_all(both: Both) -> None:
    """`kill --all`, which pods of Kubernetes get."""

    def exercise(ctr: Ctr) -> str:
        name = ctr.started(sh="sleep 1000 & sleep 1000")
        ctr.ask("tasks", "kill", "--all", "--signal=KILL", name)
        ctr.wait(name)
        return ctr.status(name)

    assert both(exercise) == "STOPPED"


def test_pid_file_and_annotations(both: Both) -> None:
    def exercise(ctr: Ctr) -> bool:
        name = ctr.started("--pid-file=/run/box.pid", "--annotation=a.b=c")
        return ctr.host.ask("cat", "/run/box.pid") == str(ctr.pid(name))

    assert both(exercise) is True


def test_many_at_once(containerd_host: Host) -> None:
    """None fails, and none is left."""
    line = ["ctr", *Ctr(containerd_host, "pyrun").words(("--rm", "--", "echo", "{}"), "many{}")]
    _, said = load.at_once(containerd_host, line, range(load.COUNT), 10)
    assert sorted(map(int, said)) == list(range(load.COUNT))
    assert "many" not in containerd_host.ask("ctr", "containers", "list", "--quiet")


@needs("criu")
def test_checkpoint_that_goes_on(both: Both) -> None:
    def exercise(ctr: Ctr) -> list[object]:
        name = ctr.started(sh=COUNT)
        images = f"/run/images-{ctr.runtime}"
        ctr.host.path(images).mkdir()
        # What the client prints is the digest of the checkpoint.
        ctr.ask("tasks", "checkpoint", f"--image-path={images}", name)
        saved = (ctr.host.path(images) / "inventory.img").exists()
        before = last(ctr, name)
        assert eventually(lambda: last(ctr, name) > before)
        return [saved, ctr.status(name)]

    assert both(exercise, patience=3) == [True, "RUNNING"]


@needs("criu")
def test_checkpoint_into_an_image_and_restore(both: Both) -> None:
    """The shim restores with -no-subreaper, one dash."""

    def exercise(ctr: Ctr) -> list[object]:
        name = ctr.started(sh=COUNT)
        made = f"localhost/saved-{ctr.runtime}:{name}"
        assert eventually(lambda: last(ctr, name) > 3)
        ctr.ask("containers", "checkpoint", "--rw", "--task", "--image", name, made)
        before = last(ctr, name)
        ctr.end(name)
        ctr.ask("containers", "delete", name)
        ctr.ask("containers", "restore", "--rw", "--live", name, made)
        assert eventually(lambda: last(ctr, name) > before + 3)
        ctr.ask("images", "remove", made)
        return [ctr.status(name)]

    assert both(exercise, patience=3) == ["RUNNING"]


def last(ctr: Ctr, name: str) -> int:
    """The number that it has counted to."""
    lines = ctr.file(name, "/tmp/count").split()
    return int(lines[-1]) if lines else 0


def test_runtime_that_the_engine_names(both: Both) -> None:
    """The runtime and its options, as containerd keeps them."""

    def exercise(ctr: Ctr) -> list[object]:
        name = ctr.started()
        told = json.loads(ctr.ask("containers", "info", name))
        options = base64.b64decode(told["Runtime"]["Options"]["value"])
        named = runtime_path(ctr.runtime).encode() in options
        return [told["Runtime"]["Name"], named, told["Image"] == NAME]

    assert both(exercise) == ["io.containerd.runc.v2", True, True]


@needs("strace")
def test_the_second_of_a_kind_takes_no_python(containerd_host: Host) -> None:
    """docs/fast.md tells which containers are of a kind."""
    watched = Watched(containerd_host, "/run/containerd/runc/default")
    ctr = Ctr(containerd_host, str(watched.path))
    for number in range(3):
        assert ctr.sees(sh=f"echo {number}") == f"{number}"
    again = containerd_host.driver == "systemd"  # which Python asks for a scope each time
    assert watched.by_python("create") == [True, again, again]
