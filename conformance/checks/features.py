# SPDX-License-Identifier: Apache-2.0
"""features.md and features-linux.md: what the runtime says of itself, and whether it is so. A
runtime that prints no features is left alone: it MAY print them."""

from __future__ import annotations

import json
import re
from typing import Any

from conformance.case import Case
from conformance.plugin import check, each
from conformance.record import KINDS, Record

VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)([-+].*)?")
# What the specification defines, by the object that it is in.
DEFINED = {
    "": {
        "ociVersionMin",
        "ociVersionMax",
        "hooks",
        "mountOptions",
        "linux",
        "annotations",
        "potentiallyUnsafeConfigAnnotations",
    },
    "linux": {
        "namespaces",
        "capabilities",
        "cgroup",
        "seccomp",
        "apparmor",
        "selinux",
        "memoryPolicy",
        "intelRdt",
        "mountExtensions",
        "netDevices",
    },
    "linux.cgroup": {"v1", "v2", "systemd", "systemdUser", "rdma"},
    "linux.seccomp": {"enabled", "actions", "operators", "archs", "knownFlags", "supportedFlags"},
    "linux.apparmor": {"enabled"},
    "linux.selinux": {"enabled"},
    "linux.netDevices": {"enabled"},
    "linux.memoryPolicy": {"modes", "flags"},
    "linux.intelRdt": {"enabled", "schemata", "monitoring"},
    "linux.mountExtensions": {"idmap"},
    "linux.mountExtensions.idmap": {"enabled"},
}


def features(case: Case) -> dict[str, Any]:
    """What the runtime prints. Skips where it prints nothing."""
    result = case.runtime("features")
    if result.code != 0:
        case.skip(f"the runtime prints no features: {result.complaint}")
    try:
        found = json.loads(result.out)
    except ValueError:
        found = None
    case.require("features", "a JSON object", result.out[:200], isinstance(found, dict))
    return dict(found)


def part(case: Case, path: str) -> Any:
    """A property; skips where it is left out or null."""
    found: Any = features(case)
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    if found is None:
        case.skip(f"the runtime leaves out {path}")
    return found


@check("features.provided")
def check_provided(case: Case) -> None:
    """By the command `features`."""
    features(case)


def _version(text: object) -> list[int]:
    """Its three numbers, [] where it is none."""
    match = VERSION.fullmatch(str(text))
    return [int(number) for number in match.groups()[:3]] if match else []


@each({"features.ociVersionMin": "ociVersionMin", "features.ociVersionMax": "ociVersionMax"})
def check_version(case: Case, row: str) -> None:
    """A Semantic Version."""
    seen = features(case).get(row)
    case.require(row, "a Semantic Version", seen, bool(_version(seen)))


@check("features.ociVersionMax-order")
def check_order(case: Case) -> None:
    """By their numbers."""
    found = features(case)
    low, high = found.get("ociVersionMin"), found.get("ociVersionMax")
    case.require("ociVersionMin and ociVersionMax", "in this order", (low, high),
                 _version(low) <= _version(high))  # fmt: skip


@each({f"features.{name}-accepted": name for name in ("ociVersionMin", "ociVersionMax")})
def check_accepted(case: Case, row: str) -> None:
    """A config of that version."""
    version = part(case, row)
    case.box.config["ociVersion"] = version
    case.expect(f"with ociVersion {version}", ["ran"], case.box.ask("print ran"))


@check("features.defined-only")
def check_defined(case: Case) -> None:
    """In every object but annotations."""
    found = features(case)
    other = []
    for path, names in DEFINED.items():
        place: Any = found
        for name in filter(None, path.split(".")):
            place = place.get(name) if isinstance(place, dict) else None
        other += [f"{path}.{name}".lstrip(".") for name in place or () if name not in names]
    case.expect("properties that the specification does not define", [], other)


LISTS = {
    "features.mountOptions": "mountOptions",
    "features.potentiallyUnsafeConfigAnnotations": "potentiallyUnsafeConfigAnnotations",
    "features-linux.namespaces": "linux.namespaces",
    "features-linux.capabilities": "linux.capabilities",
    "features-linux.seccomp.actions": "linux.seccomp.actions",
    "features-linux.seccomp.operators": "linux.seccomp.operators",
    "features-linux.seccomp.archs": "linux.seccomp.archs",
    "features-linux.seccomp.knownFlags": "linux.seccomp.knownFlags",
    "features-linux.memoryPolicy.modes": "linux.memoryPolicy.modes",
    "features-linux.memoryPolicy.flags": "linux.memoryPolicy.flags",
}


@each(LISTS)
def check_list(case: Case, row: str) -> None:
    """A list of strings."""
    seen = part(case, row)
    holds = isinstance(seen, list) and all(isinstance(word, str) for word in seen)
    case.require(row, "a list of strings", seen, holds)


BOOLEANS = [
    "cgroup.v1",
    "cgroup.v2",
    "cgroup.systemd",
    "cgroup.systemdUser",
    "cgroup.rdma",
    "seccomp.enabled",
    "apparmor.enabled",
    "selinux.enabled",
    "intelRdt.enabled",
    "intelRdt.schemata",
    "intelRdt.monitoring",
    "mountExtensions.idmap.enabled",
    "netDevices.enabled",
]


@each({f"features-linux.{name}": f"linux.{name}" for name in BOOLEANS})
def check_boolean(case: Case, row: str) -> None:
    """True or false."""
    seen = part(case, row)
    case.require(row, "a boolean", seen, isinstance(seen, bool))


OBJECTS = ["linux", "linux.cgroup", "linux.seccomp", "linux.apparmor", "linux.selinux",
           "linux.memoryPolicy", "linux.intelRdt", "linux.mountExtensions",
           "linux.mountExtensions.idmap", "linux.netDevices"]  # fmt: skip


def _name(path: str) -> str:
    return "features.linux" if path == "linux" else f"features-{path}"


@each({_name(path): path for path in OBJECTS} | {"features.annotations": "annotations"})
def check_object(case: Case, row: str) -> None:
    """A JSON object."""
    seen = part(case, row)
    case.require(row, "an object", seen, isinstance(seen, dict))


@check("features.annotations-map")
def check_annotations(case: Case) -> None:
    """Every key and value."""
    seen = part(case, "annotations")
    wrong = {key: value for key, value in seen.items() if not key or not isinstance(value, str)}
    case.expect("annotations that are not as they should be", {}, wrong)


@check("features-linux.seccomp.supportedFlags")
def check_supported(case: Case) -> None:
    """Each of them is a known flag."""
    seccomp = part(case, "linux.seccomp")
    if seccomp.get("supportedFlags") is None:
        case.skip("the runtime leaves out linux.seccomp.supportedFlags")
    unknown = [word for word in seccomp["supportedFlags"] if word not in seccomp["knownFlags"]]
    case.expect("supported flags that are not known", [], unknown)


@check("features.hooks")
def check_hooks_known(case: Case) -> None:
    """Of the six kinds."""
    seen = part(case, "hooks")
    case.expect("other kinds", [], [kind for kind in seen if kind not in KINDS])


@check("features.hooks-supported")
def check_hooks(case: Case) -> None:
    """In one container's life."""
    listed = part(case, "hooks")
    record = Record(case.box)
    for kind in listed:
        record.hook(kind)
    case.box.created("exit 0")
    case.works("start", case.box.start())
    case.box.becomes("stopped")
    case.works("delete", case.box.delete())
    case.expect("hooks that were called", sorted(listed), sorted(record.order()))
