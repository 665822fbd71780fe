# SPDX-License-Identifier: Apache-2.0
"""Annotations that change what a container may do: root says in a file of his which ones count."""

from __future__ import annotations

import _stat
import os

from pyrun import jsonscan, log
from pyrun.compile import acting_annotations as rules
from pyrun.errors import ConfigError, Error, from_os
from pyrun.state import in_user_namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config

FILE = "/etc/pyrun/annotations.json"
OVERFLOW = 65534  # whoever has no id in our user namespace, such as the host's root


def check(config: Config) -> None:
    """Raises ConfigError for annotations that nobody has allowed, or that make no sense."""
    found = list(rules.problems(config, _allowed(), FILE))
    if found:
        raise ConfigError(found)


def _allowed() -> list[str]:
    """The list `allow` of the file; none without a file. Raises Error for a file that anybody but
    root could have written, or that is not understood."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    folder = os.path.dirname(FILE)
    try:
        _require_root(folder, os.stat(folder, follow_symlinks=False), directory=True)
        fd = os.open(FILE, flags)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise from_os(error, f"read {FILE}") from None
    try:
        status = os.fstat(fd)
        _require_root(FILE, status, directory=False)
        value = jsonscan.loads(os.read(fd, status.st_size), FILE)
    finally:
        os.close(fd)
    allowed = value.get("allow") if isinstance(value, dict) and set(value) == {"allow"} else None
    if not isinstance(allowed, list) or not all(isinstance(name, str) for name in allowed):
        raise Error(f'{FILE}: must be {{"allow": [NAME, ...]}}')
    unknown = [name for name in allowed if not rules.is_guarded(name)]
    if unknown:
        log.warning(f"{FILE}: {', '.join(unknown)}: not an annotation that has to be allowed")
    return allowed


def _require_root(path: str, status: os.stat_result, *, directory: bool) -> None:
    right = _stat.S_ISDIR if directory else _stat.S_ISREG
    owners = (0, OVERFLOW) if in_user_namespace() else (0,)
    if not right(status.st_mode) or status.st_uid not in owners or status.st_mode & 0o022:
        raise Error(
            f"{path}: only root may be able to write it",
            hint="chown root and chmod go-w it, or remove it",
        )
