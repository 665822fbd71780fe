/* SPDX-License-Identifier: Apache-2.0 */
/* The two bpf(2) commands that a device filter of cgroup v2 needs. Policy is in pyrun.cgroup. */
#include <linux/bpf.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Load a program of type BPF_PROG_TYPE_CGROUP_DEVICE: `count` instructions at `insns`. On success
   0, and *fd is the program (close-on-exec, as the kernel makes them all); else -1 with errno. */
static int pyrun_bpf_prog_load(const void *insns, unsigned count, int *fd)
{
    static const char license[] = "Apache-2.0"; /* the program calls no GPL-only helper */
    union bpf_attr attr;

    memset(&attr, 0, sizeof attr);
    attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    attr.insns = (uint64_t)(uintptr_t)insns;
    attr.insn_cnt = count;
    attr.license = (uint64_t)(uintptr_t)license;
    *fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
    return *fd < 0 ? -1 : 0;
}

/* Attach program `fd` to the cgroup directory `cgroup`, beside those that are there (each of them
   must allow an access). Returns 0, or -1 with errno. */
static int pyrun_bpf_prog_attach(int fd, int cgroup)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof attr);
    attr.target_fd = (uint32_t)cgroup;
    attr.attach_bpf_fd = (uint32_t)fd;
    attr.attach_type = BPF_CGROUP_DEVICE;
    attr.attach_flags = BPF_F_ALLOW_MULTI;
    return (int)syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof attr);
}
