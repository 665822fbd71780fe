# SPDX-License-Identifier: Apache-2.0
"""process: who the program is, what it may do, and what it is given."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable

import pytest

from life.bundles import CAPABILITIES, Bundle
from life.runtimes import Container, Runtime
from pyrun.linux import RLIMITS

pytestmark = pytest.mark.warmed
with_peers = pytest.mark.with_peers
differs = pytest.mark.differs
pyrun_only = pytest.mark.pyrun_only

CHOWN, KILL, NET_BIND, AUDIT_WRITE = (1 << bit for bit in (0, 5, 10, 29))


def sets(answer: str) -> dict[str, int]:
    """The payload's five sets."""
    return {name: int(value, 16) for name, value in map(str.split, answer.splitlines())}


@with_peers
def test_capabilities_of_root(container: Container, bundle: Bundle) -> None:
    bundle.process["capabilities"] = {
        "bounding": ["CAP_KILL", "CAP_CHOWN", "CAP_AUDIT_WRITE"],
        "permitted": ["CAP_KILL", "CAP_CHOWN"],
        "effective": ["CAP_KILL"],
        "inheritable": ["CAP_KILL"],
        "ambient": ["CAP_KILL"],
    }
    assert sets(container.ask("caps")[0]) == {
        "bounding": KILL | CHOWN | AUDIT_WRITE,
        "permitted": KILL | CHOWN,
        "effective": KILL | CHOWN,  # of root, execve(2) raises what is permitted
        "inheritable": KILL,
        "ambient": KILL,
    }


@with_peers
def test_capabilities_of_a_user(container: Container, bundle: Bundle) -> None:
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["capabilities"] = {
        "bounding": ["CAP_KILL", "CAP_CHOWN", "CAP_AUDIT_WRITE"],
        "permitted": ["CAP_KILL", "CAP_CHOWN"],
        "effective": ["CAP_KILL", "CAP_CHOWN"],
        "inheritable": ["CAP_KILL"],
        "ambient": ["CAP_KILL"],
    }
    assert sets(container.ask("caps")[0]) == {
        "bounding": KILL | CHOWN | AUDIT_WRITE,
        "permitted": KILL,  # execve(2) leaves a user what is ambient
        "effective": KILL,
        "inheritable": KILL,
        "ambient": KILL,
    }


@with_peers
def test_no_capabilities(container: Container, bundle: Bundle) -> None:
    bundle.process["capabilities"] = {}
    caps, chown = container.ask("caps", "chown /data 5 5")
    assert set(sets(caps).values()) == {0}
    assert chown == "error: EPERM"


def test_capabilities_absent(container: Container, bundle: Bundle) -> None:
    """Without the field a container has none: never the caller's."""
    del bundle.process["capabilities"]
    assert set(sets(container.ask("caps")[0]).values()) == {0}


@pytest.mark.with_peers
@differs(runc="1.1 fails: operation not permitted", crun="1.8 fails: operation not permitted")
def test_capabilities_that_the_caller_lacks(container: Container, bundle: Bundle) -> None:
    """A runtime in a container of its own gives what it has (config.md: SHOULD NOT fail)."""
    for kind in ("bounding", "effective", "permitted", "inheritable", "ambient"):
        bundle.process["capabilities"][kind] = ["CAP_KILL", "CAP_SYS_TIME", "CAP_CHOWN"]
    without = ["setpriv", "--bounding-set=-sys_time", "--inh-caps=-sys_time"]
    answer = container.run("caps", prefix=without).answers()[0]
    assert set(sets(answer).values()) == {KILL | CHOWN}


@pyrun_only("the text")
def test_capabilities_that_are_not_granted_are_logged(container: Container, bundle: Bundle) -> None:
    bundle.process["capabilities"]["effective"] += ["CAP_NOBODY_KNOWS", "CAP_SYS_TIME"]
    log = bundle.path / "log"
    container.created("caps", options=["--log", str(log), "--log-level", "warning"])
    assert "/process/capabilities/effective: not granted: CAP_NOBODY_KNOWS" in log.read_text()
    assert container.start().code == 0
    container.wait()
    assert sets(container.answers()[0])["effective"] == KILL | NET_BIND | AUDIT_WRITE


def test_capabilities_without_no_new_privileges(container: Container, bundle: Bundle) -> None:
    bundle.process["noNewPrivileges"] = False
    found = sets(container.ask("caps")[0])
    assert found["effective"] == found["bounding"] == KILL | NET_BIND | AUDIT_WRITE
    assert len(CAPABILITIES) == found["effective"].bit_count()


@with_peers
def test_user_and_groups(container: Container, bundle: Bundle) -> None:
    bundle.process["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [5, 27, 1001]}
    assert container.ask("id")[0] == "1000 1001 5 27 1001"


def test_groups_of_the_caller_are_dropped(container: Container, bundle: Bundle) -> None:
    result = container.run("id", extra_groups=[7, 8])
    assert result.answers() == ["0 0"]


def test_umask_by_default(container: Container) -> None:
    assert container.run("umask", umask=0o077).answers() == ["0022"]


@with_peers
def test_umask(container: Container, bundle: Bundle) -> None:
    bundle.process["user"]["umask"] = 0o027
    assert container.ask("umask", "write /tmp/x y", "stat /tmp/x")[2].startswith("- 0640")


def test_cwd(container: Container, bundle: Bundle) -> None:
    bundle.process["cwd"] = "/home/user"
    assert container.ask("cwd")[0] == "/home/user"


@with_peers
def test_cwd_is_made(container: Container, bundle: Bundle) -> None:
    bundle.process["cwd"] = "/srv/deep/down"
    bundle.config["root"]["readonly"] = True
    cwd, there = container.ask("cwd", "stat /srv/deep/down")
    assert cwd == "/srv/deep/down"
    assert there.startswith("d 0755 0 0")


@with_peers
def test_cwd_of_root_alone(container: Container, bundle: Bundle) -> None:
    """It is opened before the user is changed."""
    home = bundle.rootfs / "home/user"
    home.chmod(0o700)
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["cwd"] = "/home/user"
    assert container.ask("cwd")[0] == "/home/user"


def test_cwd_of_the_user_alone(container: Container, bundle: Bundle) -> None:
    """A folder that only the container's user may enter."""
    home = bundle.rootfs / "home/user"
    os.chown(home, 1000, 1000)
    home.chmod(0o700)
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["cwd"] = "/home/user"
    assert container.ask("cwd")[0] == "/home/user"


@with_peers
def test_cwd_through_a_link_stays_inside(container: Container, bundle: Bundle) -> None:
    (bundle.rootfs / "way").symlink_to("/etc")
    bundle.process["cwd"] = "/way"
    bundle.file("/etc/inside", "")
    assert "inside" in container.ask("ls .")[0].splitlines()


@with_peers
def test_environment(container: Container, bundle: Bundle) -> None:
    bundle.process["env"] = ["PATH=/bin", "A=1", "EMPTY=", "WITH=a=b", "HOME=/h"]
    lines = container.ask("env", env={"SECRET": "caller"})[0].splitlines()
    assert sorted(lines) == ["A=1", "EMPTY=", "HOME=/h", "PATH=/bin", "WITH=a=b"]


def test_the_last_of_a_name_wins(container: Container, bundle: Bundle) -> None:
    bundle.process["env"] = ["A=1", "PATH=/", "A=2"]
    lines = container.ask("env")[0].splitlines()
    assert [line for line in lines if line.startswith("A=")] == ["A=2"]


@with_peers
@pytest.mark.parametrize(
    ("passwd", "uid", "home"),
    [
        ("root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:\n", 0, "/root"),
        ("root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:\n", 1000, "/home/user"),
        pytest.param(
            "root:x:0:0::/root:/bin/sh\n",
            1234,
            "/",
            marks=differs(crun="1.8 sets none for an unknown user"),
        ),
        (None, 0, "/"),
    ],
)
def test_home(
    container: Container, bundle: Bundle, passwd: str | None, uid: int, home: str
) -> None:
    if passwd:
        bundle.file("/etc/passwd", passwd)
    bundle.process["user"]["uid"] = uid
    assert f"HOME={home}" in container.ask("env")[0].splitlines()


@with_peers
def test_path_of_the_container_finds_the_program(container: Container, bundle: Bundle) -> None:
    (bundle.rootfs / "opt").mkdir()
    os.link(bundle.rootfs / "payload", bundle.rootfs / "opt/tool")
    bundle.process["env"] = ["PATH=/nowhere:/opt"]
    bundle.process["args"] = ["tool", "print", "found"]
    assert container.run().answers() == ["found"]


@with_peers
def test_a_relative_program_is_found_from_the_cwd(container: Container, bundle: Bundle) -> None:
    (bundle.rootfs / "opt").mkdir()
    os.link(bundle.rootfs / "payload", bundle.rootfs / "opt/tool")
    bundle.process["cwd"] = "/opt"
    bundle.process["args"] = ["./tool", "print", "found"]
    assert container.run().answers() == ["found"]


@with_peers
def test_rlimits(container: Container, bundle: Bundle) -> None:
    bundle.process["rlimits"] = [
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": (1 << 64) - 1},
        {"type": "RLIMIT_CPU", "soft": 60, "hard": 61},
        {"type": "RLIMIT_AS", "soft": 1 << 30, "hard": 2 << 30},
    ]
    kinds = (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE, resource.RLIMIT_CPU, resource.RLIMIT_AS)
    answers = container.ask(*(f"rlimit {kind}" for kind in kinds))
    assert answers == ["100 200", "0 -1", "60 61", f"{1 << 30} {2 << 30}"]


@with_peers
@pytest.mark.parametrize("kind", sorted(RLIMITS))
def test_each_rlimit(container: Container, bundle: Bundle, kind: str) -> None:
    """No more than the caller has: to raise a limit takes CAP_SYS_RESOURCE."""
    most = resource.getrlimit(RLIMITS[kind])[1]
    hard = 1 << 29 if most == resource.RLIM_INFINITY else most
    soft = hard // 2
    bundle.process["rlimits"] = [{"type": kind, "soft": soft, "hard": hard}]
    assert container.ask(f"rlimit {RLIMITS[kind]}")[0] == f"{soft} {hard}"


@pyrun_only("the text")
def test_rlimit_above_the_callers(container: Container, bundle: Bundle) -> None:
    bundle.process["rlimits"] = [{"type": "RLIMIT_CORE", "soft": 1, "hard": 1 << 40}]
    without = ["setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource"]
    result = container.run("print x", prefix=["prlimit", "--core=1:2", *without])
    assert (result.code, result.out) == (1, "")
    assert "process.rlimits[0] (RLIMIT_CORE): setrlimit: operation not permitted" in result.err
    assert "CAP_SYS_RESOURCE" in result.err


@with_peers
def test_no_new_privileges(container: Container, bundle: Bundle) -> None:
    assert container.ask("nnp")[0] == "1"
    bundle.process["noNewPrivileges"] = False
    assert container.ask("nnp")[0] == "0"


@with_peers
def test_oom_score(container: Container, bundle: Bundle) -> None:
    bundle.process["oomScoreAdj"] = 321
    assert container.ask("cat /proc/self/oom_score_adj")[0] == "321"


@pyrun_only("the text")
def test_oom_score_that_the_caller_may_not_lower(container: Container, bundle: Bundle) -> None:
    bundle.process["oomScoreAdj"] = -500
    without = ["setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource"]
    result = container.run("print x", prefix=without)
    assert (result.code, result.out) == (1, "")
    assert "/process/oomScoreAdj: " in result.err
    assert "permission denied" in result.err


def test_oom_score_is_the_callers(container: Container) -> None:
    result = container.run("cat /proc/self/oom_score_adj", prefix=["choom", "-n", "77", "--"])
    assert result.answers() == ["77"]


@with_peers
@differs(crun="the keyring has the container's id as its name")
def test_session_keyring(container: Container) -> None:
    assert container.ask("keyring")[0].endswith(f"_ses.{container.id}")


def test_no_new_keyring(container: Container) -> None:
    answers = container.run("keyring", flags=["--no-new-keyring"]).answers()
    assert container.id not in answers[0]


def test_keyring_is_unlike_the_callers(container: Container) -> None:
    own = container.run("keyring").answers()
    assert container.id in own[0]


@differs(runc="what the caller blocks stays blocked")
def test_signals_are_as_at_birth(container: Container) -> None:
    """What the caller ignores or blocks is its own affair."""

    def ignore() -> None:
        for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGTERM})

    assert container.run("signals", preexec_fn=ignore).answers() == [""]


@with_peers
def test_exit_code(container: Container) -> None:
    assert container.run("exit 0").code == 0
    assert container.run("exit 7").code == 7
    assert container.run("exit 255").code == 255


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGABRT])
def test_exit_code_of_a_signal(container: Container, bundle: Bundle, number: int) -> None:
    bundle.namespaces("ipc", "uts", "mount", "network", "cgroup")  # process 1 is immune
    assert container.run(f"kill-self {number}").code == 128 + number


def test_process_is_first_of_its_own_session(container: Container) -> None:
    assert container.ask("pids")[0].split()[:4] == ["1", "0", "1", "1"]


def test_stdin_reaches_the_program(container: Container) -> None:
    result = container.run("echo", stdin="one\ntwo\n")
    assert result.answers() == ["ready\ngot one\ngot two"]


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("absent", ["executable file", "not found in $PATH"]),
        ("/absent", ["no such file or directory"]),
        ("/etc/plain", ["permission denied"]),
        pytest.param(
            "/etc", ["permission denied"], marks=differs(crun="1.8 says: operation not permitted")
        ),
    ],
)
@pytest.mark.parametrize("verb", ["create", "run"])
def test_program_that_is_not_there(
    container: Container, bundle: Bundle, program: str, words: list[str], verb: str
) -> None:
    """In words that engines look for, already at `create`."""
    bundle.file("/etc/plain", "no program")
    bundle.process["args"] = [program]
    bundle.save()
    result = container.create(verb=verb) if verb == "create" else container.run()
    assert result.code == 1
    for word in words:
        assert word in result.err.lower() or word in result.err
    assert container.delete().code != 0, "it is still there"


@pytest.mark.pyrun_only("the text")
def test_program_of_another_machine(container: Container, bundle: Bundle) -> None:
    bundle.file("/bin/odd", "\x7fELF nothing", 0o755)
    bundle.process["args"] = ["/bin/odd"]
    result = container.run()
    assert result.code == 1
    assert "exec format error" in result.err
    bundle.file("/bin/script", "#!/no/such/interpreter\n", 0o755)
    bundle.process["args"] = ["/bin/script"]
    result = container.run()
    assert result.code == 1
    assert "no such file or directory" in result.err
    assert "interpreter" in result.err


@pytest.mark.pyrun_only("start of the peers does not see it")
def test_start_says_why_the_program_did_not_run(container: Container, bundle: Bundle) -> None:
    bundle.file("/bin/odd", "\x7fELF nothing", 0o755)
    bundle.process["args"] = ["/bin/odd"]
    container.created()
    result = container.start()
    assert result.code == 1
    assert "exec format error" in result.err
    assert container.status() == "stopped"
    assert container.delete().code == 0


def test_runtime_prints_nothing(runtime: Runtime, make_container: Callable[[], Container]) -> None:
    """`state` is read with stdout and stderr mixed, and `create` has the container's."""
    container = make_container()
    container.created("print x")
    assert container.output.read_text() == ""
    for result in (container.start(), container.delete("--force")):
        assert (result.code, result.out, result.err) == (0, "", "")
