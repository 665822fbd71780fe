/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan, as the runtime writes it and the executor reads it.
 *
 *   header | operations (64 bytes each) | blob
 *
 * An operand is a number, a slot, or the offset in the blob of
 *   a string   bytes and a NUL,
 *   bytes      u64 length, then as many bytes (the offset is a multiple of 8),
 *   a list     u64 count, count offsets of strings as u64, one 0 (the offset is a multiple of 8);
 * offset 0 stands for nothing. All numbers are in the machine's order. The plan comes in a sealed
 * memfd and is checked whole before the first operation runs; checking turns the offsets of lists
 * into pointers (in a private mapping), so a list becomes what execve(2) takes. All else stays as
 * it is: a page that is written to is the container's to pay for.
 *
 * Slots hold descriptors. The first ones are donated by the runtime, in order; the others are
 * filled by operations.
 *
 * The sync protocol: one SOCK_SEQPACKET pair, messages of 16 bytes.
 *
 *   runtime                                executor
 *      | -- TIMES (+ a file) ---------------> |   only for who asks how long it all takes
 *      | -- FDS (+ descriptors) ------------> |   as many as needed: the donated slots
 *      | -- PLAN (+ the plan's memfd) ------> |   pid and start time are on record by now
 *      |                                      |   ...operations...
 *      | <----------------- CHILD (pid) ----- |   fork_init: this process ends, its sibling waits
 *      | -- GO -----------------------------> |   pid recorded, id maps written
 *      | <----------------- SYNC (point) ---- |   sync, sync_send (+ fd), sync_receive
 *      | -- GO (+ fd for sync_receive) -----> |
 *      | <--------- SYNC (point, listener) -- |   seccomp_listen: fetched by pidfd_getfd(2)
 *      | -- GO -----------------------------> |
 *      | <-- FAILED (index, errno, detail) -- |
 *      | <---------------------- evidence --- |   if there is any (evidence.h); the executor ends
 *
 * The file of TIMES is shared memory: a u64 for when the executor got it and one for when each
 * operation has ended, whether well or not, in nanoseconds of CLOCK_MONOTONIC. It ends with the
 * first filter, which may not let us ask for the time.
 *
 * End of file on either side means that the other is dead: the executor ends at once. After
 * report_to, FAILED and evidence go to the result fifo instead, for `start` to read; there, end of
 * file means that the user's program runs (every copy is close-on-exec).
 */
#ifndef PYRUN_PLAN_H
#define PYRUN_PLAN_H

#include <stddef.h>
#include <stdint.h>

#define PLAN_MAGIC 0x6e757279U /* "yrun" */
#define PLAN_VERSION 1U
#define PLAN_OPERANDS 7
#define PLAN_SLOTS 1024
#define PLAN_MAX_SIZE (64UL << 20)

struct plan_header {
    uint32_t magic;
    uint32_t version;
    uint32_t checksum; /* of the instruction set */
    uint32_t count;    /* of operations */
    uint32_t slots;    /* used by this plan */
    uint32_t donated;  /* of them, filled by the runtime */
    uint64_t blob_size;
};

struct plan_op {
    uint32_t code;
    uint32_t tolerate; /* an errno to ignore, or 0 */
    uint64_t arg[PLAN_OPERANDS];
};

enum message_kind {
    MESSAGE_FDS = 1,
    MESSAGE_PLAN = 2,
    MESSAGE_GO = 3,
    MESSAGE_SYNC = 4,
    MESSAGE_CHILD = 5,
    MESSAGE_FAILED = 6,
    MESSAGE_TIMES = 7,
};

struct message {
    uint32_t kind;
    int32_t value[3];
};

/* What run_hook appends to its `output` whatever has become of the hook: this, and the last bytes
 * of what it printed there, so many. */
struct hook_record {
    uint64_t nanoseconds; /* that it took */
    int32_t number;       /* why it did not come to an end, an errno, or 0 */
    int32_t status;       /* as wait(2) has it */
    uint32_t size;
    uint32_t spare;
};

/* Checks a plan of `size` bytes at `map`, which must be writable. Returns the operations, or NULL
 * if anything at all is wrong. */
const struct plan_op *plan_check(void *map, size_t size);

/* One of the `count` operations of a plan that was checked, with pointers in the place of offsets.
 */
struct plan_op plan_resolve(const struct plan_op *ops, uint32_t count, uint32_t i);

#endif
