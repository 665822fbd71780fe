# SPDX-License-Identifier: Apache-2.0
"""SCMP_ACT_NOTIFY: the agent at listenerPath gets the listener, and answers for the kernel."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from life.bundles import Bundle
from life.runtimes import Container
from life.seccomp_agent import CONTINUE, MKDIR, NUMBERS, Answer, agent

with_peers = pytest.mark.with_peers
differs = pytest.mark.differs

PRESERVED = {"ociVersion", "id", "status", "pid", "bundle"}


@pytest.fixture
def path(bundle: Bundle) -> Path:
    """Of the agent's socket."""
    return bundle.path / "agent"


def notify(bundle: Bundle, path: Path, *names: str, **more: Any) -> None:
    """The profile: these calls are the agent's, every other one is allowed."""
    rule = {"names": list(names), "action": "SCMP_ACT_NOTIFY"}
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": str(path),
        "syscalls": [rule],
        **more,
    }


@with_peers
@pytest.mark.parametrize("nnp", [True, False])
def test_the_agent_answers(container: Container, bundle: Bundle, path: Path, nnp: bool) -> None:
    bundle.process["noNewPrivileges"] = nnp
    notify(bundle, path, MKDIR)
    with agent(path, **{MKDIR: Answer(error=errno.ENOMSG)}):
        assert container.ask("mkdir /tmp/a") == ["error: ENOMSG"]
    with agent(path, **{MKDIR: Answer(value=0)}):
        assert container.ask("mkdir /tmp/a", "nnp") == ["ok", str(int(nnp))]
    assert not (bundle.rootfs / "tmp/a").exists()
    with agent(path, **{MKDIR: Answer(flags=CONTINUE)}) as found:
        assert container.ask("mkdir /tmp/a") == ["ok"]
    assert [number for _, number in found.calls] == [NUMBERS[MKDIR]]
    assert (bundle.rootfs / "tmp/a").is_dir()


@with_peers
@differs(crun="with noNewPrivileges it connects at create, and tells nothing before start")
def test_the_message(container: Container, bundle: Bundle, path: Path) -> None:
    notify(bundle, path, MKDIR, listenerMetadata="MKDIR=/tmp")
    bundle.config["annotations"] = {"org.example.key": "value"}
    with agent(path) as found:
        container.created("mkdir /tmp/a")
        message = found.told()
        check(message, container)
        assert message["metadata"] == "MKDIR=/tmp"
        assert message["state"]["annotations"] == {"org.example.key": "value"}
        assert container.start().code == 0
        assert container.wait() == 0
    assert container.answers() == ["ok"]
    assert len(found.messages) == 1
    assert found.descriptors == ["anon_inode:seccomp notify"]


def check(message: dict[str, Any], container: Container) -> None:
    """A container process state, field by field."""
    assert message["fds"] == ["seccompFd"]
    assert message["ociVersion"] == message["state"]["ociVersion"]
    assert message["pid"] == message["state"]["pid"] == container.pid
    assert message["state"].keys() >= PRESERVED
    assert message["state"]["id"] == container.id
    assert message["state"]["status"] == "creating"
    assert message["state"]["bundle"] == str(container.bundle.path)


def test_without_metadata(container: Container, bundle: Bundle, path: Path) -> None:
    notify(bundle, path, MKDIR)
    with agent(path) as found:
        container.ask("mkdir /tmp/a")
        assert found.connection.recv(1) == b"", "it MUST be closed after sending"
    assert "metadata" not in found.told()


def test_a_message_that_no_buffer_holds(container: Container, bundle: Bundle, path: Path) -> None:
    """More than one sendmsg(2) takes: the descriptor comes once, with the first."""
    notify(bundle, path, MKDIR, listenerMetadata="m" * 1_000_000)
    with agent(path, **{MKDIR: Answer(error=errno.ENOMSG)}) as found:
        assert container.ask("mkdir /tmp/a") == ["error: ENOMSG"]
    assert len(found.told()["metadata"]) == 1_000_000
    assert len(found.descriptors) == 1


@with_peers
@pytest.mark.parametrize("verb", ["run", "create"])
def test_the_program_itself_is_asked_for(
    container: Container, bundle: Bundle, path: Path, verb: str
) -> None:
    """execve(2) waits for an answer, after the exec fifo."""
    notify(bundle, path, "execve")
    with agent(path) as found:
        if verb == "run":
            assert container.ask("print x") == ["x"]
        else:
            container.started("print x")
            assert container.wait() == 0
            assert container.answers() == ["x"]
    assert NUMBERS["execve"] in [number for _, number in found.calls]


@with_peers
def test_an_agent_may_refuse_the_program(container: Container, bundle: Bundle, path: Path) -> None:
    notify(bundle, path, "execve")
    with agent(path, execve=Answer(error=errno.EACCES)):
        result = container.run("print x")
    assert result.code not in (0, None)
    assert "permission denied" in result.err.lower()


def test_calls_of_our_own_are_the_agents_too(
    container: Container, bundle: Bundle, path: Path
) -> None:
    """Whatever the init still calls: an agent for rootless networks asks for sendmsg and close."""
    names = [name for name in NUMBERS if name != MKDIR]
    notify(bundle, path, *names, "close_range", "recvfrom", "sendto", "exit_group")
    with agent(path):
        container.started("print x")
        assert container.wait() == 0
    assert container.answers() == ["x"]


@pytest.mark.pyrun_only("what a profile has to allow for us")
@pytest.mark.parametrize("nnp", [True, False])
def test_what_has_to_be_allowed(
    container: Container, bundle: Bundle, path: Path, nnp: bool
) -> None:
    """docs/decisions/0007: no more than this."""
    bundle.process["noNewPrivileges"] = nnp
    taken = ["write", "recvmsg", "read", "close", "close_range", "execve"]
    taken += [] if nnp else ["capset"]
    notify(bundle, path, MKDIR, defaultAction="SCMP_ACT_KILL_PROCESS")
    allowed = {"names": taken, "action": "SCMP_ACT_ALLOW"}
    bundle.linux["seccomp"]["syscalls"].append(allowed)
    with agent(path):
        container.started("print x")  # start says that execve has succeeded
        assert container.wait() == -31, "SIGSYS of the program's own calls"


@pytest.mark.pyrun_only("the words")
def test_a_profile_that_keeps_the_init_from_speaking(
    container: Container, bundle: Bundle, path: Path
) -> None:
    notify(bundle, path, MKDIR, defaultAction="SCMP_ACT_ERRNO")
    with agent(path):
        result = container.create("print x")
    assert result.code == 1
    assert "does the seccomp profile allow what a listener takes? write, recvmsg" in result.err


@with_peers
def test_no_agent(container: Container, bundle: Bundle) -> None:
    notify(bundle, Path("/no/such/socket"), MKDIR)
    result = container.create("print x")
    assert result.code != 0
    if container.runtime.name == "pyrun":
        assert "/linux/seccomp/listenerPath: socket /no/such/socket: no such file" in result.err
    assert os.listdir(container.runtime.root) in ([], [".cache"])


@with_peers
@differs(crun="sends at start")
def test_an_agent_that_went_away(container: Container, bundle: Bundle, path: Path) -> None:
    """Nobody holds the listener then, our init neither: calls fail and do not wait."""
    notify(bundle, path, MKDIR)
    with agent(path):
        container.created("mkdir /tmp/a")
    assert container.start().code == 0
    assert container.wait() == 0
    assert container.answers() == ["error: ENOSYS"]


@with_peers
@differs(crun="connects, whether it will send or not")
def test_a_listener_path_for_nothing(container: Container, bundle: Bundle) -> None:
    """Ignored without SCMP_ACT_NOTIFY (config-linux.md)."""
    notify(bundle, Path("/no/such/socket"), MKDIR)
    bundle.linux["seccomp"]["syscalls"][0]["action"] = "SCMP_ACT_ERRNO"
    assert container.ask("mkdir /tmp/a") == ["error: EPERM"]


@with_peers
def test_as_root_of_a_user_namespace(container: Container, bundle: Bundle, path: Path) -> None:
    bundle.map_ids()
    notify(bundle, path, MKDIR)
    with agent(path, **{MKDIR: Answer(error=errno.ENOMSG)}):
        assert container.ask("mkdir /tmp/a") == ["error: ENOMSG"]


@pytest.mark.parametrize("nnp", [True, False])
def test_as_an_ordinary_user_without_capabilities(
    container: Container, bundle: Bundle, path: Path, nnp: bool
) -> None:
    bundle.process["noNewPrivileges"] = nnp
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["capabilities"] = {}
    notify(bundle, path, MKDIR)
    with agent(path, **{MKDIR: Answer(error=errno.ENOMSG)}):
        answer, caps, identity = container.ask("mkdir /tmp/a", "caps", "id")
    assert answer == "error: ENOMSG"
    assert all(line.endswith(" 0") for line in caps.splitlines())
    assert identity == "1000 1000"


REFUSED = [
    ({"defaultAction": "SCMP_ACT_NOTIFY"}, "cannot be the default action"),
    ({"listenerPath": ""}, "seccomp listenerPath is not set"),
]


@with_peers
@pytest.mark.parametrize(("change", "words"), REFUSED)
def test_what_would_wait_for_ever_is_refused(
    container: Container, bundle: Bundle, path: Path, change: dict[str, str], words: str
) -> None:
    notify(bundle, path, MKDIR, **change)
    result = container.run("print x")
    assert result.code != 0
    if container.runtime.name == "pyrun":
        assert words in result.err


@with_peers
@differs(crun="takes it")
def test_notify_for_write_is_refused(container: Container, bundle: Bundle, path: Path) -> None:
    notify(bundle, path, "mkdir", "write")
    result = container.run("print x")
    assert result.code == 1
    assert "SCMP_ACT_NOTIFY cannot be used for the write" in result.err
