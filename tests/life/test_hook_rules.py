# SPDX-License-Identifier: Apache-2.0
"""hooks: what each is told of the container, and how much it can cost: output, time, processes."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from life.bundles import Bundle
from life.runtimes import Container, eventually
from life.test_hooks import ORDER, Hooks

SCHEMA = Path(__file__).parents[2] / "spec/state.schema.json"
SOME = "head -c 3000000 /dev/zero | tr '\\0' x; echo the end"
KEPT = 1024  # bytes of one hook's output


@pytest.fixture
def hooks(bundle: Bundle, payload: Path) -> Hooks:
    """Where hooks of the bundle are added."""
    return Hooks(bundle, payload)


def flooding(hooks: Hooks, kind: str, code: int) -> None:
    """A hook that prints three megabytes."""
    if kind == "startContainer":
        text = hooks.bundle.file("/data/text", "x" * 3_000_000)
        args = ["p", "cat", "/data/text", ";", "print", "the end", ";", "exit", str(code)]
        hooks.entry(kind, {"path": "/payload", "args": args})
        assert text.exists()
    else:
        hooks.shell(kind, f"{SOME}; exit {code}", env=["PATH=/usr/bin:/bin"])


@pytest.mark.parametrize("kind", [None, "user", "time"])
@pytest.mark.pyrun_only("runc 1.1 and crun 1.8 give other statuses and pids")
def test_state_is_valid(
    container: Container, bundle: Bundle, hooks: Hooks, kind: str | None
) -> None:
    """By the schema, with pid wherever it must be; also where first stages come before the init."""
    annotations = {"org.example.key": 'a "value"\n', "empty": ""}
    bundle.config["annotations"] = annotations
    if kind == "user":
        bundle.map_ids()
        hooks.log.touch()
        hooks.log.chmod(0o666)
    if kind == "time":
        bundle.linux["namespaces"].append({"type": "time"})
        bundle.linux["timeOffsets"] = {"boottime": {"secs": 1000}}
    for each in ORDER:
        hooks.add(each)
    container.started("sleep 100")
    pid = container.pid
    assert container.state()["annotations"] == annotations
    container.kill()
    container.wait()
    assert container.delete().code == 0
    valid = Draft7Validator(json.loads(SCHEMA.read_text()))
    found: dict[str, Any] = {}
    for call in hooks.calls():
        valid.validate(call.state)
        assert call.state["annotations"] == annotations
        assert call.state["ociVersion"] == "1.3.0"
        found[call.name] = (call.state["status"], call.state.get("pid"))
    assert found == {
        "prestart": ("creating", pid),
        "createRuntime": ("creating", pid),
        "createContainer": ("creating", 1),
        "startContainer": ("created", 1),
        "poststart": ("running", pid),
        "poststop": ("stopped", None),
    }


@pytest.mark.pyrun_only("the peers tell a pid of the host's")
def test_pid_in_a_joined_namespace(
    container: Container, bundle: Bundle, hooks: Hooks, payload: Path
) -> None:
    """The init comes into it last: a hook inside is told its pid there, or none."""
    bundle.namespaces("mount", "ipc", "uts", pid=f"/proc/{os.getpid()}/ns/pid")
    for each in ("createRuntime", "createContainer", "startContainer"):
        hooks.add(each)
    container.started("sleep 100")
    found = {call.name: call.state.get("pid") for call in hooks.calls()}
    assert found["createContainer"] is None
    assert found["startContainer"] == container.pid
    assert isinstance(found["createRuntime"], int)


@pytest.mark.parametrize("kind", ORDER)
@pytest.mark.pyrun_only("runc keeps all of it, crun nothing")
def test_output_is_bounded(container: Container, hooks: Hooks, kind: str) -> None:
    """Whoever runs it, and whether it fails or not."""
    flooding(hooks, kind, 0)
    hooks.add(kind, "next")
    container.started("sleep 100")
    folder = container.runtime.root / container.id
    assert sum(path.stat().st_size for path in folder.iterdir()) < 20_000
    container.kill()
    container.wait()
    assert container.delete().code == 0
    assert hooks.names() == ["next"]


@pytest.mark.parametrize("kind", ORDER[:-1])
@pytest.mark.pyrun_only("the text")
def test_end_of_the_output_is_quoted(container: Container, hooks: Hooks, kind: str) -> None:
    flooding(hooks, kind, 7)
    result = container.create("sleep 100")
    if kind in ("startContainer", "poststart"):
        assert result.code == 0, result
        result = container.start()
    assert result.code == 1
    path = "/payload" if kind == "startContainer" else "/bin/sh"
    assert f"error running {kind} hook #0: exit status 7 ({path}), output: xxx" in result.err
    assert result.err.endswith("the end\n")
    assert len(result.err) < KEPT + 500


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "poststart"])
@pytest.mark.pyrun_only("the peers end the hook alone")
def test_timeout_ends_all_that_a_hook_started(
    container: Container, hooks: Hooks, kind: str
) -> None:
    """A daemon of a session of its own among them. (Inside, all ends with the container.)"""
    pids = hooks.folder / "pids"
    daemon = f"setsid sh -c 'sleep 60 & wait' & echo $! > {pids}"
    hooks.shell(kind, f"({daemon}) ; sleep 60", timeout=1, env=["PATH=/usr/bin:/bin"])
    result = container.create("sleep 100")
    if kind == "poststart":
        assert result.code == 0, result
        result = container.start()
    assert result.code == 1
    assert f"error running {kind} hook #0: hook ran past specified timeout of 1.0s" in result.err
    pid = pids.read_text().strip()
    assert eventually(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid), 1)


def _is_zombie(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.pyrun_only("runc 1.1 stops at the first, crun 1.8 waits")
def test_timeout_of_poststop_is_a_warning(
    container: Container, hooks: Hooks, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    hooks.shell("poststop", "sleep 60", timeout=1)
    hooks.shell("poststop", "echo why; exit 3")
    hooks.add("poststop")
    container.created("print x")
    before = time.monotonic()
    options = ["--log", str(log), "--log-level", "warning"]
    result = container.runtime("delete", "--force", container.id, options=options)
    assert (result.code, result.err) == (0, "")
    assert time.monotonic() - before < 5
    assert hooks.names() == ["poststop"]
    assert "poststop hook #0: hook ran past specified timeout of 1.0s (/bin/sh)" in log.read_text()
    assert "poststop hook #1: exit status 3 (/bin/sh), output: why" in log.read_text()


@pytest.mark.parametrize("kind", ORDER)
@pytest.mark.pyrun_only("runc 1.1 gives its own environment to some")
def test_without_env(container: Container, bundle: Bundle, hooks: Hooks, kind: str) -> None:
    """Nothing of the caller's; startContainer gets the program's own, as with runc."""
    hooks.add(kind)
    del bundle.config["hooks"][kind][0]["env"]
    container.run("print x", env={"CALLER": "1"})
    (call,) = hooks.calls()
    assert call.env == (bundle.process["env"] if kind == "startContainer" else [])


@pytest.mark.parametrize("kind", ["createContainer", "startContainer"])
@pytest.mark.pyrun_only("the text")
def test_output_of_the_others_is_not_quoted(container: Container, hooks: Hooks, kind: str) -> None:
    for code, text in ((0, "said by the first"), (4, "")):
        args = ["p", "print", text, ";", "exit", str(code)] if text else ["p", "exit", str(code)]
        path = "/payload" if kind == "startContainer" else str(hooks.payload)
        hooks.entry(kind, {"path": path, "args": args})
    result = container.run("print x")
    assert f"error running {kind} hook #1: exit status 4 ({path})\n" in result.err
