# SPDX-License-Identifier: Apache-2.0
"""hooks: all six kinds, in the right namespaces and order, with the state on stdin; and what a
hook that fails or hangs does to the container."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from life.bundles import Bundle, bind
from life.mountinfo import mounts
from life.runtimes import Container, eventually

with_peers = pytest.mark.with_peers
differs = pytest.mark.differs

ON_HOST = ("prestart", "createRuntime", "poststart", "poststop")
INSIDE = ("createContainer", "startContainer")
ORDER = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")

PID = 'line=$(cat | tr -d "\\n "); pid=${line#*\\"pid\\":}; pid=${pid%%[,\\}]*}; '


class Call:
    """What one call of a hook wrote down."""

    def __init__(self, lines: list[tuple[str, str]]) -> None:
        fields = dict(lines)
        self.name = fields["name"]
        self.state: dict[str, Any] = json.loads(fields["state"])
        self.cwd, self.hostname, self.root = fields["cwd"], fields["hostname"], fields["root"]
        self.namespaces = [value for name, value in lines if name == "ns"]
        self.env = [value for name, value in lines if name == "env"]
        self.descriptors = [value for name, value in lines if name == "fd"]


class Hooks:
    """A file in which hooks write what they see."""

    def __init__(self, bundle: Bundle, payload: Path) -> None:
        self.bundle = bundle
        self.folder = bundle.path / "hooks"
        self.folder.mkdir(mode=0o777)
        self.folder.chmod(0o777)
        self.log = self.folder / "log"
        self.payload = payload
        bundle.config["mounts"].append(bind(self.folder, "/hooks"))

    def add(self, kind: str, name: str = "", **more: Any) -> None:
        """One that notes."""
        inside = kind == "startContainer"
        path, log = ("/payload", "/hooks/log") if inside else (str(self.payload), str(self.log))
        args = ["hook", "hook", log, name or kind]
        self.entry(kind, {"path": path, "args": args, "env": ["HOOK=1"], **more})

    def shell(self, kind: str, script: str, **more: Any) -> None:
        """One that is a script of the host's shell."""
        self.entry(kind, {"path": "/bin/sh", "args": ["sh", "-c", script], **more})

    def entry(self, kind: str, hook: dict[str, Any]) -> None:
        """Any."""
        self.bundle.config.setdefault("hooks", {}).setdefault(kind, []).append(hook)

    def calls(self) -> list[Call]:
        """Those made so far."""
        calls: list[list[tuple[str, str]]] = []
        if not self.log.exists():
            return []
        for line in self.log.read_text().splitlines():
            field, _, value = line.partition("\t")
            if field == "name":
                calls.append([])
            calls[-1].append((field, value))
        return [Call(lines) for lines in calls]

    def names(self) -> list[str]:
        """Of the calls."""
        return [call.name for call in self.calls()]


@pytest.fixture
def hooks(bundle: Bundle, payload: Path) -> Hooks:
    """Where hooks of the bundle are added."""
    return Hooks(bundle, payload)


def ours() -> list[str]:
    """In the order of the payload."""
    return [os.readlink(f"/proc/self/ns/{kind}") for kind in ("mnt", "net", "pid", "uts", "ipc")]


@pytest.mark.pyrun_only("runc 1.1 runs poststart in create, crun 1.8 not in order")
def test_all_in_order(container: Container, hooks: Hooks) -> None:
    for kind in reversed(ORDER):
        for number in (1, 2):
            hooks.add(kind, f"{kind} {number}")
    container.created("sleep 100")
    early = [f"{kind} {n}" for kind in ORDER[:3] for n in (1, 2)]
    assert hooks.names() == early
    container.start()
    started = [*early, *(f"{kind} {n}" for kind in ORDER[3:5] for n in (1, 2))]
    assert hooks.names() == started
    container.kill()
    container.wait()
    assert hooks.names() == started
    assert container.delete().code == 0
    assert hooks.names() == [*started, "poststop 1", "poststop 2"]


@differs(runc="1.1 gives the host's pid inside too, and other statuses", crun="1.8: other statuses")
def test_state_on_stdin(container: Container, bundle: Bundle, hooks: Hooks) -> None:
    bundle.config["annotations"] = {"org.example": "value"}
    for kind in ORDER:
        hooks.add(kind)
    container.created("sleep 100")
    pid = container.pid
    container.start()
    container.kill()
    container.wait()
    container.delete()
    expected = {
        "prestart": ("creating", pid),
        "createRuntime": ("creating", pid),
        "createContainer": ("creating", 1),
        "startContainer": ("created", 1),
        "poststart": ("running", pid),
        "poststop": ("stopped", None),
    }
    for call in hooks.calls():
        status, number = expected[call.name]
        assert (call.state["status"], call.state.get("pid")) == (status, number), call.name
        assert call.state["id"] == container.id
        assert call.state["bundle"] == str(bundle.path)
        assert call.state["annotations"] == {"org.example": "value"}
        assert call.state["ociVersion"]


@differs(
    runc="1.1 runs createContainer before the hostname is set",
    crun="1.8 runs createContainer before the hostname is set",
)
def test_namespaces(container: Container, hooks: Hooks) -> None:
    for kind in ORDER:
        hooks.add(kind)
    container.started("hostname", "ns", "sleep 100")
    assert eventually(lambda: len(container.answers()) == 2)
    inside = dict(line.split() for line in container.answers()[1].splitlines())
    container.kill()
    container.wait()
    container.delete()
    for call in hooks.calls():
        if call.name in ON_HOST:
            assert call.namespaces == ours(), call.name
            assert call.hostname == os.uname().nodename
            assert call.root == "host"
        else:
            assert call.hostname == "box", call.name
            assert call.root == ("host" if call.name == "createContainer" else "container")
        if call.name == "startContainer":
            assert call.namespaces == [inside[kind] for kind in ("mnt", "net", "pid", "uts", "ipc")]


@with_peers
@differs(runc="1.1 gives a descriptor of its own to createContainer")
def test_environment_and_descriptors(container: Container, hooks: Hooks) -> None:
    """Exactly what the config gives, and nothing of ours."""
    for kind in ORDER:
        hooks.add(kind)
    container.run("print x", env={"CALLER": "1"})
    assert sorted(hooks.names()) == sorted(ORDER)  # crun may be late with poststart
    for call in hooks.calls():
        assert call.env == ["HOOK=1"], call.name
        assert call.descriptors == [], call.name


@with_peers
def test_empty_environment(container: Container, hooks: Hooks) -> None:
    for kind in (*ON_HOST, "createContainer"):
        hooks.add(kind, env=[])
    container.run("print x", env={"CALLER": "1"})
    assert [call.env for call in hooks.calls()] == [[]] * 5


@with_peers
@differs(runc="1.1 starts hooks where it was started itself")
def test_working_directory(container: Container, bundle: Bundle, hooks: Hooks) -> None:
    """The bundle, for hooks of the host's view; the container's root inside."""
    for kind in ORDER:
        hooks.add(kind)
    container.run("print x", cwd="/")
    cwds = {call.name: call.cwd for call in hooks.calls()}
    assert cwds.pop("startContainer") == "/"
    assert set(cwds.values()) == {str(bundle.path)}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", ["createContainer", "createRuntime"])
@with_peers
def test_mounts_before_the_pivot(
    container: Container, bundle: Bundle, kind: str, masked: bool
) -> None:
    """By the path of the rootfs on the host, where hooks of GPU vendors look for them: in the
    container's mount namespace, which the runtime's hooks enter by the pid in the state."""
    hooks = Hooks(bundle, Path("/nowhere"))
    look = f"ls {bundle.rootfs}/dev"
    if kind == "createRuntime":
        look = PID + f"nsenter -t $((pid)) -m {look}"
    hooks.shell(kind, f"{look} > {hooks.log}", env=["PATH=/usr/bin:/bin"])
    if masked:
        bundle.linux["maskedPaths"] = ["/data", "/etc"]
    lines = mounts(container.ask("mounts")[0])
    assert {"null", "pts", "shm"} <= set(hooks.log.read_text().split())
    assert len(lines) == len(bundle.config["mounts"]) + 1 + 2 * masked, "nothing else is left"


@with_peers
def test_create_runtime_can_configure_the_network(container: Container, hooks: Hooks) -> None:
    """What hooks are for: the pid in the state leads to the container's namespaces."""
    script = (
        PID + "PATH=$PATH:/usr/sbin:/sbin;"
        " nsenter -t $((pid)) -n ip link add dummy0 type dummy ||"
        " nsenter -t $((pid)) -n ip tuntap add tap0 mode tap"
    )
    hooks.shell("createRuntime", script, env=["PATH=/usr/bin:/bin"])
    result = container.run("network")
    assert result.code == 0, result
    assert len(result.answers()[0].splitlines()) >= 2


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
@with_peers
def test_failure_undoes_create(container: Container, hooks: Hooks, kind: str) -> None:
    hooks.shell(kind, "echo the reason >&2; exit 3")
    hooks.add(kind, "never")
    result = container.create("print x")
    assert result.code in {1, 255}  # the latter is crun's
    assert container.runtime("state", container.id).code == 1
    assert hooks.names() == []


@pytest.mark.pyrun_only("the message")
@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer", "startContainer"])
@pytest.mark.parametrize("verb", ["create", "run"])
def test_message_of_a_failure(
    container: Container, bundle: Bundle, hooks: Hooks, kind: str, verb: str
) -> None:
    """Which hook, how it ended, and what it printed. poststop runs: the first hooks had."""
    hooks.add(kind, "first")
    if kind == "startContainer":
        hooks.entry(
            kind, {"path": "/payload", "args": ["p", "print", "the reason", ";", "exit", "3"]}
        )
    else:
        hooks.shell(kind, "echo the reason >&2; exit 3")
    hooks.add("poststop")
    if verb == "run":
        result = container.run("print x")
    else:
        result = container.create("print x")
        if kind == "startContainer":
            assert result.code == 0
            result = container.start()
    assert result.code == 1
    assert f"error running {kind} hook #1: exit status 3" in result.err
    assert "the reason" in result.err
    assert result.err.count("\n") == 1
    assert container.runtime("state", container.id).code == 1
    assert hooks.names() == ["first", "poststop"]


@pytest.mark.pyrun_only("runc and crun of this age go on, or leave it behind")
def test_poststart_failure_ends_the_container(container: Container, hooks: Hooks) -> None:
    hooks.shell("poststart", "exit 4")
    hooks.add("poststop")
    container.created("sleep 100")
    result = container.start()
    assert result.code == 1
    assert "error running poststart hook #0: exit status 4" in result.err
    assert container.runtime("state", container.id).code == 1
    assert hooks.names() == ["poststop"]


@differs(runc="1.1 stops at the first that fails")
def test_poststop_failure_is_a_warning(container: Container, hooks: Hooks) -> None:
    hooks.shell("poststop", "exit 5")
    hooks.add("poststop")
    container.created("print x")
    result = container.delete("--force")
    assert result.code == 0
    assert result.err == ""
    assert hooks.names() == ["poststop"]


@pytest.mark.pyrun_only("the peers wait for the pipe of the grandchild")
@pytest.mark.parametrize("script", ["sleep 30 & sleep 30", "yes & yes"])
@pytest.mark.parametrize("kind", ["createRuntime", "createContainer"])
def test_timeout(container: Container, hooks: Hooks, kind: str, script: str) -> None:
    """Also when a grandchild holds its output, or there is no end of it: the group is ended."""
    hooks.shell(kind, script, timeout=1)
    before = time.monotonic()
    result = container.create("print x")
    assert 0.9 < time.monotonic() - before < 4
    assert result.code == 1
    assert f"error running {kind} hook #0: hook ran past specified timeout of 1.0s" in result.err


@pytest.mark.pyrun_only("startContainer failures are not seen by start of the peers")
def test_timeout_of_start_container(container: Container, hooks: Hooks) -> None:
    hooks.entry("startContainer", {"path": "/payload", "args": ["p", "sleep", "30"], "timeout": 1})
    container.created("print x")
    result = container.start()
    assert result.code == 1
    assert "hook ran past specified timeout of 1.0s" in result.err
    assert container.runtime("state", container.id).code == 1


@pytest.mark.pyrun_only("the text")
@pytest.mark.parametrize("kind", ["createRuntime", "createContainer", "startContainer"])
def test_hook_that_is_not_there(container: Container, hooks: Hooks, kind: str) -> None:
    hooks.entry(kind, {"path": "/no/such/hook"})
    result = container.run("print x")
    assert result.code == 1
    assert "no such file or directory" in result.err.lower()


@pytest.mark.pyrun_only("the text")
def test_hook_killed_by_a_signal(container: Container, hooks: Hooks) -> None:
    hooks.shell("createRuntime", "kill -9 $$")
    result = container.run("print x")
    assert result.code == 1
    assert "createRuntime hook #0" in result.err
    assert "signal: killed" in result.err


def test_umask_of_a_hook_is_the_callers(container: Container, bundle: Bundle) -> None:
    hooks = Hooks(bundle, Path("/nowhere"))
    hooks.shell("createRuntime", f"umask > {hooks.log}")
    container.run("print x", umask=0o026)
    assert hooks.log.read_text() == "0026\n"


@differs(runc="1.1 waits for the end of a pipe that the daemon holds")
def test_hooks_hold_nobody_up(container: Container, hooks: Hooks) -> None:
    """A daemon that a hook leaves, with our output: the verb ends all the same."""
    pid = hooks.folder / "pid"
    hooks.shell("createRuntime", f"sleep 5 & echo $! > {pid}")
    before = time.monotonic()
    container.created("print x")
    assert time.monotonic() - before < 4
    os.kill(int(pid.read_text()), 9)


@pytest.mark.pyrun_only("the peers can not be interrupted")
def test_interrupted_create(container: Container, hooks: Hooks) -> None:
    """SIGTERM while a hook hangs: as if there had been no create."""
    mark = hooks.folder / "mark"
    hooks.shell("createRuntime", f"touch {mark}; sleep 30")
    container.bundle.say("print x")
    container.bundle.save()
    process = container.runtime.popen("create", "--bundle", container.bundle.path, container.id)
    assert eventually(mark.exists)
    process.terminate()
    assert process.wait(5) == 128 + 15
    assert container.runtime("state", container.id).code == 1


@pytest.mark.pyrun_only("a file of its own")
def test_modes_of_what_hooks_printed(
    container: Container, hooks: Hooks, make_container: Callable[[], Container]
) -> None:
    """Their output may hold secrets."""
    hooks.shell("createContainer", "echo secret")
    container.created("print x")
    for path in (container.runtime.root / container.id).iterdir():
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
