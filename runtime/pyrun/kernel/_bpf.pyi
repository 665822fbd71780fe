# SPDX-License-Identifier: Apache-2.0
from typing import Any

ffi: Any

class lib:
    @staticmethod
    def pyrun_bpf_prog_load(insns: bytes, count: int, fd: Any) -> int: ...
    @staticmethod
    def pyrun_bpf_prog_attach(fd: int, cgroup: int) -> int: ...
