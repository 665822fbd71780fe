# SPDX-License-Identifier: Apache-2.0
"""Whether what an engine asks for takes Python."""

from __future__ import annotations

import shutil

from .host import Host, runtime_path


class Watched:
    """pyrun under a name of its own, which leaves for each command line what it executed."""

    def __init__(self, host: Host, root: str) -> None:
        """`root`: where the engine has its containers' state; what others of them have left for the
        next is taken away."""
        shutil.rmtree(host.path(f"{root}/.cache"), ignore_errors=True)
        self.folder = host.folder / "watched"
        self.folder.mkdir(exist_ok=True)
        self.path = self.folder / "pyrun"
        self.path.write_text(
            f'#!/bin/sh\nexec strace -qq -s 256 -e trace=execve -o "{self.folder}/$$.trace"'
            f' {runtime_path("pyrun")} "$@"\n'
        )
        self.path.chmod(0o755)

    def by_python(self, verb: str) -> list[bool]:
        """Of each command line with this verb since the last time, whether it took Python."""
        found = []
        for trace in sorted(self.folder.glob("*.trace"), key=lambda path: path.stat().st_mtime_ns):
            first, *more = trace.read_text().splitlines()
            if f' "{verb}",' in first.replace("[", " "):
                found.append(any("execve(" in line and "/interpreter" in line for line in more))
            trace.unlink()
        return found
