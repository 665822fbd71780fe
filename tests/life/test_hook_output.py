# SPDX-License-Identifier: Apache-2.0
"""What hooks print: into the files that annotations name, and into the log with --debug."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from life.bundles import Bundle
from life.runtimes import Container, eventually
from life.test_hooks import ORDER, Hooks

pyrun_only = pytest.mark.pyrun_only

OUT, ERR = "run.oci.hooks.stdout", "run.oci.hooks.stderr"


@pytest.fixture(autouse=True)
def allowed(allow: Callable[..., None]) -> None:
    """Root allows them."""
    allow(OUT, ERR)


@pytest.fixture
def hooks(bundle: Bundle, payload: Path) -> Hooks:
    """Where hooks of the bundle are added."""
    return Hooks(bundle, payload)


def talking(hooks: Hooks, kind: str) -> None:
    """A hook that says something on each stream; inside there is no shell to do so."""
    if kind == "startContainer":
        hooks.entry(kind, {"path": "/payload", "args": ["payload", "print", f"out {kind}"]})
    else:
        # crun 1.8 dies when nobody takes the state.
        hooks.shell(kind, f"read x; echo out {kind}; echo err {kind} >&2")


def live(container: Container, *options: str, ready: Callable[[], bool] = lambda: True) -> None:
    """A whole life; crun's start returns before it is `ready`."""
    container.created("sleep 100", options=options)
    for verb in ("start", "kill", "delete"):
        words = [container.id, "KILL"] if verb == "kill" else [container.id]
        if verb == "kill":
            assert eventually(ready)
        if verb == "delete":
            container.wait()
        assert container.runtime(verb, *words, options=options).code == 0


@pytest.mark.with_peers
@pytest.mark.differs(runc="knows no such annotations")
def test_files_of_the_annotations(container: Container, bundle: Bundle, hooks: Hooks) -> None:
    out, err = bundle.path / "out", bundle.path / "err"
    bundle.config["annotations"] = {OUT: str(out), ERR: str(err)}
    out.write_text("before\n")
    for kind in ORDER:
        talking(hooks, kind)
    live(container, ready=lambda: "startContainer" in out.read_text())
    lines = out.read_text().replace("\036\n", "").splitlines()
    assert sorted(lines) == sorted(["before", *(f"out {kind}" for kind in ORDER)])
    errors = [f"err {kind}" for kind in ORDER if kind != "startContainer"]
    assert sorted(err.read_text().splitlines()) == sorted(errors)


@pyrun_only("its mode, and where it may be")
def test_a_file_is_private(container: Container, bundle: Bundle, hooks: Hooks) -> None:
    out = bundle.path / "out"
    bundle.config["annotations"] = {OUT: str(out), ERR: str(out)}
    talking(hooks, "createContainer")
    container.created("print x", umask=0)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert out.read_text() == "out createContainer\nerr createContainer\n"


@pyrun_only("that no link is followed, and the words")
@pytest.mark.parametrize("kind", ["createRuntime", "createContainer", "startContainer"])
@pytest.mark.parametrize("where", ["link", "fifo", "nowhere/file"])
def test_a_file_that_can_not_be_opened(
    container: Container, bundle: Bundle, hooks: Hooks, kind: str, where: str
) -> None:
    goal = bundle.path / "goal"
    (bundle.path / "link").symlink_to(goal)
    os.mkfifo(bundle.path / "fifo")  # nobody reads it: to wait for that would be for ever
    path = bundle.path / where
    bundle.config["annotations"] = {ERR: str(path)}
    talking(hooks, kind)
    result = container.create("print x")
    assert result.code == 1
    assert result.err.startswith(f"pyrun: config.json /annotations/{ERR}: open {path}: ")
    assert not goal.exists()


@pyrun_only("the words")
@pytest.mark.parametrize("kind", ["createRuntime", "createContainer", "startContainer"])
def test_an_error_says_where_the_output_is(
    container: Container, bundle: Bundle, hooks: Hooks, kind: str
) -> None:
    """What has no file is quoted as ever."""
    out = bundle.path / "out"
    bundle.config["annotations"] = {OUT: str(out)}
    quoted = ", output: mine"
    if kind == "startContainer":
        words = ["payload", "print", "theirs", ";", "exit", "3"]
        hooks.entry(kind, {"path": "/payload", "args": words})
        quoted = ""
    else:
        hooks.shell(kind, "echo theirs; echo mine >&2; exit 3")
    result = container.run("print x")
    assert result.code == 1
    assert f"error running {kind} hook #0: exit status 3" in result.err
    assert result.err.endswith(f"{quoted}: what it printed is in {out}\n")
    assert out.read_text().startswith("theirs\n")


@pyrun_only("that a poststop hook runs all the same")
def test_poststop_without_its_file(container: Container, bundle: Bundle, hooks: Hooks) -> None:
    folder = bundle.path / "logs"
    folder.mkdir()
    mark = bundle.path / "mark"
    bundle.config["annotations"] = {OUT: str(folder / "out")}
    hooks.shell("poststop", f"echo x; touch {mark}")
    container.started("print x")
    container.wait()
    folder.rmdir()
    log = bundle.path / "log"
    words = ("delete", container.id)
    assert container.runtime(*words, options=["--log", log, "--log-level", "warning"]).code == 0
    assert mark.exists()
    assert f"/annotations/{OUT}: open {folder}/out: no such file or directory" in log.read_text()


def told(log: Path) -> list[str]:
    """What the log says of hooks."""
    found = re.findall(r"level=debug msg=(.*)", log.read_text())
    return [line.strip('"').replace('\\"', '"') for line in found if " hook #" in line]


@pyrun_only("the log")
def test_debug_tells_of_every_hook(container: Container, bundle: Bundle, hooks: Hooks) -> None:
    for kind in ORDER:
        talking(hooks, kind)
        talking(hooks, kind)
    log = bundle.path / "log"
    live(container, "--debug", "--log", str(log))
    lines = told(log)
    expected = [(kind, number) for kind in ORDER for number in (0, 1)]
    assert len(lines) == len(expected)
    for line, (kind, number) in zip(lines, expected, strict=True):
        inside = kind == "startContainer"
        command = "/payload [" if inside else '/bin/sh ["sh","-c","read x'
        assert line.startswith(f"{kind} hook #{number}: {command}"), line
        output = f"out {kind}" + ("" if inside else rf"\nerr {kind}")
        found = re.search(r": exit status 0 after ([0-9.]+) ms, output: (.*)$", line)
        assert found, line
        assert 0 < float(found.group(1)) < 5000
        assert found.group(2) == output


@pyrun_only("the log")
@pytest.mark.parametrize("verb", ["create", "run"])
@pytest.mark.parametrize("kind", ["createRuntime", "createContainer", "startContainer"])
def test_debug_tells_of_a_hook_that_fails(
    container: Container, bundle: Bundle, hooks: Hooks, kind: str, verb: str
) -> None:
    """And of those before it."""
    talking(hooks, kind)
    if kind == "startContainer":
        hooks.entry(kind, {"path": "/payload", "args": ["payload", "sleep", "30"], "timeout": 1})
    else:
        hooks.shell(kind, "echo so far; sleep 30", timeout=1)
    log = bundle.path / "log"
    options = ["--debug", "--log", str(log)]
    if verb == "run":
        assert container.run("print x", options=options).code == 1
    else:
        code = container.create("print x", options=options).code
        if kind == "startContainer":
            code = container.runtime("start", container.id, options=options).code
        assert code == 1
    first, second = told(log)
    assert first.startswith(f"{kind} hook #0: ")
    assert ": exit status 0 after " in first
    found = re.search(r": (timeout|hook ran past .*) after ([0-9.]+) ms", second)
    assert found, second
    assert 1000 <= float(found.group(2)) < 15000
    assert ("so far" in second) is (kind != "startContainer")


@pyrun_only("the log")
def test_start_tells_what_create_did_not(
    container: Container, bundle: Bundle, hooks: Hooks
) -> None:
    """Each verb tells of its own hooks, whoever was asked to tell before."""
    for kind in ("createContainer", "startContainer"):
        talking(hooks, kind)
    log = bundle.path / "log"
    container.created("sleep 100")
    options = ["--debug", "--log", str(log)]
    assert container.runtime("start", container.id, options=options).code == 0
    assert [line.partition(" ")[0] for line in told(log)] == ["startContainer"]


@pyrun_only("the records")
def test_records_are_small(container: Container, bundle: Bundle, hooks: Hooks) -> None:
    hooks.shell("createContainer", "head -c 3000000 /dev/zero | tr '\\0' x", env=["PATH=/bin"])
    hooks.shell("createContainer", "echo x", env=["PATH=/bin"])
    container.created("print x")
    file = container.runtime.root / container.id / "hooks.log"
    assert file.stat().st_size == 24 + 1024 + 24 + 2
