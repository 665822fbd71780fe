# SPDX-License-Identifier: Apache-2.0
"""The extension `pyrun.kernel._linux`: starting the executor, and calls that Python lacks.

python build_linux.py OUT.c
"""

from __future__ import annotations

import os
import sys

from cffi import FFI

ffi = FFI()
ffi.cdef("""
int pyrun_spawn(int executable, char **argv, int socket, uint64_t flags, int cgroup, int *pidfd);
int pyrun_openat2(int directory, const char *path, uint64_t flags, uint64_t resolve);
int pyrun_open_tree(int directory, const char *path, unsigned flags);
int pyrun_mount_setattr(int fd, unsigned flags, uint64_t set, uint64_t clear,
                        uint64_t propagation, uint64_t userns);
int pyrun_pidfd_getfd(int pidfd, int number);
int pyrun_landlock_abi(void);
int pyrun_mount_number(int fd, uint64_t *number);
int pyrun_pidfd_exit(int pidfd, int *status);
int pyrun_hold_signals(const int *numbers, int count);
int pyrun_block_signals(void);
int pyrun_prctl(int option, uint64_t value);
int pyrun_unshare(int flags);
int pyrun_setns(int fd, int kind);
int pyrun_seccomp_takes(unsigned flags);
int pyrun_prlimit(int pid, int resource, uint64_t soft, uint64_t hard);
int pyrun_join_session_keyring(const char *name, unsigned uid, unsigned gid);
""")


def source() -> str:
    """In one piece, so that OUT.c compiles anywhere."""
    here = os.path.dirname(os.path.abspath(__file__))
    texts = []
    for name in ("spawn.h", "linux.c"):
        with open(os.path.join(here, name), encoding="utf-8") as file:
            texts.append(file.read())
    return "".join(texts)


ffi.set_source("pyrun.kernel._linux", source())

if __name__ == "__main__":
    ffi.emit_c_code(sys.argv[1])
