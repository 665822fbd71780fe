# SPDX-License-Identifier: Apache-2.0
"""Tracebacks, for --debug alone: a user never sees one unasked."""

from __future__ import annotations

import traceback

from pyrun import log


def write(error: BaseException) -> None:
    """Records where the error came from, one debug record a line of the traceback."""
    for entry in traceback.format_exception(error):
        for line in entry.rstrip("\n").split("\n"):
            log.debug(line)
