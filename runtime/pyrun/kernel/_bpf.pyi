# SPDX-License-Identifier: Apache-2.0
from typing import Any

class _Lib:
    def pyrun_bpf_prog_load(self, insns: bytes, count: int, fd: Any) -> int: ...
    def pyrun_bpf_prog_find(self, cgroup: int, found: Any) -> int: ...
    def pyrun_bpf_prog_attach(self, fd: int, cgroup: int, replaced: int) -> int: ...

ffi: Any
lib: _Lib
