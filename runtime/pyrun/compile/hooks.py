# SPDX-License-Identifier: Apache-2.0
"""hooks: those of the runtime's namespace run at a sync point, those of the container's here."""

from __future__ import annotations

from pyrun import ops, sync
from pyrun.compile.donations import namespace, opens_sources
from pyrun.compile.slots import BUNDLE, HOOK_OUTPUT, HOOK_STATE, START_STATE
from pyrun.linux import O_DIRECTORY, O_PATH

LONGEST_WAIT = 2**31 - 1  # milliseconds: poll(2) takes an int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts, Step, Steps


def hooks_of(config: Config, kind: str) -> list[Config]:
    """The hooks of one kind; none of it may be there."""
    return (config.get("hooks") or {}).get(kind) or []


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
    yield "/hooks/createContainer", ops.sync_receive(sync.HOOK_OUTPUT, HOOK_OUTPUT)
    if namespace(config, "mount") and not opens_sources(config, facts):
        place = ops.open_host(facts["bundle"], O_PATH | O_DIRECTORY, BUNDLE)
        yield "/hooks/createContainer", place
        yield "/hooks/createContainer", ops.fchdir(BUNDLE)
    for index, hook in enumerate(hooks):
        yield _run(hook, f"/hooks/createContainer/{index}", hook.get("env") or [], HOOK_STATE)


def prepare_start(config: Config, facts: Facts) -> Steps:
    """What startContainer hooks need from the runtime, which is gone when they run."""
    if hooks_of(config, "startContainer"):
        yield "/hooks/startContainer", ops.sync_receive(sync.START_STATE, START_STATE)
        yield "/hooks/startContainer", ops.sync_receive(sync.HOOK_OUTPUT, HOOK_OUTPUT)


def start_container(config: Config, facts: Facts) -> Steps:
    """In the container, by its own paths. Without an environment of its own such a hook gets the
    process's, as with runc."""
    inherited = (config.get("process") or {}).get("env") or []
    for index, hook in enumerate(hooks_of(config, "startContainer")):
        env = hook.get("env") or inherited
        yield _run(hook, f"/hooks/startContainer/{index}", env, START_STATE)


def _run(hook: Config, pointer: str, env: list[str], state: int) -> Step:
    args = hook.get("args") or [hook["path"]]
    timeout = min((hook.get("timeout") or 0) * 1000, LONGEST_WAIT)
    return pointer, ops.run_hook(hook["path"], args, env, state, HOOK_OUTPUT, timeout)
