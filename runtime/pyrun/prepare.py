# SPDX-License-Identifier: Apache-2.0
"""From a command line and a bundle to a plan: everything that comes before the first effect."""

from __future__ import annotations

import os

from pyrun import config as configs
from pyrun import host, log, seccomp, state
from pyrun.cgroup.facts import add_beside
from pyrun.cgroup.facts import facts as cgroup_facts
from pyrun.cgroup.plan import below_mount
from pyrun.cgroup.plan import plan as cgroup_plan
from pyrun.compile import capabilities, cgroup_mounts, checks, namespaces, order, unsupported
from pyrun.compile import seccomp as profiles
from pyrun.compile.donations import namespace
from pyrun.errors import ConfigError, Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.types import Config, Facts, Options, Step


# How the annotations begin that compile/acting_annotations.py lists: without any, it is not needed.
ACTING_ANNOTATIONS = (
    "module.wasm.", "org.criu.", "org.pyrun.", "org.systemd.property.", "run.oci.",
)  # fmt: skip


ANY_HANDLER = frozenset(("run.oci.handler", "module.wasm.image/variant"))


class Prepared:
    """What is known before anything is made."""

    __slots__ = ("cgroup", "config", "facts", "flags", "opts", "steps")

    def __init__(self, opts: Options, config: Config, facts: Facts, cgroup: Config) -> None:
        self.opts = opts
        self.config = config
        self.facts = facts
        self.cgroup = cgroup
        self.flags = namespaces.clone_flags(config)
        self.steps: list[Step] = order.compile_init(config, facts)


def prepare(opts: Options, fifo: bool) -> Prepared:
    """Load, check, gather and compile. Raises Error, or ConfigError with all problems at once."""
    config, facts = gather(opts, fifo)
    if log.warns():
        from pyrun.cgroup.resources import left_out

        found = capabilities.problems(config, facts)
        for pointer, text in found + left_out((config.get("linux") or {}).get("resources") or {}):
            log.warning(f"config.json {pointer}: {text}")
    return complete(
        opts, config, facts, os.path.join(state.root_path(opts), state.CACHE, "seccomp")
    )


def gather(opts: Options, fifo: bool) -> tuple[Config, Facts]:
    """The first half: the config, checked, and the facts. Reading only. Raises as prepare()."""
    state.check_id(opts["id"])
    bundle = os.path.abspath(opts.get("bundle") or ".")
    config = configs.load(bundle, configs.chosen(opts))
    honour_annotations(config)
    if opts.get("handler") or ANY_HANDLER.intersection(config.get("annotations") or ()):
        from pyrun import handlers

        config = handlers.apply(config, bundle, opts.get("handler") or "")
    check(config)
    if not config.get("process"):
        raise Error("process is missing: there would be nothing to start", "/process")
    if opts.get("no_pivot") and namespace(config, "user"):
        # the host's proc can't be detached there, and an unmasked one would stay below
        raise Error("--no-pivot does not go with a user namespace")
    if opts.get("no_pivot") and propagation(config) in ("private", "rprivate"):
        # what the host unmounts would stay mounted in there, and busy
        raise Error(
            f"rootfsPropagation of {propagation(config)} is not safe without pivot_root",
            "/linux/rootfsPropagation",
            hint="--no-pivot goes with slave",
        )
    facts = host.gather(config, opts, bundle, fifo)
    if os.environ.get("NOTIFY_SOCKET"):
        from pyrun import notify

        notify.arrange(config, facts, f"{state.root_path(opts)}/{opts['id']}")
    return config, facts


def propagation(config: Config) -> str:
    """linux.rootfsPropagation, "" where there is none."""
    return str((config.get("linux") or {}).get("rootfsPropagation") or "")


def complete(opts: Options, config: Config, facts: Facts, cache: str) -> Prepared:
    """The second half. All that it may write is the seccomp program into the folder `cache`, if
    that is not "". Raises as prepare()."""
    profile = profiles.profile((config.get("linux") or {}).get("seccomp"), facts["machine"])
    if config.get("annotations"):
        from pyrun import seccomp_annotations

        seccomp_annotations.apply(config, profile, facts)
    if profile and not facts["seccomp"]:
        facts["seccomp"] = seccomp.program(profile, cache)
        facts["seccomp_flags"] = profiles.flags(profile)
    cgroup = plan_cgroup(config, opts, facts)
    return Prepared(opts, config, facts, cgroup)


def check(config: Config) -> None:
    """Rules between fields, and fields that this version can't honour. Raises ConfigError."""
    found = checks.problems(config) + unsupported.problems(config)
    if found:
        raise ConfigError(found)


def honour_annotations(config: Config) -> None:
    """Check those that pyrun acts upon, and put those that stand for a field there. Raises."""
    notes = config.get("annotations")
    if notes and any(key.startswith(ACTING_ANNOTATIONS) for key in notes):
        from pyrun import allowed_annotations

        allowed_annotations.check(config)
    profile = (config.get("linux") or {}).get("seccomp")
    if profile and not profile.get("listenerPath"):
        receiver = os.environ.get("RUN_OCI_SECCOMP_RECEIVER", "")
        if receiver or notes:
            from pyrun.compile import acting_annotations

            receiver = acting_annotations.listener(config, receiver)
        if receiver:
            profile["listenerPath"] = receiver


def is_rootless(opts: Options, facts: Facts) -> bool:
    """--rootless true|false|auto: auto is for a caller without privileges."""
    word = opts.get("rootless") or "auto"
    return not facts["privileged"] if word == "auto" else word == "true"


def may_lack_cgroups(opts: Options, facts: Facts) -> bool:
    """Whether a caller without permission for cgroups goes without. Root of a user namespace is
    one who may have it or not: under rootless podman nobody else runs us."""
    word = opts.get("rootless") or "auto"
    return is_rootless(opts, facts) or (word == "auto" and state.in_user_namespace())


def plan_cgroup(config: Config, opts: Options, facts: Facts) -> dict[str, Any]:
    """The cgroup's record, and into `facts` what a cgroup mount has to know."""
    known = cgroup_facts()
    if cgroup_mounts.forces_v1(config):
        add_beside(known)
    manager = opts.get("cgroup_manager") or "cgroupfs"
    if opts.get("systemd_cgroup"):
        manager = "systemd"
    rootless = is_rootless(opts, facts)
    if manager == "systemd":
        from pyrun.cgroup import systemd

        known["user_manager"] = systemd.is_users(rootless)
    alone = may_lack_cgroups(opts, facts)
    record = cgroup_plan(config, opts["id"], known, manager, alone)
    facts["cgroup_layout"] = known["layout"]
    facts["cgroup_hierarchies"] = hierarchies(known, record)
    return record


def hierarchies(known: dict[str, Any], record: dict[str, Any]) -> list[tuple[str, list[str], str]]:
    """The v1 hierarchies as (directory name, mount options, the container's directory).

    A caller who may not make a cgroup there leaves the container in its own one.
    """
    places: dict[str, list[str]] = {}
    roots: dict[str, str] = {}
    for name, (place, root) in known["mounts"].items():
        if name:
            places.setdefault(place, []).append(name)
            roots[place] = root
    found = []
    for place, names in places.items():
        path = record["paths"].get(names[0], "")
        if not path or (record["rootless"] and not os.access(os.path.dirname(path), os.W_OK)):
            path = place + below_mount(roots[place], known["own"].get(names[0], "/"))
        words = ["none", *names] if names[0].startswith("name=") else names
        found.append((os.path.basename(place), words, path))
    return found
