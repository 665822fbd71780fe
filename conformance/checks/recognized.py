# SPDX-License-Identifier: Apache-2.0
"""features.md and features-linux.md: that the runtime takes each word that it lists."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from conformance.bundle import bind, mount
from conformance.case import Case
from conformance.checks.features import features, part
from conformance.checks.mounts import mapped
from conformance.container import Container
from conformance.plugin import check, each

# Options that one mount on /data takes: a new tmpfs for some, a bound folder for the rest.
ON_TMPFS = {
    "remount",
    "tmpcopyup",
    "mand",
    "nomand",
    "defaults",
    "sync",
    "async",
    "dirsync",
    "lazytime",
    "nolazytime",
    "iversion",
    "noiversion",
    "silent",
    "loud",
}
KERNEL_LACKS = {"mand"}  # since 5.15
OF_A_FILE_SYSTEM = ("size=", "mode=", "uid=", "nr_inodes=", "newinstance", "ptmxmode=", "hidepid=",
                    "lowerdir=", "upperdir=", "data=")  # fmt: skip


def _with_option(case: Case, option: str) -> Container:
    box = case.new()
    if option in ("idmap", "ridmap"):
        (box.bundle.path / "one").mkdir()
        box.bundle.mounts.append(mapped(box.bundle.path / "one", "rbind", option,
                                        uidMappings=3000, gidMappings=4000))  # fmt: skip
    elif option in ON_TMPFS:
        if option == "remount":
            box.bundle.mounts.append(mount("/data", "tmpfs"))
        box.bundle.mounts.append(mount("/data", "tmpfs", option))
    else:
        (box.bundle.path / "one").mkdir()
        box.bundle.mounts.append(bind(box.bundle.path / "one", "/data", "rbind", option))
    return box


@check("features.mountOptions-recognized")
def check_mount_options(case: Case) -> None:
    """Each by itself: all in one container first, one by one where that is refused."""
    listed = [word for word in part(case, "mountOptions") if word not in KERNEL_LACKS]
    every = case.box
    for number, option in enumerate(listed):
        entry = _with_option(case, option).bundle.mounts[-1]
        if option != "remount":
            every.bundle.mounts.append(entry | {"destination": f"/data/{number}"})
    if every.run("print ran").code == 0:
        case.expect("options that are not taken", [], [])
        return
    refused = [word for word in listed if _with_option(case, word).run("print ran").code != 0]
    case.expect("options that are not taken", [], refused)


@check("features.mountOptions-not-data")
def check_mount_options_general(case: Case) -> None:
    """None of those that are known to be one file system's."""
    seen = part(case, "mountOptions")
    own = [word for word in seen if word.startswith(OF_A_FILE_SYSTEM) or "=" in word]
    case.expect("options of one file system", [], own)


def _profile(**settings: Any) -> Callable[[Any], dict[str, Any]]:
    return lambda word: {"seccomp": {key: value(word) if callable(value) else value
                                     for key, value in settings.items()}}  # fmt: skip


def _rule(word: str) -> list[dict[str, Any]]:
    if word.startswith("SCMP_CMP"):
        comparison = {"index": 1, "value": 5, "valueTwo": 5, "op": word}
        return [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "args": [comparison]}]
    return [{"names": ["mkdir"], "action": word}]


MEMORY_MODES = {"MPOL_DEFAULT": None, "MPOL_LOCAL": None}
# A property of features, and the part of linux that has one of its words.
WORDS: dict[str, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    "namespaces": ("linux.namespaces", lambda word: {"namespace": word}),
    "seccomp.actions": (
        "linux.seccomp.actions",
        _profile(defaultAction="SCMP_ACT_ALLOW", syscalls=_rule),
    ),
    "seccomp.operators": (
        "linux.seccomp.operators",
        _profile(defaultAction="SCMP_ACT_ALLOW", syscalls=_rule),
    ),
    "seccomp.supportedFlags": (
        "linux.seccomp.supportedFlags",
        _profile(
            defaultAction="SCMP_ACT_ALLOW",
            syscalls=lambda _: _rule("SCMP_ACT_ERRNO"),
            flags=lambda word: [word],
        ),
    ),
    "memoryPolicy.modes": (
        "linux.memoryPolicy.modes",
        lambda word: {
            "memoryPolicy": {"mode": word} | ({} if word in MEMORY_MODES else {"nodes": "0"})
        },
    ),
    "memoryPolicy.flags": (
        "linux.memoryPolicy.flags",
        lambda word: {"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0", "flags": [word]}},
    ),
}
AGENT = (
    "SCMP_ACT_NOTIFY",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
)  # of calls that an agent answers


@each({f"features-linux.{name}-recognized": row for name, row in WORDS.items()})
def check_words(case: Case, row: tuple[str, Callable[[Any], dict[str, Any]]]) -> None:
    """Each by itself: the container is created. What needs an agent is left to other checks."""
    path, linux = row
    listed = part(case, path)
    refused = []
    for word in listed:
        if word in AGENT:
            continue
        box = case.new()
        change = linux(word)
        if kind := change.pop("namespace", ""):
            box.bundle.map_ids() if kind == "user" else box.bundle.namespace(kind)
        box.config["linux"].update(change)
        result = box.create()
        if result.code != 0:
            refused.append(f"{word}: {result.complaint}")
        box.delete("--force")
    case.expect(f"words of {path} that are not taken", [], refused)


NONSENSE = {"knownFlags": ("flags", "SECCOMP_FILTER_FLAG_NONSENSE"),
            "archs": ("architectures", "SCMP_ARCH_NONSENSE")}  # fmt: skip


@each({f"features-linux.seccomp.{name}-recognized": name for name in NONSENSE})
def check_known(case: Case, row: str) -> None:
    """A word that is known may be refused (the kernel lacks a flag, a machine's byte order is
    another), but not as a wrong one: it is taken, or the complaint is another than that of a word
    that is none."""
    name, nonsense = NONSENSE[row]
    complaints = {}
    for word in [*part(case, f"linux.seccomp.{row}"), nonsense]:
        box = case.new()
        box.config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", name: [word],
                                          "syscalls": _rule("SCMP_ACT_ERRNO")}  # fmt: skip
        result = box.create()
        text = result.complaint.replace(word, "").replace(box.id, "")
        complaints[word] = re.sub(r"time=\S+", "", text) if result.code else ""
        box.delete("--force")
    wrong_word = complaints.pop(nonsense)
    wrong = [word for word, text in complaints.items() if text and text == wrong_word]
    case.expect(f"{row} that are taken for wrong words", [], wrong)


@check("features-linux.capabilities-recognized")
def check_capabilities(case: Case) -> None:
    """All of them: those of the kernel are in the bounding set."""
    listed = part(case, "linux.capabilities")
    case.box.bundle.process["capabilities"] = {"bounding": listed}
    seen = dict(line.split() for line in case.box.ask("caps")[0].splitlines())
    granted = int(seen["bounding"], 16).bit_count()
    with open("/proc/sys/kernel/cap_last_cap") as file:
        possible = int(file.read()) + 1
    with open("/proc/self/status") as file:
        own = next(line for line in file if line.startswith("CapBnd:")).split()[1]
    wanted = min(len(listed), possible, int(own, 16).bit_count())
    case.expect("how many are in the bounding set", wanted, granted)


@check("features-linux.mountExtensions.idmap.enabled-partial")
def check_idmap(case: Case) -> None:
    """What it says, and whether a mount with maps has them."""
    found: Any = features(case)
    if found.get("linux") is None or found["linux"].get("mountExtensions") is None:
        case.skip("the runtime leaves out linux.mountExtensions")
    said = found["linux"]["mountExtensions"].get("idmap") or {}
    box = _with_option(case, "idmap")
    result = box.run("stat /data")
    works = result.code == 0 and "3000 4000" in result.out
    case.expect("idmap.enabled says whether maps take effect", works, bool(said.get("enabled")))
