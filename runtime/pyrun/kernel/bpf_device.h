/* SPDX-License-Identifier: Apache-2.0 */
/* The bpf(2) commands that a device filter of cgroup v2 needs. Policy is in pyrun.cgroup. */
#include <linux/bpf.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OWN_NAME "pyrun_devices" /* of our programs, in the kernel: bpftool shows it too */
#define PROGRAMS 64              /* the kernel attaches no more to one cgroup */

/* Load a program of type BPF_PROG_TYPE_CGROUP_DEVICE: `count` instructions at `insns`. On success
   0, and *fd is the program (close-on-exec, as the kernel makes them all); else -1 with errno. */
static inline int pyrun_bpf_prog_load(const void *insns, unsigned count, int *fd)
{
    static const char license[] = "Apache-2.0"; /* the program calls no GPL-only helper */
    union bpf_attr attr;

    memset(&attr, 0, sizeof attr);
    attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    attr.insns = (uint64_t)(uintptr_t)insns;
    attr.insn_cnt = count;
    attr.license = (uint64_t)(uintptr_t)license;
    memcpy(attr.prog_name, OWN_NAME, sizeof OWN_NAME);
    *fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
    return *fd < 0 ? -1 : 0;
}

/* Whether program `fd` was loaded by us. */
static inline int is_own(int fd)
{
    struct bpf_prog_info info;
    union bpf_attr attr;

    memset(&info, 0, sizeof info);
    memset(&attr, 0, sizeof attr);
    attr.info.bpf_fd = (uint32_t)fd;
    attr.info.info_len = sizeof info;
    attr.info.info = (uint64_t)(uintptr_t)&info;
    return syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof attr) == 0 &&
           strcmp(info.name, OWN_NAME) == 0;
}

/* Find our program at the cgroup directory `cgroup`. Returns 0, with it in *found, or -1 there when
   none is attached; or -1 with errno. */
static inline int pyrun_bpf_prog_find(int cgroup, int *found)
{
    uint32_t ids[PROGRAMS];
    union bpf_attr attr;

    *found = -1;
    memset(&attr, 0, sizeof attr);
    attr.query.target_fd = (uint32_t)cgroup;
    attr.query.attach_type = BPF_CGROUP_DEVICE;
    attr.query.prog_ids = (uint64_t)(uintptr_t)ids;
    attr.query.prog_cnt = PROGRAMS;
    if (syscall(SYS_bpf, BPF_PROG_QUERY, &attr, sizeof attr) != 0)
        return -1;
    unsigned count = attr.query.prog_cnt;
    for (unsigned i = 0; i < count; i++) {
        memset(&attr, 0, sizeof attr);
        attr.prog_id = ids[i];
        int fd = (int)syscall(SYS_bpf, BPF_PROG_GET_FD_BY_ID, &attr, sizeof attr);
        if (fd < 0)
            return -1;
        if (is_own(fd)) {
            *found = fd;
            return 0;
        }
        close(fd);
    }
    return 0;
}

/* Attach program `fd` to the cgroup directory `cgroup`, beside those that are there (each of them
   must allow an access), or in one step in place of `replaced`, if that is not -1. Returns 0, or -1
   with errno. */
static inline int pyrun_bpf_prog_attach(int fd, int cgroup, int replaced)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof attr);
    attr.target_fd = (uint32_t)cgroup;
    attr.attach_bpf_fd = (uint32_t)fd;
    attr.attach_type = BPF_CGROUP_DEVICE;
    attr.attach_flags = BPF_F_ALLOW_MULTI;
    if (replaced >= 0) {
        attr.attach_flags |= BPF_F_REPLACE;
        attr.replace_bpf_fd = (uint32_t)replaced;
    }
    return (int)syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof attr);
}
