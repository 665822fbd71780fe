# SPDX-License-Identifier: Apache-2.0
"""top: what all containers under the root folder use, on a live screen, as a table or as JSON."""

from __future__ import annotations

import json
import os
import time

from pyrun import duration, usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrun.types import Config, Options


def run(opts: Options) -> int:
    """The cpu's share is that between two looks: the first screen goes without."""
    interval = duration.seconds(opts["interval"], "--interval")
    look = _looks(opts)
    if os.isatty(1) and not opts["once"] and not opts["json"]:
        from pyrun import screen

        screen.show(lambda: usage.table(look()), interval)
        return 0
    if look():  # else there is nothing to compare
        time.sleep(interval)
    rows = look()
    lines = [json.dumps(rows)] if opts["json"] else usage.table(rows)
    os.write(1, "".join(f"{line}\n" for line in lines).encode())
    return 0


def _looks(opts: Options) -> Callable[[], list[Config]]:
    """A function whose calls give the rows of now, compared to those of the call before."""
    before: list[Config] = []

    def look() -> list[Config]:
        nonlocal before
        now = usage.sample(opts)
        rows = usage.compared(now, before)
        before = now
        return rows

    return look
