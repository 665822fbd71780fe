# SPDX-License-Identifier: Apache-2.0
"""The errors that callers know by their words: each with its text, its exit code, and its record in
the log, which is one JSON object with the same words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from life.bundles import Bundle, bind, mount
from life.runtimes import Container, eventually

pytestmark = pytest.mark.pyrun_only("its words")

Prepare = Callable[[Container], object]


class Case(NamedTuple):
    """What is done before; the command line, with @ for the id and BUNDLE for the folder; the exit
    code; and a pattern for the whole message, with @ for the id."""

    before: Prepare
    line: str
    code: int
    message: str


def nothing(_container: Container) -> None:
    """There is no container."""


def written(container: Container) -> None:
    container.bundle.say("print x")
    container.bundle.save()


def created(container: Container) -> None:
    container.created("sleep 100")


def running(container: Container) -> None:
    container.started("sleep 100")


def paused(container: Container) -> None:
    running(container)
    assert container.runtime("pause", container.id).code == 0


def stopped(container: Container) -> None:
    container.started("print x")
    container.wait()
    assert eventually(lambda: container.status() == "stopped")


def config(change: Callable[[Bundle], object]) -> Prepare:
    """A bundle with this change."""

    def prepare(container: Container) -> None:
        container.bundle.say("print x")
        change(container.bundle)
        container.bundle.save()

    return prepare


def hook(script: str, **more: object) -> Prepare:
    """A bundle with this hook."""
    entry = {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"], **more}
    return config(lambda bundle: bundle.config.update(hooks={"createRuntime": [entry]}))


def fields(**changes: object) -> Prepare:
    """A bundle with other fields of process."""
    return config(lambda bundle: bundle.process.update(changes))


def linux(**changes: object) -> Prepare:
    """A bundle with other fields of linux."""
    return config(lambda bundle: bundle.linux.update(changes))


def mounted(*entries: dict[str, object]) -> Prepare:
    """A bundle with these mounts as well."""
    return config(lambda bundle: bundle.config["mounts"].extend(entries))


def file(name: str, content: str) -> Prepare:
    """A bundle whose program is a file with this content."""

    def change(bundle: Bundle) -> None:
        path = bundle.file(name, content)
        path.chmod(0o755)
        bundle.process["args"] = [f"/{name}"]

    return config(change)


CREATE = "create --bundle BUNDLE @"
RUN = "run --bundle BUNDLE @"
CASES: dict[str, Case] = {
    **{
        f"{verb} of an unknown id": Case(nothing, line, code, "container does not exist.*")
        for verb, line, code in (
            ("state", "state @", 1),
            ("start", "start @", 1),
            ("kill", "kill @ KILL", 1),
            ("delete", "delete @", 1),
            ("exec", "exec @ x", 255),
            ("ps", "ps @", 1),
            ("events", "events --stats @", 1),
            ("pause", "pause @", 1),
            ("resume", "resume @", 1),
            ("update", "update --pids-limit 9 @", 1),
            ("checkpoint", "checkpoint @", 1),
            ("wait", "wait @", 125),
            ("mounts", "mounts remove @ BUNDLE/mounts.json", 1),
        )
    },
    "start of a running one": Case(
        running, "start @", 1, "cannot start an already running container"
    ),
    "start of a stopped one": Case(
        stopped, "start @", 1, "cannot start a container that has stopped"
    ),
    "kill of a stopped one": Case(stopped, "kill @", 1, "container not running"),
    "an unknown signal": Case(running, "kill @ NOSUCH", 1, ".*NOSUCH.*"),
    "delete of a running one": Case(
        running, "delete @", 1, "cannot delete container @ that is not stopped: running"
    ),
    "exec in a stopped one": Case(stopped, "exec @ x", 255, ".*stopped.*"),
    "exec in a paused one": Case(paused, "exec @ x", 255, ".*paused.*--ignore-paused.*"),
    "exec of nothing": Case(
        running,
        "exec @ nosuch",
        255,
        r'.*exec: "nosuch": executable file not found in \$PATH.*',
    ),
    "exec of a missing file": Case(
        running, "exec @ /nosuch", 255, ".*stat /nosuch: no such file or directory.*"
    ),
    "exec of a user's name": Case(
        running, "exec --user root @ x", 255, "--user: 'root' is no id: .*"
    ),
    "exec with no such process": Case(
        running, "exec --process /nosuch @", 255, ".*/nosuch: no such file or directory"
    ),
    "pause of a paused one": Case(paused, "pause @", 1, ".*paus.*"),
    "resume of a running one": Case(running, "resume @", 1, "container not paused.*"),
    "update of a stopped one": Case(stopped, "update --pids-limit 9 @", 1, "container not running"),
    "events of a stopped one": Case(stopped, "events @", 1, ".*not running.*"),
    "checkpoint of a created one": Case(
        created, "checkpoint @", 1, "Container cannot be checkpointed in created state"
    ),
    "the same id": Case(created, CREATE, 1, "container with given ID already exists: @"),
    "an id of other characters": Case(
        written, "create --bundle BUNDLE a/b", 1, "invalid container ID 'a/b': .*"
    ),
    "no bundle": Case(
        nothing, "create --bundle /no/such @", 1, ".*/no/such.*no such file or directory.*"
    ),
    "spec over a config": Case(written, "spec --bundle BUNDLE", 1, ".*exists.*"),
    "a terminal that nobody takes": Case(
        fields(terminal=True),
        CREATE,
        1,
        "config.json /process/terminal: cannot allocate tty if pyrun will detach without setting"
        " console socket.*",
    ),
    "a console socket for no terminal": Case(
        written,
        "create --console-socket /x --bundle BUNDLE @",
        1,
        "cannot use console socket if pyrun will not detach or allocate tty.*",
    ),
    "a pid file that cannot be written": Case(
        written, "create --pid-file /no/such/pid --bundle BUNDLE @", 1, ".*/no/such/pid.*"
    ),
    "descriptors that are not open": Case(
        written, "create --preserve-fds 9 --bundle BUNDLE @", 1, ".*preserve-fds.*"
    ),
    "no pivot and private": Case(
        linux(rootfsPropagation="private"),
        "create --no-pivot --bundle BUNDLE @",
        1,
        ".*private is not safe without pivot_root.*",
    ),
    "a program that is not there": Case(
        fields(args=["nosuch"]),
        CREATE,
        1,
        r'.*exec: "nosuch": executable file not found in \$PATH.*',
    ),
    "a file that is not there": Case(
        fields(args=["/nosuch"]), RUN, 1, ".*stat /nosuch: no such file or directory.*"
    ),
    "a folder for a program": Case(fields(args=["/data"]), RUN, 1, ".*/data.*permission denied.*"),
    "an empty program": Case(file("app", ""), RUN, 1, ".*exec format error.*empty.*"),
    "a script for Windows": Case(
        file("app", "#!/bin/sh\r\n"), RUN, 1, ".*no such file or directory.*CR LF.*"
    ),
    "a missing interpreter": Case(
        file("app", "#!/no/such\n"), RUN, 1, ".*no such file or directory.*/no/such.*"
    ),
    "a hook that fails": Case(
        hook("echo broken >&2; exit 3"),
        CREATE,
        1,
        r".*error running createRuntime hook #0: exit status 3 \(/bin/sh\), output: broken.*",
    ),
    "a hook that takes too long": Case(
        hook("sleep 9", timeout=1), CREATE, 1, r".*hook ran past specified timeout of 1\.0s.*"
    ),
    "a mount of an unknown type": Case(
        mounted(mount("/data", "nosuchfs")), CREATE, 1, r".*mounts\[6\].*/data.*"
    ),
    "a source that is not there": Case(
        mounted(bind("/no/such", "/data")), CREATE, 1, ".*/no/such: no such file or directory.*"
    ),
    "an option of no file system": Case(
        mounted(mount("/data", "tmpfs", "nonsense")), CREATE, 1, ".*/data.*nonsense.*"
    ),
    "an agent that is not named": Case(
        linux(
            seccomp={
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
            }
        ),
        CREATE,
        1,
        ".*listenerPath.*",
    ),
    "a sysctl of the host": Case(
        linux(sysctl={"kernel.panic": "1"}), CREATE, 1, ".*kernel.panic.*"
    ),
    "a capability that nobody knows": Case(
        running, "exec --cap NOSUCH @ x", 255, "--cap: .*NOSUCH.*"
    ),
    "no JSON": Case(
        lambda c: (c.bundle.path / "config.json").write_text("{"), CREATE, 1, ".*not valid JSON.*"
    ),
    "no such verb": Case(nothing, "nosuch", 3, "unknown verb 'nosuch'.*"),
    "no such flag": Case(nothing, "state --nosuch @", 1, "unknown flag --nosuch.*"),
    "a flag without its value": Case(
        nothing, "restore --lsm-mount-context", 1, "flag needs an argument: --lsm-mount-context"
    ),
    "a word too much": Case(nothing, "state @ other", 1, "state: unexpected argument 'other'"),
    "a word too few": Case(nothing, "state", 1, "state: ID is missing"),
    "no such form": Case(nothing, "list --format xml", 1, "--format: 'xml' is not one of .*"),
    "no regular expression": Case(
        nothing, "kill --regex ( KILL", 1, r"--regex: '\(' is no regular expression: .*"
    ),
    "no such interval": Case(running, "events --interval x @", 1, ".*--interval.*"),
    "no such images": Case(
        written,
        "restore --image-path /no/such --bundle BUNDLE @",
        1,
        "--image-path /no/such: no such file or directory",
    ),
    "parents by an absolute path": Case(
        running,
        "checkpoint --parent-path /x @",
        1,
        "--parent-path: must be relative to --image-path",
    ),
    "no such trace": Case(nothing, "trace /no/such", 1, ".*/no/such: no such file or directory.*"),
    "mounts of a stopped one": Case(
        stopped, "mounts remove @ BUNDLE/mounts.json", 1, "container not running"
    ),
}


def record(log: Path) -> dict[str, str]:
    """The one record of a log."""
    (line,) = log.read_text().split("\n")[:-1]
    found: dict[str, str] = json.loads(line)
    return found


@pytest.mark.parametrize("name", CASES)
def test_error(container: Container, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    (container.bundle.path / "mounts.json").write_text('[{"destination": "/data"}]')
    case.before(container)
    log = tmp_path / "log.json"
    bundle = str(container.bundle.path)
    line = [word.replace("@", container.id).replace("BUNDLE", bundle) for word in case.line.split()]
    result = container.runtime(*line, options=["--log", log, "--log-format", "json"])
    assert (result.code, result.out) == (case.code, "")
    found = record(log)
    assert set(found) == {"level", "msg", "time"}
    assert found["level"] == "error"
    assert datetime.fromisoformat(found["time"]).tzinfo
    assert result.err.split("\n")[0] == f"pyrun: {found['msg']}"
    assert re.fullmatch(case.message.replace("@", re.escape(container.id)), found["msg"])
