# SPDX-License-Identifier: Apache-2.0
"""runtime.md, State: what `state` prints, and what hooks get."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from conformance.case import Case
from conformance.plugin import check

VERSION = re.compile(r"\d+\.\d+\.\d+([-+].*)?")
TYPES = {
    "ociVersion": str,
    "id": str,
    "status": str,
    "bundle": str,
    "pid": int,
    "annotations": dict,
}
NEEDED = ("ociVersion", "id", "status", "bundle")
STATUSES = ("creating", "created", "running", "stopped")


def complaints(state: dict[str, Any]) -> list[str]:
    """What in a state is not as the schema of the state says."""
    found = [f"{name} is missing" for name in NEEDED if name not in state]
    for name, kind in TYPES.items():
        if name in state and (type(state[name]) is not kind):
            found.append(f"{name} is {state[name]!r}")
    texts = state.get("annotations") or {}
    if isinstance(texts, dict):
        found += [f"annotation {k} is {v!r}" for k, v in texts.items() if not isinstance(v, str)]
    if state.get("status") not in STATUSES:
        found.append(f"status is {state.get('status')!r}")
    if isinstance(state.get("pid"), int) and state["pid"] < 0:
        found.append(f"pid is {state['pid']}")
    return found


@check("runtime.query.returns")
def check_state(case: Case) -> None:
    """As a JSON object on stdout, about the container that was asked for."""
    first, second = case.new().created(), case.new().created()
    for box in (first, second):
        found = box.state()
        case.expect("the id in the state", box.id, found.get("id"))
        case.expect("the bundle in the state", str(box.bundle.path), found.get("bundle"))


@check("runtime.state.ociVersion")
def check_version(case: Case) -> None:
    """A Semantic Version."""
    seen = case.box.created().state().get("ociVersion")
    holds = isinstance(seen, str) and bool(VERSION.fullmatch(seen))
    case.require("ociVersion", "a Semantic Version", seen, holds)


@check("runtime.state.id")
def check_id(case: Case) -> None:
    """The one that create got."""
    case.expect("id", case.box.id, case.box.created().state().get("id"))


@check("runtime.state.status")
def check_status(case: Case) -> None:
    """A string."""
    seen = case.box.created().state().get("status")
    case.require("status", "a string", seen, isinstance(seen, str) and bool(seen))


@check("runtime.state.status-values", "runtime.state.status-new-only")
def check_statuses(case: Case) -> None:
    """creating in a createRuntime hook, created, running, stopped."""
    box = case.box
    record = box.bundle.path / "record"
    box.bundle.hook("createRuntime", "/bin/sh", "-c", f"cat >{record}")
    box.created("trap")
    text = record.read_text()
    holds = '"status":"creating"' in re.sub(r"\s", "", text)
    case.require("the state in a createRuntime hook", "status creating", text, holds)
    case.expect("status after create", "created", box.status())
    case.works("start", box.start())
    case.expect("status after start", "running", box.status())
    case.works("kill", box.kill())
    case.require("status after the end", "stopped", box.status(), box.becomes("stopped"))


@check("runtime.state.pid")
def check_pid(case: Case) -> None:
    """The process that is in the container's namespaces and cgroup: created, and running."""
    box = case.box.created()
    pid = box.state().get("pid")
    case.require("pid when created", "a number above 1", pid, isinstance(pid, int) and pid > 1)
    case.contains(f"the cgroups of process {pid}", box.id, Path(f"/proc/{pid}/cgroup").read_text())
    case.works("start", box.start())
    case.expect("pid when running", pid, box.state().get("pid"))
    box.printed("ready")
    case.contains("its command line", "payload", Path(f"/proc/{pid}/cmdline").read_text())


@check("runtime.state.bundle")
def check_bundle_path(case: Case) -> None:
    """Absolute, also where create got a relative one."""
    box = case.box
    box.bundle.say("trap")
    box.bundle.save()
    words = ("create", "--bundle", box.bundle.path.name, box.id)
    case.works("create --bundle NAME", case.runtime(*words, cwd=box.bundle.path.parent))
    case.expect("bundle", str(box.bundle.path), box.state().get("bundle"))


@check("runtime.state.annotations")
def check_annotations(case: Case) -> None:
    """All of them."""
    wanted = {"com.example.one": "1", "com.example.two": "two words"}
    case.box.config["annotations"] = wanted
    seen = case.box.created().state().get("annotations") or {}
    kept = {key: value for key, value in seen.items() if key in wanted}
    case.expect("annotations", wanted, kept)


@check("runtime.state.annotations-none")
def check_no_annotations(case: Case) -> None:
    """Left out, or an empty map."""
    found = case.box.created().state()
    holds = "annotations" not in found or found["annotations"] == {}
    case.require("annotations", "left out, or {}", found.get("annotations"), holds)


@check("runtime.state.schema")
def check_schema(case: Case) -> None:
    """Of a created, a running and a stopped container."""
    box = case.box
    box.config["annotations"] = {"com.example.one": "1"}
    box.created("trap")
    case.expect("what is wrong with the state when created", [], complaints(box.state()))
    case.works("start", box.start())
    case.expect("what is wrong with the state when running", [], complaints(box.state()))
    case.works("kill", box.kill())
    box.becomes("stopped")
    case.expect("what is wrong with the state when stopped", [], complaints(box.state()))
