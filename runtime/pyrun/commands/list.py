# SPDX-License-Identifier: Apache-2.0
"""list: the containers under the root folder, as a table, as JSON, or their ids."""

from __future__ import annotations

import os
import pwd

from pyrun import listing
from pyrun.jsonscan import dumps
from pyrun.report import describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.state import Container
    from pyrun.types import Config, Options

COLUMNS = ("ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER")


def run(opts: Options) -> int:
    """Prints them in the order of their ids; one that can't be read is reported, and left out."""
    found = listing.each(opts, _describe)
    if opts["quiet"]:
        text = "".join(f"{entry['id']}\n" for entry in found)
    elif opts["format"] == "json":
        text = f"{dumps(found) if found else 'null'}\n"
    else:
        text = table(found)
    os.write(1, text.encode())
    return 0


def _describe(container: Container) -> Config:
    return {**describe(container), "owner": _owner(container.fd)}


def _owner(folder: int) -> str:
    uid = os.fstat(folder).st_uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def table(found: list[Config]) -> str:
    """As runc's: three spaces behind the longest word of a column, which takes 12 at least."""
    rows = [COLUMNS] + [tuple(str(entry[name.lower()]) for name in COLUMNS) for entry in found]
    widths = [max(12, *(len(row[i]) + 3 for row in rows)) for i in range(len(COLUMNS))]
    lines = ["".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)) for row in rows]
    return "".join(f"{line.rstrip()}\n" for line in lines)
