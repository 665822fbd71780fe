/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on the share of the machine that the process gets: limits, CPUs, I/O, memory. */
#include <linux/ioprio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "executor.h"

int op_setrlimit(const uint64_t *arg)
{
    uint64_t limits[2] = {arg[1], arg[2]};
    return (int)syscall(SYS_prlimit64, 0, arg[0], limits, NULL);
}

int op_reset_affinity(const uint64_t *arg)
{
    (void)arg;
    unsigned char cpus[1024]; /* 8192 of them: the kernel ignores those that it has not */
    memset(cpus, 0xff, sizeof cpus);
    return (int)syscall(SYS_sched_setaffinity, 0, sizeof cpus, cpus);
}

int op_sched_setaffinity(const uint64_t *arg)
{
    const uint64_t *cpus = block(arg[0]);
    return (int)syscall(SYS_sched_setaffinity, 0, cpus[0], cpus + 1);
}

int op_sched_setattr(const uint64_t *arg)
{
    /* struct sched_attr of linux/sched/types.h, which glibc 2.41 has under the same name. The
     * clamps are 0: nobody asks for another value, only for their flags. */
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
        uint32_t clamp_min, clamp_max;
    } attributes = {
        .size = sizeof attributes,
        .policy = (uint32_t)arg[0],
        .flags = arg[1],
        .nice = (int32_t)arg[2],
        .priority = (uint32_t)arg[3],
        .runtime = arg[4],
        .deadline = arg[5],
        .period = arg[6],
    };
    return (int)syscall(SYS_sched_setattr, 0, &attributes, 0);
}

int op_ioprio_set(const uint64_t *arg)
{
    return (int)syscall(SYS_ioprio_set, IOPRIO_WHO_PGRP, 0, arg[0]);
}

int op_personality(const uint64_t *arg)
{
    return (int)syscall(SYS_personality, arg[0]) < 0 ? -1 : 0;
}

int op_set_mempolicy(const uint64_t *arg)
{
    const uint64_t *nodes = block(arg[1]);
    /* the kernel reads one bit less than it is told of: set_mempolicy(2), BUGS */
    return (int)syscall(SYS_set_mempolicy, arg[0], nodes + 1, nodes[0] * 8 + 1);
}
