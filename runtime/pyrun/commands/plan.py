# SPDX-License-Identifier: Apache-2.0
"""plan: what create would do with a bundle, in words. Makes nothing, and needs no privileges."""

from __future__ import annotations

import os
import sys

from pyrun import describe, idmaps, prepare
from pyrun.cgroup.procs import directories
from pyrun.compile import rlimits, seccomp
from pyrun.compile.donations import donations, lays_apart, namespace
from pyrun.errors import Error
from pyrun.init import read_text
from pyrun.jsonscan import dumps
from pyrun.linux import CLONE_NEWUSER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.prepare import Prepared
    from pyrun.types import Config, Facts, Options

ID = "ID"  # of a container that will never be
TROUBLE = 2  # the exit code of a --diff that can't be made, as diff(1) has it


def run(opts: Options) -> int:
    """Print the plan of `bundle` (default: the current directory) on stdout, or how that of `diff`
    is another: then the exit code is that of diff(1), also of the Error.

    Raises Error for what would keep `create` from making a plan.
    """
    if opts["diff"]:
        return _differences(opts)
    found, _ = made(opts)
    sys.stdout.write(dumps(found, "  ") + "\n" if opts.get("json") else text(found))
    return 0


def _differences(opts: Options) -> int:
    # Only for that.
    from pyrun import plan_diff

    where = ""
    try:
        if opts["json"]:
            raise Error("--diff and --json do not go together")
        old = made(opts)
        where = f"{opts['diff']}: "
        new = made({**opts, "bundle": opts["diff"]})
    except Error as error:
        raise Error(f"{where}{error}", code=TROUBLE) from None
    names = (old[0]["bundle"], new[0]["bundle"])
    found = plan_diff.unified(plan_diff.rows(*old), plan_diff.rows(*new), names)
    sys.stdout.write(found)
    return int(found != "")


def made(opts: Options) -> tuple[dict[str, Any], Config]:
    """The plan of a bundle as document() has it, and the config.

    A bundle without a user namespace takes root: for another caller its plan is the one root would
    get, and says so. Raises Error.
    """
    opts = {**opts, "id": ID}
    config, facts = prepare.gather(opts, fifo=True)
    caller = "root" if facts["privileged"] else f"uid {os.geteuid()}"
    if not facts["privileged"] and not namespace(config, "user"):
        caller = f"root (not uid {os.geteuid()}: without a user namespace it takes root)"
        assume_root(facts)
    prepared = prepare.complete(opts, config, facts, cache="")
    return document(prepared, caller), config


def assume_root(facts: Facts) -> None:
    """The facts as root of this host would find them."""
    last = int(read_text("/proc/sys/kernel/cap_last_cap"))
    facts["privileged"] = facts["may_setgroups"] = True
    facts["capabilities"] = (1 << (last + 1)) - 1


def document(prepared: Prepared, caller: str) -> dict[str, Any]:
    """The plan as plain values: what --json prints."""
    config, facts = prepared.config, prepared.facts
    donated = donations(config, facts)
    found = seccomp.profile((config.get("linux") or {}).get("seccomp"), facts["machine"])
    return {
        "bundle": facts["bundle"],
        "rootfs": facts["rootfs"],
        "caller": caller,
        "cgroup": directories(prepared.cgroup),
        "clone": describe.clone_flags(prepared.flags),
        "donated": [describe.slot(number, donated) for number in range(len(donated))],
        "seccomp": describe.profile(found, facts["seccomp"]) if found else None,
        "runtime": [*apart(config, facts), *beside(config, prepared.flags)],
        "operations": [
            {
                "field": describe.field(pointer),
                "pointer": pointer,
                "operation": op[0],
                "operands": describe.operands(op, donated),
                "text": describe.line(op, donated),
            }
            for pointer, op in prepared.steps
        ],
    }


def apart(config: Config, facts: Facts) -> list[str]:
    """The plan of the process that lays the root's layers, where it is not the init."""
    if not lays_apart(config, facts):
        return []
    from pyrun.compile import layers

    return [
        f"{describe.field(pointer)}: {describe.line(op, [])}, before it is cloned"
        for pointer, op in layers.make_apart(facts["layers"])
    ]


def beside(config: Config, flags: int) -> list[str]:
    """What the runtime writes about the new process from outside, each with its field."""
    found = []
    linux, process = config.get("linux") or {}, config.get("process") or {}
    if process.get("oomScoreAdj") is not None:
        found.append(f"process.oomScoreAdj: oom_score_adj {process['oomScoreAdj']}")
    when = "" if flags & CLONE_NEWUSER else ", when it is at its sync point"
    for kind in ("uid", "gid"):
        if linux.get(f"{kind}Mappings") and namespace(config, "user"):
            words = idmaps.lines(linux[f"{kind}Mappings"]).strip().replace("\n", ", ")
            found.append(f"linux.{kind}Mappings: {kind}_map {words}{when}")
    if namespace(config, "user"):
        for pointer, resource, soft, hard in rlimits.limits(config):
            value = f"{describe.RLIMITS[resource]} {describe.limit(soft)} {describe.limit(hard)}"
            found.append(f"{describe.field(pointer)}: prlimit {value}, when it is ready")
    return found


def text(found: dict[str, Any]) -> str:
    """The same for a person."""
    rows = [("bundle", found["bundle"]), ("rootfs", found["rootfs"]), ("for", found["caller"])]
    rows += [("cgroup", path) for path in found["cgroup"] or ["none"]]
    rows.append(("clone3", found["clone"]))
    rows += [("donate", name) for name in found["donated"]]
    if found["seccomp"]:
        filter_ = found["seccomp"]
        rows.append(
            (
                "seccomp",
                f"{filter_['default']} but for {filter_['system calls']} system calls in"
                f" {filter_['rules']} rules, on {', '.join(filter_['architectures'])}:"
                f" {filter_['instructions']} instructions",
            )
        )
    rows += [("runtime", line) for line in found["runtime"]]
    head = "".join(f"{name:<8} {describe.shown(value)}\n" for name, value in rows)
    return head + "\n" + "".join(f"{line}\n" for line in describe.columns(found["operations"]))
