# SPDX-License-Identifier: Apache-2.0
"""Enforce a device policy in a v2 cgroup: load its program into the kernel and attach it."""

from __future__ import annotations

import os

from pyrun.cgroup import bpf, devices, permission
from pyrun.errors import Error, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def set_policy(record: dict[str, Any], wanted: devices.Policy, fresh: bool = True) -> None:
    """Attach the program of `wanted` to the record's v2 directory, in place of an earlier one.

    `fresh`: the cgroup was made just now, so it has no filter yet, and a policy that allows
    everything needs none. Failing is an error, except for such a policy, and for a caller that has
    no permission and is in a user namespace or rootless.
    """
    allows_all = devices.allows_all(wanted)
    if fresh and allows_all:
        return
    try:
        attach(record["paths"][""], bpf.program(wanted))
    except OSError as error:
        if not (allows_all or permission.excuses_devices(record, error)):
            raise from_os(error, error.filename or "bpf", devices.BASE) from None


def attach(path: str, program: bytes) -> None:
    """Load `program` and attach it to the cgroup at `path`, beside others' and in place of ours.

    The kernel replaces it in one step: at no time is there no filter. Raises OSError.
    """
    # Here, not above: with v1, or without rules, the extension and its library are never loaded.
    try:
        from pyrun.kernel import _bpf
    except ImportError:
        raise Error(
            "device rules cannot be enforced on cgroup v2: this build has no bpf(2) binding",
            devices.BASE,
            "build pyrun.kernel._bpf",
        ) from None

    lib, fds = _bpf.lib, _bpf.ffi.new("int [2]", [-1, -1])  # our program's, that of the earlier one

    def check(result: int, doing: str) -> None:
        if result != 0:
            number = _bpf.ffi.errno
            raise OSError(number, os.strerror(number), doing)

    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        doing = "load the device filter (bpf BPF_PROG_LOAD)"
        check(lib.pyrun_bpf_prog_load(program, len(program) // 8, fds), doing)
        doing = f"look for a device filter of {path} (bpf BPF_PROG_QUERY)"
        check(lib.pyrun_bpf_prog_find(directory, fds + 1), doing)
        doing = f"attach the device filter to {path} (bpf BPF_PROG_ATTACH)"
        check(lib.pyrun_bpf_prog_attach(fds[0], directory, fds[1]), doing)
    finally:
        os.close(directory)
        for fd in fds:
            if fd >= 0:
                os.close(fd)
