# SPDX-License-Identifier: Apache-2.0
"""doctor: what this host offers to containers, what it lacks, and what to do about it."""

from __future__ import annotations

import os

from pyrun import __version__, log
from pyrun.doctor import examination
from pyrun.doctor.host import Host
from pyrun.jsonscan import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Options


def run(opts: Options) -> int:
    """Print it; 0 where containers can run, whatever the gaps, 1 where none can."""
    host = Host(opts)
    findings = examination.examine(host)
    if opts["json"]:
        text = dumps(examination.document(host, findings, __version__), "  ") + "\n"
    else:
        lines = examination.text(host, findings, __version__)
        text = "".join(f"{log.printable(line)}\n" for line in lines)
    os.write(1, text.encode())
    return 0 if examination.can_run(findings) else 1
