# SPDX-License-Identifier: Apache-2.0
"""What CRIU can do on this host: by its own checks, and by one of ours where it has none."""

from __future__ import annotations

import fcntl
import os
import tempfile

from pyrun.criu import faults, messages
from pyrun.criu.images import Directory
from pyrun.criu.service import ABSENT, Service, program
from pyrun.errors import Error

# Flag of `checkpoint` -> what CRIU calls it, and the option that a kernel needs for it.
FEATURES = {
    "pre-dump": ("mem_track", "CONFIG_MEM_SOFT_DIRTY"),
    "lazy-pages": ("lazy_pages", "CONFIG_USERFAULTFD"),
}
# Bytes of the pipe that CRIU serves lazy pages from, as the kernel rounds up what it asks for.
PIPE = 4 << 20


def lacking() -> str:
    """Why CRIU can't work on this host, "" if it can: by its own check, as `criu check` does."""
    if not program():
        return ABSENT
    request = messages.Request(type=messages.CHECK)
    try:
        with tempfile.TemporaryDirectory(prefix="pyrun-criu-") as path:
            work = Directory(path, make=False, flag="")
            request.opts.images_dir_fd, request.opts.log_file = work.fd, "check.log"
            service = Service((work,), silent=True)
            try:
                response = service.ask(request)
            finally:
                service.end()
                os.close(work.fd)
            cause = faults.cause(work, "check.log")
    except Error as error:
        return str(error)
    return "" if response and response.success else cause or "`criu check` tells"


def features_lacking() -> dict[str, str]:
    """{flag of `checkpoint`: why it can't work on this host}. Raises Error."""
    request = messages.Request(type=messages.FEATURE_CHECK)
    for feature, _ in FEATURES.values():
        setattr(request.features, feature, True)
    service = Service(silent=True)
    try:
        response = service.ask(request)
    finally:
        service.end()
    found = {
        flag: f"criu or the kernel can't ({option})"
        for flag, (feature, option) in FEATURES.items()
        if not (response and response.success and getattr(response.features, feature))
    }
    if not _may_have_pipe():
        # CRIU goes on without it, and dies of the first page that somebody asks for.
        why = f"criu needs a pipe of {PIPE} bytes: CAP_SYS_RESOURCE, or more in fs.pipe-max-size"
        found.setdefault("lazy-pages", why)
    return found


def _may_have_pipe() -> bool:
    read_end, write_end = os.pipe()
    try:
        fcntl.fcntl(read_end, fcntl.F_SETPIPE_SZ, PIPE)
    except PermissionError:
        return False
    finally:
        os.close(read_end)
        os.close(write_end)
    return True
