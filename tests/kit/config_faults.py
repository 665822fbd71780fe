# SPDX-License-Identifier: Apache-2.0
"""What a runtime with a fault makes of a config: each is called with the config and the rest of the
fault's words."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

Config = dict[str, Any]
HOOKS_OUTSIDE = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")


# --- places in JSON: /a/b/-1


def _step(place: Any, word: str) -> Any:
    return place[int(word)] if isinstance(place, list) else place.get(word)


def _found(document: Any, pointer: str) -> tuple[Any, Any]:
    """What holds the last part of a pointer, and that part as key or index; (None, "") where the
    document has no such place."""
    *path, last = pointer.strip("/").split("/")
    try:
        for word in path:
            document = _step(document, word)
    except (IndexError, ValueError, AttributeError):
        return None, ""
    if isinstance(document, list):
        return (document, int(last)) if len(document) >= abs(int(last)) else (None, "")
    return (document, last) if isinstance(document, dict) else (None, "")


def drop(document: Any, pointer: str) -> None:
    """Takes a value away; several pointers by commas."""
    for one in pointer.split(","):
        place, key = _found(document, one)
        if place is not None and (isinstance(place, list) or key in place):
            del place[key]


def put(document: Any, assignment: str) -> None:
    """POINTER=JSON"""
    pointer, _, text = assignment.partition("=")
    place, key = _found(document, pointer)
    if place is not None:
        place[key] = json.loads(text)


def append(document: Any, assignment: str) -> None:
    """POINTER=JSON, to the list that is there."""
    pointer, _, text = assignment.partition("=")
    place, key = _found(document, pointer)
    if place is not None and isinstance(place.get(key), list):
        place[key].append(json.loads(text))


# --- faults of the config


def hook_entries(config: Config, kinds: tuple[str, ...] = HOOKS_OUTSIDE) -> list[Config]:
    """The hooks of these kinds."""
    return [hook for kind in kinds for hook in config.get("hooks", {}).get(kind, ())]


def wrap_hooks(config: Config, script: str) -> None:
    """Runs each hook outside by a shell that has it as $0 and $@."""
    for hook in hook_entries(config):
        words = [hook["path"], *hook.get("args", [""])[1:]]
        hook.update(path="/bin/sh", args=["sh", "-c", script, *words])


def move_hooks(config: Config, way: str) -> None:
    """FROM>TO; FROM<>TO changes places."""
    hooks = config.get("hooks", {})
    if "<>" in way:
        one, two = way.split("<>")
        hooks[one], hooks[two] = hooks.get(two, []), hooks.get(one, [])
    else:
        one, two = way.split(">")
        hooks[two] = hooks.get(two, []) + hooks.pop(one, [])


def hook_path(config: Config, path: str) -> None:
    """Another program for each hook."""
    for hook in hook_entries(config, (*HOOKS_OUTSIDE, "startContainer")):
        hook["path"] = path


def hook_drop(config: Config, name: str) -> None:
    """A property of each hook is passed over."""
    for hook in hook_entries(config):
        hook.pop(name, None)


def reverse_hooks(config: Config, _: str) -> None:
    """The last hook of a kind first."""
    for hooks in config.get("hooks", {}).values():
        hooks.reverse()


def inside(config: Config, words: str) -> None:
    """The payload does something in the container before the program runs."""
    hook = {"path": "/payload", "args": ["/payload", *words.split()]}
    config.setdefault("hooks", {}).setdefault("startContainer", []).append(hook)


def drop_mount(config: Config, destination: str) -> None:
    """One entry of mounts is passed over."""
    config["mounts"] = [m for m in config["mounts"] if m["destination"] != destination]


def unmapped(config: Config, _: str) -> None:
    """Maps of mounts, and the options for them, are passed over."""
    for mount in config["mounts"]:
        mount.pop("uidMappings", None)
        mount.pop("gidMappings", None)
        mount["options"] = [o for o in mount.get("options", []) if o not in ("idmap", "ridmap")]


def swap_last_mounts(config: Config, _: str) -> None:
    """The last two mounts change places."""
    config["mounts"][-2:] = reversed(config["mounts"][-2:])


def unjoined(config: Config, _: str) -> None:
    """New namespaces instead of those at a path."""
    for entry in config["linux"]["namespaces"]:
        entry.pop("path", None)


def dedupe(config: Config, _: str) -> None:
    """The second namespace of a type is passed over."""
    found = {entry["type"]: entry for entry in config["linux"]["namespaces"]}
    config["linux"]["namespaces"] = list(found.values())


def leak_environment(config: Config, _: str) -> None:
    """The caller's variables reach the program."""
    config["process"]["env"] = [f"{k}={v}" for k, v in os.environ.items()] + config["process"][
        "env"
    ]


def hook_environment(config: Config, _: str) -> None:
    """The caller's variables reach hooks."""
    for hook in hook_entries(config):
        hook["env"] = [f"{k}={v}" for k, v in os.environ.items()] + hook.get("env", [])


def exec_affinity(config: Config, _: str) -> None:
    """What is for joining processes is done to the first one."""
    if "execCPUAffinity" in config["process"]:
        config["linux"]["resources"]["cpu"] = {
            "cpus": config["process"]["execCPUAffinity"]["final"]
        }


def scatter(config: Config, _: str) -> None:
    """Another cgroup each time."""
    config["linux"]["cgroupsPath"] += f"-{os.getpid()}"


def kill_others(config: Config, _: str) -> None:
    """Whoever is in the cgroup has to go."""
    top, name = Path("/sys/fs/cgroup"), f"{config['linux']['cgroupsPath']}/cgroup.procs"
    for path in [*top.glob(f"*{name}"), *top.glob(name.lstrip("/"))]:
        for pid in path.read_text().split():
            os.kill(int(pid), 9)


CONFIG: dict[str, Callable[[Config, str], None]] = {
    "drop": drop, "put": put, "append": append, "move": move_hooks, "hook-path": hook_path,
    "hook-drop": hook_drop, "wrap-hooks": wrap_hooks, "reverse-hooks": reverse_hooks,
    "inside": inside, "drop-mount": drop_mount, "unmapped": unmapped, "unjoined": unjoined,
    "swap-last-mounts": swap_last_mounts, "dedupe": dedupe, "leak-environment": leak_environment,
    "hook-environment": hook_environment, "exec-affinity": exec_affinity,
    "scatter": scatter, "kill-others": kill_others,
}  # fmt: skip
