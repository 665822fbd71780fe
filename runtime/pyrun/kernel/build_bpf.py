# SPDX-License-Identifier: Apache-2.0
"""Make the C source of `pyrun.kernel._bpf` (cffi, API mode): `python build_bpf.py OUT.c`.

Used at build time only. The extension is loaded only where a device filter is attached (cgroup v2).
"""

from __future__ import annotations

import os
import sys

from cffi import FFI

CDEF = """
int pyrun_bpf_prog_load (const void *insns, unsigned count, int *fd);
int pyrun_bpf_prog_find (int cgroup, int *found);
int pyrun_bpf_prog_attach (int fd, int cgroup, int replaced);
"""


def builder() -> FFI:
    """The module's declaration; the C text is taken in whole, so that OUT.c compiles anywhere."""
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "bpf_device.h"), encoding="utf-8") as source:
        text = source.read()
    ffi = FFI()
    ffi.cdef(CDEF)
    ffi.set_source("pyrun.kernel._bpf", text)
    return ffi


if __name__ == "__main__":
    builder().emit_c_code(sys.argv[1])
