# SPDX-License-Identifier: Apache-2.0
"""mounts: put mounts into a container that runs, and take them away again."""

from __future__ import annotations

from pyrun import _schema, config, init, interruption, jsonscan, live_mounts, schema_check, state
from pyrun.errors import ConfigError, Error, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Options

ACTIONS = {"add": live_mounts.add, "remove": live_mounts.remove}


def run(opts: Options) -> int:
    """All or none. Raises Error."""
    action = ACTIONS.get(opts["action"])
    if action is None:
        raise Error(f"mounts: {opts['action']!r} is neither add nor remove")
    mounts = read(opts["file"])
    container = state.hold(opts, opts["id"])
    if init.status(container) in (init.STOPPED, init.CREATING):
        raise Error("container not running")
    interruption.catch()
    try:
        action(container, mounts)
    except ConfigError as error:
        raise _several(opts["file"], error.problems) from None
    except Error as error:
        if error.pointer:
            place = error.pointer.removeprefix("/mounts")
            error.message = f"{opts['file']} {place}: {error.message}"
            error.pointer = ""
        raise
    return 0


def read(name: str) -> list[Config]:
    """The array in a file, "-" for standard input: entries as in mounts of config.json. Raises
    Error with all that is wrong with their form."""
    try:
        data = config.read_open(0) if name == "-" else config.read_limited(name)
    except OSError as error:
        raise from_os(error, f"read {name}") from None
    value = jsonscan.loads(data, name, drop_null=True)
    if not isinstance(value, list):
        hint = 'as in [{"destination": "/data", "source": "/srv/data", "options": ["bind"]}]'
        raise Error(
            f"{name}: must hold a JSON array of mounts, not {schema_check.shown(value)}", hint=hint
        )
    problems = schema_check.check(value, _schema.CONFIG["properties"]["mounts"])
    if problems:
        raise _several(name, problems)
    return value


def _several(name: str, problems: list[tuple[str, str]]) -> Error:
    found = [(pointer.removeprefix("/mounts"), text) for pointer, text in problems]
    return Error(f"{name}: " + "; ".join(f"{pointer or '/'}: {text}" for pointer, text in found))
