# SPDX-License-Identifier: Apache-2.0
"""Bad input: one clear line, the right exit code, nothing left behind; and the same in the log."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from life.bundles import Bundle, bind, mount
from life.runtimes import Container, Runtime

with_peers = pytest.mark.with_peers
differs = pytest.mark.differs
pyrun_only = pytest.mark.pyrun_only

Change = Callable[[dict[str, Any]], object]

# what is done to the config, and what the line says
CONFIGS: dict[str, tuple[Change, str]] = {
    "type of a number": (
        lambda c: c["process"]["user"].update(uid="root"),
        r"/process/user/uid: ",
    ),
    "number out of range": (lambda c: c["process"]["user"].update(uid=-1), r"/process/user/uid: "),
    "type of a list": (lambda c: c.update(mounts={}), r"/mounts: "),
    "no version": (lambda c: c.pop("ociVersion"), r"ociVersion"),
    "no root": (lambda c: c.pop("root"), r"root"),
    "no process": (lambda c: c.pop("process"), r"/process: "),
    "no args": (lambda c: c["process"].update(args=[]), r"/process/args: "),
    "relative cwd": (lambda c: c["process"].update(cwd="tmp"), r"/process/cwd: "),
    "unknown namespace": (
        lambda c: c["linux"]["namespaces"].append({"type": "space"}),
        r"/linux/namespaces/6/type: ",
    ),
    "namespace twice": (
        lambda c: c["linux"]["namespaces"].append({"type": "pid"}),
        r"/linux/namespaces/6",
    ),
    "unknown limit": (
        lambda c: c["process"].update(rlimits=[{"type": "RLIMIT_X", "soft": 1, "hard": 1}]),
        r"/process/rlimits/0/type: ",
    ),
    "soft above hard": (
        lambda c: c["process"].update(rlimits=[{"type": "RLIMIT_NOFILE", "soft": 9, "hard": 1}]),
        r"/process/rlimits/0",
    ),
    "env without =": (lambda c: c["process"].update(env=["PATH"]), r"/process/env/0: "),
    "rootfs that is not there": (
        lambda c: c["root"].update(path="nowhere"),
        r"no such file or directory",
    ),
    "rootfs that is a file": (lambda c: c["root"].update(path="config.json"), r"not a directory"),
    "hostname without a namespace": (
        lambda c: c["linux"].update(namespaces=[{"type": "pid"}, {"type": "mount"}]),
        r"/hostname: ",
    ),
    "unknown seccomp action": (
        lambda c: c["linux"].update(seccomp={"defaultAction": "SCMP_ACT_MAYBE"}),
        r"/linux/seccomp/defaultAction: ",
    ),
    "mount without a type": (
        lambda c: c["mounts"].append({"destination": "/data", "source": "x"}),
        r"/mounts/6",
    ),
    "option of no file system": (
        lambda c: c["mounts"].append(mount("/data", "tmpfs", "nonsense")),
        r"/data.*nonsense",
    ),
    "missing bind source": (
        lambda c: c["mounts"].append(bind("/no/such", "/data")),
        r"/no/such: no such file or directory",
    ),
    "propagation": (
        lambda c: c["linux"].update(rootfsPropagation="sideways"),
        r"/linux/rootfsPropagation: ",
    ),
    "path of a hook": (
        lambda c: c.update(hooks={"poststop": [{"path": "relative"}]}),
        r"/hooks/poststop/0/path: ",
    ),
    "memory limit": (
        lambda c: c["linux"]["resources"].update(memory={"limit": "64M"}),
        r"/linux/resources/memory/limit: ",
    ),
}


@pyrun_only("the text")
@pytest.mark.parametrize("verb", ["create", "run"])
@pytest.mark.parametrize("name", CONFIGS)
def test_config(container: Container, bundle: Bundle, name: str, verb: str) -> None:
    change, text = CONFIGS[name]
    bundle.say("print x")
    change(bundle.config)
    result = container.create(verb=verb)
    assert result.code == 1
    assert re.search(text, result.err), result.err
    assert re.fullmatch(r"pyrun: [^\n]+\n", result.err)
    assert container.runtime("state", container.id).code == 1


@pyrun_only("runc and crun stop at the first")
def test_all_problems_at_once(container: Container, bundle: Bundle) -> None:
    bundle.process["user"]["uid"] = "root"
    bundle.process["cwd"] = 7
    bundle.config["mounts"] = "none"
    result = container.run()
    assert result.code == 1
    for pointer in ("/process/user/uid", "/process/cwd", "/mounts"):
        assert pointer in result.err
    assert result.err.count("\n") == 1


FILES = {
    "not JSON": ("{", r"not valid JSON: .* \(line 1, column 2\)"),
    "empty": ("", r"not valid JSON"),
    "an array": ("[]", r"object"),
    "text after the end": ("{} x", r"not valid JSON"),
    "no UTF-8": ("\udcff", r"not UTF-8"),
    "a member twice": ('{"ociVersion": "1.0.2", "ociVersion": "1.0.2"}', r"given twice"),
}


@pyrun_only("the text")
@pytest.mark.parametrize("name", FILES)
def test_file(container: Container, bundle: Bundle, name: str) -> None:
    content, text = FILES[name]
    (bundle.path / "config.json").write_bytes(content.encode(errors="surrogateescape"))
    result = container.runtime("create", "--bundle", bundle.path, container.id)
    assert result.code == 1
    assert re.search(text, result.err), result.err
    assert result.err.count("\n") == 1


def test_missing_config(container: Container, bundle: Bundle) -> None:
    result = container.runtime("run", "--bundle", bundle.path, container.id)
    assert result.code == 1
    assert "config.json" in result.err
    if container.runtime.name == "pyrun":
        assert "no such file or directory" in result.err


@pytest.mark.pyrun_only("the text")
def test_config_that_is_a_folder_or_a_fifo(container: Container, bundle: Bundle) -> None:
    (bundle.path / "config.json").mkdir()
    result = container.runtime("run", "--bundle", bundle.path, container.id)
    assert result.code == 1
    assert "is a directory" in result.err


@with_peers
def test_missing_bundle(container: Container) -> None:
    result = container.runtime("run", "--bundle", "/no/such/bundle", container.id)
    assert result.code == 1
    assert "no such file or directory" in result.err.lower()


@pyrun_only("the text")
def test_bundle_that_is_a_file(container: Container, bundle: Bundle) -> None:
    bundle.save()
    result = container.runtime("run", "--bundle", bundle.path / "config.json", container.id)
    assert result.code == 1
    assert result.err.endswith("/config.json: not a directory\n")


@with_peers
@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "a/b",
        *(pytest.param(name, marks=differs(crun="1.8 takes it")) for name in ("a b", "x\n", "ü")),
    ],
)
def test_bad_id(container: Container, bundle: Bundle, name: str) -> None:
    bundle.say("print x")
    bundle.save()
    result = container.runtime("run", "--bundle", bundle.path, name)
    assert result.code != 0
    assert result.out == ""


@with_peers
@pytest.mark.parametrize("verb", ["state", "start", "kill", "delete"])
def test_unknown_id(runtime: Runtime, leaves_nothing: None, verb: str) -> None:
    words = [verb, "nobody", *(["KILL"] if verb == "kill" else [])]
    result = runtime(*words)
    assert result.code == 1
    assert result.out == ""
    if runtime.name != "crun":
        assert "does not exist" in result.err


@pyrun_only("its codes")
@pytest.mark.parametrize(
    "words", [["create"], ["create", "--no-such-flag", "x"], ["no-such-verb"], ["run", "a", "b"]]
)
def test_command_line(runtime: Runtime, leaves_nothing: None, words: list[str]) -> None:
    result = runtime(*words)
    assert result.code != 0
    assert result.out == ""
    assert result.err
    assert "Traceback" not in result.err


@with_peers
@pytest.mark.parametrize("verb", ["create", "run"])
def test_log_as_json(container: Container, bundle: Bundle, verb: str) -> None:
    """podman reads the file as one JSON document; containerd wants level, msg and time."""
    log = bundle.path / "log.json"
    bundle.process["args"] = ["/absent"]
    result = container.create(verb=verb, options=["--log", log, "--log-format", "json"])
    assert result.code == 1
    lines = log.read_text().splitlines()
    if container.runtime.name == "runc":
        lines = lines[-1:]  # it has said more before
    (line,) = lines
    record = json.loads(line)
    assert record["level"] == "error"
    assert "no such file or directory" in record["msg"].lower()
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$", record["time"])


@pyrun_only("the text")
def test_log_says_what_stderr_says(runtime: Runtime, leaves_nothing: None, tmp_path: Path) -> None:
    log = tmp_path / "log"
    result = runtime("state", "nobody", options=["--log", log, "--log-format", "json"])
    assert result.err == f"pyrun: {json.loads(log.read_text())['msg']}\n"
    result = runtime("state", "nobody", options=["--log", tmp_path / "text"])
    assert re.fullmatch(r'time="[^"]+" level=error msg="[^"]+"\n', (tmp_path / "text").read_text())


@pytest.mark.pyrun_only("the peers make the file first")
def test_success_leaves_no_log(container: Container, bundle: Bundle) -> None:
    log = bundle.path / "log.json"
    container.created("print x", options=["--log", log, "--log-format", "json"])
    assert not log.exists()


@pytest.mark.pyrun_only("its records")
def test_debug_log(container: Container, bundle: Bundle) -> None:
    log = bundle.path / "log.json"
    container.created("print x", options=["--debug", "--log", log, "--log-format", "json"])
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert records
    assert {record["level"] for record in records} == {"debug"}


@pytest.mark.pyrun_only("its records")
def test_a_limit_that_no_kernel_has_is_logged(container: Container, bundle: Bundle) -> None:
    log = bundle.path / "log.json"
    bundle.linux["resources"]["memory"] = {"kernelTCP": 1 << 20}
    options = ["--log", log, "--log-format", "json"]
    container.created("print x", options=[*options, "--log-level", "warning"])
    record = json.loads(log.read_text())
    assert record["level"] == "warning"
    assert record["msg"].startswith("config.json /linux/resources/memory/kernelTCP: is ignored")
    assert container.delete("--force").code == 0
    log.unlink()
    container.created("print x", options=options)
    assert not log.exists()
