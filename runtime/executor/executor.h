/* SPDX-License-Identifier: Apache-2.0 */
/* What the operations share: how they see their operands, and the slots. */
#ifndef PYRUN_EXECUTOR_H
#define PYRUN_EXECUTOR_H

#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ops.gen.h"
#include "plan.h"

/* An operation takes its operands and returns a negative number with errno set when it fails. */
#define OP(name, operands) int op_##name(const uint64_t *arg);
OPS(OP)
#undef OP

extern int slot[PLAN_SLOTS];

/* A third number for the runtime beside (index, errno): the wait status of a hook. */
extern int fail_detail;

/* What find_executable has found. */
extern const char *executable;

/* Where failures are reported; close_others leaves it open (it is close-on-exec). */
extern int report_fd;

static inline const char *str(uint64_t operand)
{
    return (const char *)(uintptr_t)operand; /* NOLINT(performance-no-int-to-ptr): checked plan */
}

static inline char **list(uint64_t operand)
{
    return (char **)(uintptr_t)operand; /* NOLINT(performance-no-int-to-ptr): checked plan */
}

/* The length of a block of bytes, and behind it the bytes. */
static inline const uint64_t *block(uint64_t operand)
{
    return (const uint64_t *)(uintptr_t)operand; /* NOLINT(performance-no-int-to-ptr) */
}

/* Where the time is noted at which each operation ends, if anybody wants to know; see plan.h. */
extern volatile uint64_t *op_times;

/* close_range(2), which not every C library has a function for. */
static inline int close_fds(unsigned first, unsigned last)
{
    return (int)syscall(SYS_close_range, first, last, 0);
}

/* A message to the runtime, with a descriptor unless `fd` is negative. */
int tell(enum message_kind kind, int a, int b, int c, int fd);

/* Waits for the runtime's GO, whose descriptor goes to the slot *out if there is an `out`. */
int wait_go(uint64_t *out);

/* Puts a descriptor into a slot, and hands on what was to be the result of opening it. */
int fill(uint64_t out, int fd);

#endif
