# SPDX-License-Identifier: Apache-2.0
"""Every container under the root folder."""

from __future__ import annotations

import os

from pyrun import log, state
from pyrun.errors import Error, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrun.state import Container
    from pyrun.types import Config, Options


def names(opts: Options) -> list[str]:
    """What may be containers under the root folder: their ids, in order. Raises as each()."""
    root = state.root_path(opts)
    try:
        present = sorted(os.listdir(root))
    except FileNotFoundError:
        if opts.get("root"):
            raise Error(f"state folder {root}: no such file or directory") from None
        return []
    except OSError as error:
        raise Error(f"state folder {root}: {reason(error.errno or 0)}") from None
    return [name for name in present if not name.startswith(".")]


def each(opts: Options, look: Callable[[Container], Config]) -> list[Config]:
    """What `look` finds of each, in the order of their ids; one that it can't be found of is
    reported, and left out. Raises Error if --root names a folder that is not there."""
    found: list[Config] = []
    present = names(opts)
    if not present:
        return found
    root = state.root_path(opts)
    root_fd = state.open_root(root, make=False)
    for name in present:
        try:
            found += _look_at(root, root_fd, name, look)
        except Error as error:
            log.to_stderr(f"load container {name}: {error}")
    os.close(root_fd)
    return found


def _look_at(
    root: str, root_fd: int, name: str, look: Callable[[Container], Config]
) -> list[Config]:
    container = state.find_in(root, root_fd, state.check_id(name))
    if container is None:
        return []
    try:
        return [look(container)] if container.intent else []
    finally:
        os.close(container.fd)
