# SPDX-License-Identifier: Apache-2.0
"""hooks: those of the runtime's namespace run at a sync point, those of the container's here."""

from __future__ import annotations

from pyrun import ops, sync
from pyrun.compile.donations import namespace, opens_sources
from pyrun.compile.slots import (
    BUNDLE,
    HOOK_OUTPUT,
    HOOK_STATE,
    HOOK_STDERR,
    HOOK_STDOUT,
    START_STATE,
)
from pyrun.linux import O_DIRECTORY, O_PATH
from pyrun.schema_check import shown

# annotation: (the sync point, the slot) of the file which it names, for this stream of every hook
STREAMS = {
    "run.oci.hooks.stdout": (sync.HOOK_STDOUT, HOOK_STDOUT),
    "run.oci.hooks.stderr": (sync.HOOK_STDERR, HOOK_STDERR),
}
LONGEST_WAIT = 2**31 - 1  # milliseconds: poll(2) takes an int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrun.types import Config, Facts, Problem, Step, Steps


def hooks_of(config: Config, kind: str) -> list[Config]:
    """The hooks of one kind; none of it may be there."""
    return (config.get("hooks") or {}).get(kind) or []


def files(config: Config) -> list[tuple[str, int, int]]:
    """(annotation, sync point, slot) of the files for what hooks print."""
    notes = config.get("annotations") or {}
    return [(name, *places) for name, places in STREAMS.items() if notes.get(name)]


def problems(config: Config) -> Iterator[Problem]:
    """Of those annotations: see compile.checks."""
    for name, _, _ in files(config):
        path = config["annotations"][name]
        if not path.startswith("/") or "\0" in path:
            yield f"/annotations/{name}", f"must be an absolute path, not {shown(path)}"


def runtime_hooks(config: Config, facts: Facts) -> Steps:
    """prestart and createRuntime: after the mounts, before pivot_root, in the runtime's view."""
    if hooks_of(config, "prestart") or hooks_of(config, "createRuntime"):
        yield "/hooks", ops.sync(sync.RUNTIME_HOOKS)


def create_container(config: Config, facts: Facts) -> Steps:
    """In the container's namespaces, while paths are still the host's (runtime.md, lifecycle)."""
    hooks = hooks_of(config, "createContainer")
    if not hooks:
        return
    yield "/hooks/createContainer", ops.sync_receive(sync.CREATE_STATE, HOOK_STATE)
    yield from _outputs(config, "/hooks/createContainer")
    if namespace(config, "mount") and not opens_sources(config, facts):
        place = ops.open_host(facts["bundle"], O_PATH | O_DIRECTORY, BUNDLE)
        yield "/hooks/createContainer", place
        yield "/hooks/createContainer", ops.fchdir(BUNDLE)
    for index, hook in enumerate(hooks):
        pointer, env = f"/hooks/createContainer/{index}", hook.get("env") or []
        yield _run(hook, pointer, env, HOOK_STATE, config.get("annotations") or {})


def prepare_start(config: Config, facts: Facts) -> Steps:
    """What startContainer hooks need from the runtime, which is gone when they run."""
    if hooks_of(config, "startContainer"):
        yield "/hooks/startContainer", ops.sync_receive(sync.START_STATE, START_STATE)
        yield from _outputs(config, "/hooks/startContainer")


def _outputs(config: Config, pointer: str) -> Steps:
    yield pointer, ops.sync_receive(sync.HOOK_OUTPUT, HOOK_OUTPUT)
    for name, point, slot in files(config):
        yield f"/annotations/{name}", ops.sync_receive(point, slot)


def start_container(config: Config, facts: Facts) -> Steps:
    """In the container, by its own paths. Without an environment of its own such a hook gets the
    process's, as with runc."""
    inherited = (config.get("process") or {}).get("env") or []
    for index, hook in enumerate(hooks_of(config, "startContainer")):
        env = hook.get("env") or inherited
        pointer = f"/hooks/startContainer/{index}"
        yield _run(hook, pointer, env, START_STATE, config.get("annotations") or {})


def _run(hook: Config, pointer: str, env: list[str], state: int, notes: Config) -> Step:
    command = [hook["path"], *(hook.get("args") or [hook["path"]])]
    timeout = min((hook.get("timeout") or 0) * 1000, LONGEST_WAIT)
    out, err = (slot if notes.get(name) else HOOK_OUTPUT for name, (_, slot) in STREAMS.items())
    return pointer, ops.run_hook(command, env, state, HOOK_OUTPUT, timeout, out, err)
