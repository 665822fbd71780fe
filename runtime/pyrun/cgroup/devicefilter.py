# SPDX-License-Identifier: Apache-2.0
"""Enforce a device policy in a v2 cgroup: load its program into the kernel and attach it."""

from __future__ import annotations

import os

from pyrun.cgroup import bpf, devices, permission
from pyrun.errors import Error, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def set_policy(record: dict[str, Any], wanted: devices.Policy) -> None:
    """Attach the program of `wanted` to the record's v2 directory.

    A cgroup has no filter when it is new, so a policy that allows everything needs none. Failing
    is an error, except for a caller that has no permission and is in a user namespace or rootless.
    """
    if devices.allows_all(wanted):
        return
    try:
        attach(record["paths"][""], bpf.program(wanted))
    except OSError as error:
        if not permission.excuses_devices(record, error):
            raise from_os(error, error.filename or "bpf", devices.BASE) from None


def attach(path: str, program: bytes) -> None:
    """Load `program` and attach it to the cgroup at `path`, beside any other. Raises OSError."""
    # Here, not above: with v1, or without rules, the extension and its library are never loaded.
    try:
        from pyrun.kernel import _bpf
    except ImportError:
        raise Error(
            "device rules cannot be enforced on cgroup v2: this build has no bpf(2) binding",
            devices.BASE,
            "build pyrun.kernel._bpf",
        ) from None

    fd = _bpf.ffi.new("int *")
    if _bpf.lib.pyrun_bpf_prog_load(program, len(program) // 8, fd) != 0:
        number = _bpf.ffi.errno
        raise OSError(number, os.strerror(number), "load the device filter (bpf BPF_PROG_LOAD)")
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if _bpf.lib.pyrun_bpf_prog_attach(fd[0], directory) != 0:
                number = _bpf.ffi.errno
                what = f"attach the device filter to {path} (bpf BPF_PROG_ATTACH)"
                raise OSError(number, os.strerror(number), what)
        finally:
            os.close(directory)
    finally:
        os.close(fd[0])
