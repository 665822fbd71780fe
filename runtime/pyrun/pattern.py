# SPDX-License-Identifier: Apache-2.0
"""Verbs for many containers at once: those whose id a regular expression matches, as in crun."""

from __future__ import annotations

import re

from pyrun import listing, log
from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrun.types import Options


def each_match(opts: Options, verb: str, run: Callable[[Options], int]) -> int:
    """Runs a verb for each container whose id has a match of opts["id"], in the order of the ids.

    One that it fails for is reported, and the others have their turn: the outcome is 0, as with
    crun. Raises Error for what is no regular expression.
    """
    try:
        pattern = re.compile(opts["id"])
    except re.error as error:
        raise Error(f"--regex: {opts['id']!r} is no regular expression: {error}") from None
    for name in listing.names(opts):
        if pattern.search(name):
            try:
                run({**opts, "id": name, "regex": False})
            except Error as error:
                log.to_stderr(f"pyrun: {verb} {name}: {error}")
    return 0
