# SPDX-License-Identifier: Apache-2.0
"""`pyrun spec`: write a config.json to begin with."""

from __future__ import annotations

import os

from pyrun import jsonscan, spec_default
from pyrun.config import NAME
from pyrun.errors import Error, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Options


def run(opts: Options) -> int:
    """Write config.json into `bundle` (default: the current directory); never over an old one.

    A name given by `file` is the user's choice, and replaced. With the flag `rootless` (True: the
    global option of that name holds a word), the caller's ids are the root of a user namespace.
    """
    owner = (os.geteuid(), os.getegid()) if opts.get("rootless") is True else None
    path = os.path.join(opts.get("bundle") or ".", opts.get("file") or NAME)
    text = jsonscan.dumps(spec_default.default(owner), "\t")
    # O_EXCL: neither an old config nor what a symlink points to is lost.
    over = os.O_TRUNC if opts.get("file") else os.O_EXCL
    umask = os.umask(opts.get("umask", 0o022))  # the caller's, not ours
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | over | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise Error(f"{path} exists", hint="remove it first") from None
    except OSError as error:
        raise from_os(error, f"create {path}") from None
    finally:
        os.umask(umask)
    try:
        with os.fdopen(fd, "w", encoding="ascii") as file:
            file.write(text)
    except OSError as error:
        if not opts.get("file"):
            os.unlink(path)  # half a config would stop the next try
        raise from_os(error, f"write {path}") from None
    return 0
