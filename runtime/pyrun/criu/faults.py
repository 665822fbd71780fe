# SPDX-License-Identifier: Apache-2.0
"""What CRIU has to say when it fails: the line of its log that tells why, and where the log is."""

from __future__ import annotations

import re

from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.criu.images import Directory

# "(00.034523)      1: Error (criu/mount.c:753): mnt: 160:./sys doesn't have a proper root mount"
_LINE = re.compile(r"Error \([^)]*:\d+\): (.*)")
# CRIU goes on after these: what the host may lack without harm.
_HARMLESS = re.compile(
    r"rlimit: Can't setup RLIMIT_NOFILE|(legacy-)?(save|restore) -V failed|"
    r'execvp\("ip6?tables(-legacy)?-save"|exited, status='
)
# What CRIU says -> what to try. It names its own flags, which are ours as well.
_HINTS = (
    (r"iptables|Locking network failed", "install iptables, or pass --network-lock nftables"),
    (r"Connected TCP socket", "pass --tcp-established"),
    (r"Unix socket \d+ without peer", "its other end is in another network namespace"),
    (r"[Ee]xternal socket|ext-unix-sk|unix.*peer", "pass --ext-unix-sk"),
    (r"[Ff]ile locks? .*--file-locks|file lock", "pass --file-locks"),
    (r"shell-job|session leader", "pass --shell-job"),
    (r"link-remap|unlinked", "pass --link-remap"),
    (r'execvp\("tar"|tmpfs content', "it takes tar and gzip"),
    (r"vdso|vDSO", "this criu is too old for this kernel"),
)


def plain(text: str) -> str:
    """The message of a line of a log, without place and time."""
    lines = [found.group(1).strip() for found in map(_LINE.search, text.splitlines()) if found]
    lines = [line for line in lines if not _HARMLESS.search(line)]
    return lines[0] if lines else ""


def cause(work: Directory, name: str) -> str:
    """The first error of a log that is one."""
    try:
        with open(f"{work.path}/{name}", encoding="utf-8", errors="replace") as lines:
            return next((found for found in map(plain, lines) if found), "")
    except OSError:
        return ""  # it did not come so far as to log


def explain(doing: str, response: Any, work: Directory, name: str, lacking: str) -> Error:
    """An Error for a request that CRIU could not carry out: `name` is that of its log, `response`
    its answer, None if it died. If CRIU can do nothing at all on this host, `lacking` says why."""
    text = cause(work, name) or (plain(response.cr_errmsg) if response else "criu died")
    hints = [hint for pattern, hint in _HINTS if re.search(pattern, lacking or text)][:1]
    if lacking:
        return Error(f"{doing}: criu can't work on this host: {lacking}", hint="".join(hints))
    hints.append(f"see {work.path}/{name}")
    return Error(f"{doing}: criu: {text or 'failed without a word'}", hint="; ".join(hints))
