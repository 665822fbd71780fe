/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs that say what share of the machine a process is given, by the kernel's own numbers. */
#include "payload.h"

#include <linux/ioprio.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

/* POLICY FLAGS NICE PRIORITY RUNTIME DEADLINE PERIOD */
void do_scheduler(void)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } found = {0};
    if (syscall(SYS_sched_getattr, 0, &found, sizeof found, 0) < 0) {
        failed();
        return;
    }
    printf("%u %lu %d %u %lu %lu %lu\n", found.policy, found.flags, found.nice, found.priority,
           found.runtime, found.deadline, found.period);
}

/* The process's class and level in one number */
void do_ioprio(void)
{
    long found = syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);
    if (found < 0)
        failed();
    else
        printf("%ld\n", found);
}

/* MODE NODES: the nodes as a list, "-" for none */
void do_mempolicy(void)
{
    int mode = 0;
    unsigned long nodes[16] = {0};
    if (syscall(SYS_get_mempolicy, &mode, nodes, 8 * sizeof nodes, NULL, 0) < 0) {
        failed();
        return;
    }
    printf("%d ", mode);
    const char *comma = "";
    for (unsigned node = 0; node < 8 * sizeof nodes; node++)
        if (nodes[node / 64] >> node % 64 & 1) {
            printf("%s%u", comma, node);
            comma = ",";
        }
    puts(*comma ? "" : "-");
}

/* What uname(2) says the machine is */
void do_machine(void)
{
    struct utsname found;
    if (uname(&found) < 0)
        failed();
    else
        puts(found.machine);
}
