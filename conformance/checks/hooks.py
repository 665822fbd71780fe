# SPDX-License-Identifier: Apache-2.0
"""Hooks: that each kind is called, when, where, with what, and what comes of one that fails."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import NamedTuple

from conformance.case import Case
from conformance.container import Container
from conformance.plugin import check, each
from conformance.record import KINDS, Record
from conformance.runtime import Result, eventually

RUNTIME = ("prestart", "createRuntime", "poststart", "poststop")  # in the runtime's namespace
CONTAINER = ("createContainer", "startContainer")
# Hooks read their stdin: a runtime may be ended by SIGPIPE where one is quicker than it.
READS = ("/bin/sh", "-c", "cat >/dev/null")
FAILS = ("/bin/sh", "-c", "cat >/dev/null; exit 1")
SPACES = ("mnt", "net", "pid", "uts", "ipc")


class Way(NamedTuple):
    """How far a container went."""

    box: Container
    record: Record


def whole_way(case: Case, *kinds: str) -> Way:
    """A container with one hook of each kind, created, started, ended and deleted."""
    box = case.box
    record = Record(box)
    for kind in kinds:
        record.hook(kind)
    box.created("trap")
    case.works("start", box.start())
    box.printed("ready")  # start may return before hooks in the container have run
    case.works("kill", box.kill())
    box.becomes("stopped")
    case.works("delete", box.delete())
    return Way(box, record)


@each(
    {f"runtime.life.{kind}": kind for kind in KINDS}
    | {f"config.hooks.{kind}": kind for kind in KINDS}
)
def check_called(case: Case, row: str) -> None:
    """Once in a container's life."""
    record = whole_way(case, row).record
    case.expect("hooks that were called", [row], record.order())


@check("config.hooks")
def check_all_in_order(case: Case) -> None:
    """All kinds, one after the other as the lifecycle says; none without hooks."""
    record = whole_way(case, *reversed(KINDS)).record
    case.expect("hooks that were called", list(KINDS), record.order())
    case.expect("without hooks", ["ran"], case.new().ask("print ran"))


@check("config.hooks-any")
def check_one_kind_alone(case: Case) -> None:
    """Each kind without the others."""
    for kind in KINDS:
        box = case.new()
        record = Record(box)
        record.hook(kind)
        case.works(f"create with {kind} hooks alone", box.create("exit 0"))
        case.works("start", box.start())
        box.becomes("stopped")
        case.works("delete", box.delete())
        case.expect("hooks that were called", [kind], record.order())


@check("config.hooks-order")
def check_listed_order(case: Case) -> None:
    """Two of each kind."""
    box = case.box
    record = Record(box)
    for kind in KINDS:
        record.hook(kind, "first")
        record.hook(kind, "second")
    box.created("exit 0")
    case.works("start", box.start())
    box.becomes("stopped")
    case.works("delete", box.delete())
    case.expect("hooks that were called", ["first", "second"] * len(KINDS), record.order())


@check("config.hooks-state")
def check_state_on_stdin(case: Case) -> None:
    """Every kind gets it, with the status of the moment."""
    box, record = whole_way(case, *KINDS)
    for kind in KINDS:
        found = record.state(kind)
        about = (found.get("id"), found.get("bundle"))
        case.expect(f"id and bundle on stdin of {kind}", (box.id, str(box.bundle.path)), about)
        seen = found.get("ociVersion")
        holds = bool(re.fullmatch(r"\d+\.\d+\.\d+([-+].*)?", str(seen)))
        case.require(f"ociVersion on stdin of {kind}", "a Semantic Version", seen, holds)
    for kind, status in (("poststart", "running"), ("poststop", "stopped")):
        case.expect(f"status on stdin of {kind}", status, record.state(kind).get("status"))


def _namespaces() -> list[str]:
    return [os.readlink(f"/proc/self/ns/{kind}") for kind in SPACES]


PLACES = {f"config.hooks.{kind}.namespace": kind for kind in RUNTIME} | {
    f"config.{kind}.namespace": kind for kind in RUNTIME
}


@each(PLACES)
def check_runtime_namespace(case: Case, row: str) -> None:
    """The hook's own namespaces are the caller's."""
    record = whole_way(case, row).record
    case.expect(f"namespaces of a {row} hook", _namespaces(), record.lines(row, "own"))


@each({f"config{part}.{kind}.namespace": kind for kind in CONTAINER for part in ("", ".hooks")})
def check_container_namespace(case: Case, row: str) -> None:
    """The hook's own namespaces are the container's."""
    box = case.box
    record = Record(box)
    record.hook(row)
    box.created("trap")
    wanted = [box.namespace(kind) for kind in SPACES]
    case.works("start", box.start())
    box.printed("ready")
    if row == "startContainer":
        seen = [line.partition("\t")[2] for line in record.lines(row, "state") if "ns\t" in line]
    else:
        seen = record.lines(row, "own")
    case.expect(f"namespaces of a {row} hook", wanted, seen)


PATHS = {f"config{part}.{kind}.path-resolves": kind for kind in KINDS for part in ("", ".hooks")}


@each(PATHS)
def check_path_resolves(case: Case, row: str) -> None:
    """The path leads to a program there and to none in the other place."""
    box, record = whole_way(case, row)
    path = Path(box.config["hooks"][row][0]["path"])
    inside = (box.bundle.rootfs / str(path).lstrip("/")).exists()
    case.expect(f"{path} is in the container", row == "startContainer", inside)
    case.expect("hooks that were called", [row], record.order())


@each({f"config.hooks.{kind}.path": kind for kind in ("prestart", "createRuntime")})
def check_path(case: Case, row: str) -> None:
    """The program at path is what runs, whatever args[0] says; none is an error."""
    box = case.box
    record = Record(box)
    record.hook(row)
    box.config["hooks"][row][0]["args"][0] = "another-name"
    case.works("create with another name in args[0]", box.create())
    case.expect("hooks that were called", [row], record.order())
    other = case.new()
    other.bundle.hook(row, "/no/such/hook")
    case.error("create with a hook that is not there", other.create())


@each({f"config.hooks.{kind}.path-absolute": kind for kind in ("prestart", "createRuntime")})
def check_path_absolute(case: Case, row: str) -> None:
    """A relative one, of a program that is in the working directory."""
    box = case.box
    record = Record(box)
    record.hook(row)
    box.config["hooks"][row][0]["path"] = "record"
    box.bundle.save()
    words = ("create", "--bundle", box.bundle.path, box.id)
    case.error("create with path record", case.runtime(*words, cwd=box.bundle.path))


@each({f"config.hooks.{kind}.args": kind for kind in ("prestart", "createRuntime")})
def check_args(case: Case, row: str) -> None:
    """As they are; they may be left out."""
    box = case.box
    path = box.bundle.path / "arguments"
    box.bundle.hook(
        row, "/bin/sh", "-c", f'cat >/dev/null; printf "%s|" "$0" "$@" >{path}', "zero", "a b", ""
    )
    box.config["hooks"][row].append({"path": "/bin/cat"})
    case.works("create", box.create())
    case.expect("arguments", "zero|a b||", path.read_text())


@each({f"config.hooks.{kind}.env": kind for kind in ("prestart", "createRuntime")})
def check_env(case: Case, row: str) -> None:
    """What is in env, and nothing of the runtime's own."""
    box = case.box
    record = Record(box)
    record.hook(row, env=["ONE=1", "TWO=two words"])
    case.works("create", box.create(variables={"OF_THE_CALLER": "1"}))
    seen = record.lines(row, "env")
    case.contains("the environment", "ONE=1", seen)
    case.contains("the environment", "TWO=two words", seen)
    case.lacks("the environment", "OF_THE_CALLER=1", seen)


@each({f"config.hooks.{kind}.timeout": kind for kind in ("prestart", "createRuntime")})
def check_timeout(case: Case, row: str) -> None:
    """A hook that goes on is ended, and that is an error."""
    case.box.bundle.hook(row, "/bin/sleep", "8", timeout=1)
    started = time.monotonic()
    result = case.box.create()
    seconds = time.monotonic() - started
    case.error("create with a hook that goes on", result)
    case.require("seconds that it took", "from 1 to 7", f"{seconds:.1f}", 0.9 < seconds < 7)


@each({f"config.hooks.{kind}.timeout-positive": kind for kind in ("prestart", "createRuntime")})
def check_timeout_positive(case: Case, row: str) -> None:
    """timeout: 0."""
    case.box.bundle.hook(row, *READS, timeout=0)
    case.refused(case.box, "create with a timeout of 0")


@each({f"config.{kind}.when": kind for kind in ("prestart", "createRuntime")})
def check_when_created(case: Case, row: str) -> None:
    """Before create returns: the container's process has new namespaces and the host's root."""
    box = case.box
    record = Record(box)
    record.hook(row)
    box.created("trap")
    case.expect("hooks that were called by create", [row], record.order())
    theirs = record.lines(row, "theirs")
    new = len(theirs) == len(SPACES) and not set(theirs) & set(_namespaces())
    case.require("namespaces of the container's process", "new ones", theirs, new)
    roots = record.lines(row, "roots")
    same = len(roots) == 2 and roots[0] == roots[1]
    case.require("the host's root and the process's", "the same", roots, same)


@check("config.createContainer.when")
def check_when_create_container(case: Case) -> None:
    """Before create returns: the hook sees the host's root, and the container's mounts."""
    box = case.box
    record = Record(box)
    path = record.folder / "mountinfo"
    box.bundle.hook(
        "createContainer", "/bin/sh", "-c", f"cat >/dev/null; cat /proc/self/mountinfo >{path}"
    )
    box.created("trap")
    case.expect("the hook was called by create", expected=True, seen=path.exists())
    places = [line.split()[4] for line in path.read_text().splitlines()]
    found = [place for place in places if place.endswith(("/rootfs/work", "/rootfs/dev/shm"))]
    case.require("mounts below the root filesystem", "/work and /dev/shm", found, len(found) >= 2)


@each(
    {
        "config.prestart.before-createRuntime": ("prestart", "createRuntime"),
        "config.createContainer.after-createRuntime": ("createRuntime", "createContainer"),
    }
)
def check_kinds_in_order(case: Case, row: tuple[str, str]) -> None:
    """By create, one before the other."""
    box = case.box
    record = Record(box)
    for kind in reversed(row):
        record.hook(kind)
    box.created("trap")
    case.expect("hooks that were called by create", list(row), record.order())


@check("config.startContainer.when")
def check_when_start(case: Case) -> None:
    """By start, not by create, and before the program."""
    box = case.box
    record = Record(box)
    record.hook("startContainer")
    box.created("ls /work", "trap")
    case.expect("hooks that were called by create", [], record.order())
    case.works("start", box.start())
    seen = box.answered()[0].split()
    case.contains("what the program found", "order", seen)


@check("config.poststart.when")
def check_when_started(case: Case) -> None:
    """By start, when the program runs. A startContainer hook makes that take a while."""
    box = case.box
    record = Record(box)
    box.bundle.hook("startContainer", "/payload", "sleep", "1")
    record.hook("poststart")
    box.created("trap")
    case.expect("hooks that were called by create", [], record.order())
    case.works("start", box.start())
    case.expect("hooks that were called by start", ["poststart"], record.order())
    program = " ".join(record.lines("poststart", "program")).strip()
    case.expect("the container's process at that time", "/payload trap", program)


@check("config.poststop.when")
def check_when_deleted(case: Case) -> None:
    """By delete, when nothing of the container is left."""
    box = case.box
    record = Record(box)
    record.hook("poststop")
    box.stopped()
    case.expect("hooks that were called before delete", [], record.order())
    case.works("delete", box.delete())
    case.expect("hooks that were called by delete", ["poststop"], record.order())
    case.expect("cgroups at that time", [], record.lines("poststop", "cgroups"))


def _failed(case: Case, kind: str) -> tuple[Record, Result]:
    box = case.box
    record = Record(box)
    box.bundle.hook(kind, *(("/payload", "exit", "3") if kind == "startContainer" else FAILS))
    record.hook("poststop")
    result = box.create("trap")
    if kind in ("startContainer", "poststart"):
        case.works("create", result)
        result = box.start()
    return record, result


@each({f"runtime.life.{kind}-fails": kind for kind in KINDS if kind != "poststop"})
def check_failing(case: Case, row: str) -> None:
    """An error of create or start; the container is gone, and its poststop hooks were called."""
    record, result = _failed(case, row)
    case.error(f"{'start' if row.startswith(('start', 'posts')) else 'create'}", result)
    gone = eventually(lambda: not case.box.exists(), 1)
    case.expect("the container is destroyed", expected=True, seen=gone)
    case.expect("hooks that were called after it", ["poststop"], record.order())


@check("runtime.life.poststop-fails")
def check_failing_poststop(case: Case) -> None:
    """The next one is called, and the container is deleted."""
    box = case.box
    record = Record(box)
    box.bundle.hook("poststop", *FAILS)
    record.hook("poststop", "second")
    box.stopped()
    case.works("delete", box.delete())
    case.expect("hooks that were called after it", ["second"], record.order())
    case.error("state after delete", box.query())
