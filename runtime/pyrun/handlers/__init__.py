# SPDX-License-Identifier: Apache-2.0
"""Handlers: what runs the container's program, where that is not the kernel. run.oci.handler names
one, as with crun.

A handler is a function of an entry point in the group `pyrun.handlers`, of any package in pyrun's
environment: it gets the config and the absolute path of the bundle, and returns the config that is
to be used. So whatever it wants is said in the config, is checked and compiled as any other, and
runs inside the container, after all that confines it. Nothing of it runs with the runtime's
privileges but this function (docs/handlers.md).
"""

from __future__ import annotations

from importlib.metadata import entry_points

from pyrun import schema_check
from pyrun.compile import acting_annotations as acting
from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config

GROUP = "pyrun.handlers"
WASM_SUFFIXES = (".wasm", ".wat")


def apply(config: Config, bundle: str, default: str = "") -> Config:
    """The config as its handler has it; as it is, when it wants none. `default`: the name by which
    pyrun was called has it. Raises Error."""
    name, pointer = chosen(config, default)
    if not name:
        return config
    found = [entry for entry in entry_points(group=GROUP) if entry.name == name]
    if len(found) != 1:
        known = ", ".join(sorted({entry.name for entry in entry_points(group=GROUP)}))
        many = f"{len(found)} packages have a handler {name!r}"
        text = many if found else f"there is no handler {name!r}"
        raise Error(text, pointer, f"known are {known or 'none'}; packages add {GROUP}")
    try:
        result = found[0].load()(config, bundle)
    except Error as error:
        error.pointer = error.pointer or pointer
        raise
    except Exception as error:  # of a package of somebody else's
        text = f"handler {name}: {type(error).__name__}: {error}"
        raise Error(text, pointer) from error
    problems = schema_check.check(result)
    if problems:
        where, why = problems[0]
        raise Error(f"handler {name} gives a config that is not valid: {where or '/'}: {why}")
    return dict(result)


def chosen(config: Config, default: str = "") -> tuple[str, str]:
    """(name, JSON pointer of the annotation that asks for it); ("", "") for none.

    As with crun: the sandbox of a pod has none, a handler may be named, by the config or by the
    caller, and else the annotation of wasm images counts, with compat-smart only for a program that
    looks like a module.
    """
    if acting.of(config, acting.CONTAINER_TYPE) == "sandbox":
        return "", ""
    if name := acting.of(config, acting.HANDLER):
        return name, f"/annotations/{acting.HANDLER}"
    if default:
        return default, ""
    variant = acting.of(config, acting.WASM_VARIANT)
    args = (config.get("process") or {}).get("args") or [""]
    smart = variant == "compat-smart" and args[0].endswith(WASM_SUFFIXES)
    if variant == "compat" or smart:
        return "wasm", f"/annotations{schema_check.step(acting.WASM_VARIANT)}"
    return "", ""
