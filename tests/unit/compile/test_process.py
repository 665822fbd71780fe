# SPDX-License-Identifier: Apache-2.0
"""process: identity, directory, environment, program, and the end of create."""

from __future__ import annotations

from typing import Any

import pytest

from pyrun.compile import capabilities, rlimits
from pyrun.compile import process as rules
from pyrun.errors import Error
from unit.compile.rules import Config, listed, process, spaces, told, with_facts


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({}, ("[]", 0, 0)),
        ({"uid": 1000, "gid": 100}, ("[]", 100, 1000)),
        ({"uid": 1, "additionalGids": [5, 4294967294]}, ("[5, 4294967294]", 0, 1)),
    ],
)
def test_become_user(user: Config, expected: tuple[str, int, int]) -> None:
    groups, gid, uid = expected
    assert told(rules.become_user, process(user=user)) == listed(
        f"""process.user: prctl(PR_SET_KEEPCAPS, 1)
        process.user.additionalGids: setgroups({groups})
        process.user.gid: setresgid({gid})
        process.user.uid: setresuid({uid})
        process.cwd: enter_cwd("/", cwd)
        process.user: prctl(PR_SET_KEEPCAPS, 0)"""
    )


def test_groups_of_a_user_namespace_without_any() -> None:
    """There setgroups(2) is denied: nothing to do, and nothing that could be asked."""
    lines = told(rules.become_user, process(user={"uid": 0}), may_setgroups=False)
    assert not [line for line in lines if "setgroups" in line]
    with pytest.raises(Error, match="setgroups is not allowed") as caught:
        told(rules.become_user, process(user={"additionalGids": [1]}), may_setgroups=False)
    assert caught.value.pointer == "/process/user/additionalGids"


@pytest.mark.parametrize(
    ("user", "mode"), [({}, "022"), ({"umask": 0}, "0"), ({"umask": 0o77}, "077")]
)
def test_umask(user: Config, mode: str) -> None:
    assert told(rules.set_umask, process(user=user)) == [f"process.user.umask: umask({mode})"]


def test_cwd_is_opened_as_root() -> None:
    """Where only the user may go (a network file system), enter_cwd opens it."""
    assert told(rules.open_cwd, process(cwd="/a")) == [
        'process.cwd: open_cwd("/a") = cwd, or EACCES'
    ]


def test_no_new_privileges() -> None:
    assert told(rules.no_new_privileges, process()) == []
    assert told(rules.no_new_privileges, process(noNewPrivileges=True)) == [
        "process.noNewPrivileges: prctl(PR_SET_NO_NEW_PRIVS, 1)"
    ]


ENVIRONMENTS: list[tuple[list[str] | None, list[tuple[str, str]], list[str]]] = [
    (None, [], ["HOME="]),
    (["A=1", "B=2"], [], ["A=1", "B=2", "HOME="]),
    (["A=1", "B=2", "A=3"], [], ["A=3", "B=2", "HOME="]),  # the last one wins
    (["A=b=c", "E="], [], ["A=b=c", "E=", "HOME="]),
    (["HOME=/h", "A=1"], [], ["HOME=/h", "A=1"]),
    (["HOME=", "A=1"], [], ["A=1", "HOME="]),  # an empty one is looked up, as with the peers
    (["HOME=/h", "HOME="], [], ["HOME="]),
    (["LISTEN_FDS=9", "A=1"], [("LISTEN_FDS", "2")], ["LISTEN_FDS=2", "A=1", "HOME="]),
]


@pytest.mark.parametrize(("env", "extra", "expected"), ENVIRONMENTS)
def test_environment(
    env: list[str] | None, extra: list[tuple[str, str]], expected: list[str]
) -> None:
    config = process() if env is None else process(env=env)
    assert rules.environment(config, with_facts(config, extra_env=extra)) == expected


def test_pid_for_socket_activation() -> None:
    """Not for one that the config names itself."""
    assert told(rules.find_pid, process(), extra_env=[("LISTEN_PID", "")]) == [
        "process.env: find_pid()"
    ]
    assert told(rules.find_pid, process(env=["LISTEN_PID="])) == []


@pytest.mark.parametrize(
    ("name", "env", "expected"),
    [
        ("/bin/sh", ["PATH=/x"], ["/bin/sh"]),
        ("./sh", ["PATH=/x"], ["./sh"]),  # by the working directory, where we are by then
        ("a/sh", [], ["a/sh"]),
        ("sh", ["PATH=/a:/b"], ["/a/sh", "/b/sh"]),
        ("sh", ["PATH=/a", "PATH=/b"], ["/b/sh"]),  # as for any name, the last one
        ("sh", ["PATH=:rel:.:/a:"], ["/a/sh"]),  # never by what the directory happens to hold
        ("sh", [], []),
        ("sh", ["XPATH=/a"], []),
    ],
)
def test_candidates(name: str, env: list[str], expected: list[str]) -> None:
    assert rules.candidates(process(args=[name], env=env)) == expected


def test_find() -> None:
    config = process(args=["sh"], env=["PATH=/bin"], user={"uid": 7})
    found = 'process.args[0]: find_executable(["/bin/sh"])'
    assert told(rules.find, config) == [found]
    assert told(rules.find_home, config) == ["process.env: find_home(7)"]
    assert told(rules.find_home, process(env=["PATH=/bin", "HOME=/h"])) == []


def test_rlimits() -> None:
    listed_limits = [
        {"type": "RLIMIT_CPU", "soft": 1, "hard": 2},
        {"type": "RLIMIT_CORE", "soft": -1, "hard": 2**64 - 1},
    ]
    config = process(rlimits=listed_limits)
    assert told(rlimits.limit, config) == [
        "process.rlimits[0]: setrlimit(RLIMIT_CPU, 1, 2)",
        "process.rlimits[1]: setrlimit(RLIMIT_CORE, unlimited, unlimited)",
    ]
    # There the runtime does it: root of a user namespace may not raise a limit.
    assert told(rlimits.limit, {**config, "linux": spaces("user")["linux"]}) == []
    assert told(rlimits.limit, process()) == []


def test_ready() -> None:
    assert told(rules.ready, process()) == ["-: prctl(PR_SET_PDEATHSIG, 0)", "-: sync(ready)"]


def test_start_comes_from_another_process_or_from_the_same() -> None:
    assert told(rules.await_start, process()) == ["-: report_to(result)", "-: wait_start(fifo)"]
    assert told(rules.await_start, process(), fifo=False) == ["-: sync(start)"]


@pytest.mark.parametrize(("preserved", "first"), [(0, 3), (2, 5)])
def test_close(preserved: int, first: int) -> None:
    assert told(rules.close, {}, preserve_fds=preserved) == [f"-: close_others({first})"]


EXECVE = 'process.args: execve(["sh", "-c"], ["A=1", "HOME=/"])'
FILTER = "linux.seccomp: seccomp(SECCOMP_FILTER_FLAG_SPEC_ALLOW, 2 instructions)"


def test_the_filter_is_last_but_for_execve() -> None:
    config = process(args=["sh", "-c"], env=["A=1", "HOME=/"], noNewPrivileges=True)
    assert told(rules.execute, config) == [EXECVE]
    unusual = {"seccomp": bytes(16), "seccomp_flags": 4}
    assert told(rules.execute, config, **unusual) == [FILTER, EXECVE]


def test_without_no_new_privileges_the_filter_needs_a_capability_till_then() -> None:
    kill = {kind: ["CAP_KILL"] for kind in ("bounding", "effective", "permitted")}
    config = process(args=["sh", "-c"], env=["A=1", "HOME=/"], capabilities=kill)
    unusual = {"seccomp": bytes(16), "seccomp_flags": 4}
    assert told(capabilities.apply, config, **unusual)[0] == (
        "process.capabilities: capset(CAP_KILL|CAP_SYS_ADMIN, CAP_KILL|CAP_SYS_ADMIN, 0)"
    )
    given_up = "process.capabilities: capset(CAP_KILL, CAP_KILL, 0)"
    assert told(rules.execute, config, **unusual) == [FILTER, given_up, EXECVE]


def test_a_filter_with_a_listener_comes_while_there_is_a_runtime() -> None:
    """docs/decisions/0007: before `ready`, and the capability that it took is given up at once."""
    unusual = {"seccomp": bytes(16), "seccomp_flags": 8, "fifo": False}
    config = process(args=["sh"], env=["HOME=/"], noNewPrivileges=True)
    listen = "linux.seccomp: seccomp_listen(SECCOMP_FILTER_FLAG_NEW_LISTENER, 2 instructions, "
    listen += "the seccomp listener)"
    assert told(rules.ready, config, **unusual)[1:] == [listen, "-: sync(ready)"]
    assert told(rules.execute, config, **unusual) == ['process.args: execve(["sh"], ["HOME=/"])']
    config["process"]["noNewPrivileges"] = False
    after = told(rules.ready, config, **unusual)[2]
    assert after == "process.capabilities: capset(0, 0, 0)"


def sets(**kinds: str) -> Config:
    return process(capabilities={kind: words.split() for kind, words in kinds.items()})


CAPABILITIES: list[tuple[Config, str, str, str]] = [
    (process(), "0", "0, 0, 0", "0"),
    (sets(bounding="CAP_KILL"), "CAP_KILL", "0, 0, 0", "0"),
    (
        sets(
            bounding="CAP_CHOWN",
            effective="CAP_KILL",
            permitted="CAP_KILL CAP_CHOWN",
            inheritable="CAP_CHOWN",
        ),
        "CAP_CHOWN",
        "CAP_KILL, CAP_CHOWN|CAP_KILL, CAP_CHOWN",
        "0",
    ),
    # What is effective must be permitted, what is inheritable must be bounding: capset(2).
    (
        sets(effective="CAP_KILL CAP_CHOWN", permitted="CAP_CHOWN", inheritable="CAP_CHOWN"),
        "0",
        "CAP_CHOWN, CAP_CHOWN, 0",
        "0",
    ),
    # Only what is permitted and inheritable can be ambient.
    (
        sets(
            bounding="CAP_CHOWN CAP_KILL",
            ambient="CAP_KILL CAP_CHOWN",
            permitted="CAP_KILL CAP_CHOWN",
            inheritable="CAP_CHOWN",
        ),
        "CAP_CHOWN|CAP_KILL",
        "0, CAP_CHOWN|CAP_KILL, CAP_CHOWN",
        "CAP_CHOWN",
    ),
    (sets(bounding="CAP_NEVER_HEARD_OF"), "0", "0, 0, 0", "0"),
]


@pytest.mark.parametrize(("config", "bounding", "applied", "ambient"), CAPABILITIES)
def test_capabilities(config: Config, bounding: str, applied: str, ambient: str) -> None:
    assert told(capabilities.limit, config) == [
        f"process.capabilities.bounding: drop_bounding({bounding})"
    ]
    assert told(capabilities.apply, config) == [
        f"process.capabilities: capset({applied})",
        f"process.capabilities.ambient: set_ambient({ambient})",
    ]


def test_more_than_the_caller_has_is_left_out_and_told() -> None:
    """As config.md asks: a warning, no failure."""
    every = dict.fromkeys(("bounding", "effective", "permitted"), "CAP_KILL CAP_CHOWN CAP_NONE")
    config: dict[str, Any] = sets(**every)
    assert told(capabilities.limit, config, capabilities=1) == [
        "process.capabilities.bounding: drop_bounding(CAP_CHOWN)"
    ]
    applied = told(capabilities.apply, config, capabilities=1)
    assert applied[0] == "process.capabilities: capset(CAP_CHOWN, CAP_CHOWN, 0)"
    assert capabilities.problems(config, with_facts(config, capabilities=1)) == [
        (f"/process/capabilities/{kind}", "not granted: CAP_KILL CAP_NONE")
        for kind in ("bounding", "permitted", "effective")
    ]
    inside = {**config, "linux": spaces("user")["linux"]}  # there it has all of them
    applied = told(capabilities.apply, inside, capabilities=1)
    assert applied[0] == "process.capabilities: capset(CAP_CHOWN|CAP_KILL, CAP_CHOWN|CAP_KILL, 0)"
    for _, text in capabilities.problems(inside, with_facts(inside, capabilities=1)):
        assert text == "not granted: CAP_NONE"
