# SPDX-License-Identifier: Apache-2.0
"""The part of libseccomp that pyrun uses, for cffi: `python build_seccomp.py OUT.c`.

The C compiler checks these declarations against <seccomp.h> and fills in each "...".
"""

from __future__ import annotations

import sys

import cffi

MODULE = "pyrun.kernel._seccomp"

DECLARATIONS = """
typedef void *scmp_filter_ctx;
typedef uint64_t scmp_datum_t;

struct scmp_version {
    unsigned int major;
    unsigned int minor;
    unsigned int micro;
    ...;
};

enum scmp_filter_attr { SCMP_FLTATR_CTL_OPTIMIZE, ... };

enum scmp_compare {
    SCMP_CMP_NE,
    SCMP_CMP_LT,
    SCMP_CMP_LE,
    SCMP_CMP_EQ,
    SCMP_CMP_GE,
    SCMP_CMP_GT,
    SCMP_CMP_MASKED_EQ,
    ...
};

struct scmp_arg_cmp {
    unsigned int arg;
    enum scmp_compare op;
    scmp_datum_t datum_a;
    scmp_datum_t datum_b;
    ...;
};

#define SCMP_ARCH_X86_64 ...
#define SCMP_ARCH_X32 ...
#define __NR_SCMP_ERROR ...

const struct scmp_version *seccomp_version(void);
uint32_t seccomp_arch_native(void);
uint32_t seccomp_arch_resolve_name(const char *arch_name);
char *seccomp_syscall_resolve_num_arch(uint32_t arch_token, int num);
void free(void *pointer);
int seccomp_syscall_resolve_name(const char *name);
int seccomp_syscall_resolve_name_arch(uint32_t arch_token, const char *name);
scmp_filter_ctx seccomp_init(uint32_t def_action);
void seccomp_release(scmp_filter_ctx ctx);
int seccomp_arch_add(scmp_filter_ctx ctx, uint32_t arch_token);
int seccomp_arch_remove(scmp_filter_ctx ctx, uint32_t arch_token);
int seccomp_attr_set(scmp_filter_ctx ctx, enum scmp_filter_attr attr, uint32_t value);
int seccomp_rule_add_array(scmp_filter_ctx ctx, uint32_t action, int syscall,
                           unsigned int arg_cnt, const struct scmp_arg_cmp *arg_array);
int seccomp_export_bpf(scmp_filter_ctx ctx, int fd);
"""


def builder() -> cffi.FFI:
    """The cffi builder of pyrun.kernel._seccomp."""
    ffi = cffi.FFI()
    ffi.cdef(DECLARATIONS)
    ffi.set_source(MODULE, "#include <seccomp.h>\n#include <stdlib.h>", libraries=["seccomp"])
    return ffi


if __name__ == "__main__":
    builder().emit_c_code(sys.argv[1])
