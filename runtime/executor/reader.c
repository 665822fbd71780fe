/* SPDX-License-Identifier: Apache-2.0 */
/* The plan reader: every operand of every operation is checked before the first one runs. */
#include "plan.h"

#include <string.h>

#include "ops.gen.h"

_Static_assert(sizeof(struct plan_header) == 32, "the header is 32 bytes");
_Static_assert(sizeof(struct plan_op) == 64, "an operation is 64 bytes");
_Static_assert(sizeof(void *) == sizeof(uint64_t), "a pointer takes the place of an offset");

static const char *const kinds[] = {
#define OP(name, operands) operands,
    OPS(OP)
#undef OP
};

struct blob {
    char *base;
    uint64_t size;
    uint64_t next; /* counted objects lie in the order of the operations, none over another:
                      turning one's offsets into pointers can't change one already checked */
};

static int string(const struct blob *blob, uint64_t offset)
{
    if (offset == 0 || offset >= blob->size)
        return -1;
    return memchr(blob->base + offset, 0, blob->size - offset) ? 0 : -1;
}

/* A count at a multiple of 8, and behind it so many units and `spare` more, of `unit` bytes. */
static uint64_t *counted(struct blob *blob, uint64_t offset, uint64_t unit, uint64_t spare)
{
    if (offset < 8 || offset % 8 || blob->size < 8 || offset > blob->size - 8)
        return NULL;
    if (offset < blob->next)
        return NULL;
    uint64_t *at = (uint64_t *)(void *)(blob->base + offset);
    uint64_t room = (blob->size - offset - 8) / unit;
    if (room < spare || *at > room - spare)
        return NULL;
    blob->next = offset + 8 + (*at + spare) * unit;
    return at;
}

static int list(struct blob *blob, uint64_t offset)
{
    uint64_t *at = counted(blob, offset, sizeof(uint64_t), 1);
    if (!at || at[1 + at[0]] != 0)
        return -1;
    for (uint64_t i = 1; i <= at[0]; i++) {
        if (string(blob, at[i]) < 0)
            return -1;
        at[i] = (uint64_t)(uintptr_t)(blob->base + at[i]);
    }
    return 0;
}

static int operand(char kind, uint64_t value, struct blob *blob, uint32_t slots)
{
    switch (kind) {
    case 'i':
        return 0;
    case 'f':
    case 'o':
        return value < slots ? 0 : -1;
    case 'z':
        return value == 0 ? 0 : string(blob, value);
    case 's':
        return string(blob, value);
    case 'l':
        return list(blob, value);
    case 'b':
        return counted(blob, value, 1, 0) ? 0 : -1;
    default: /* no such operand: unused ones are 0 */
        return value == 0 ? 0 : -1;
    }
}

const struct plan_op *plan_check(void *map, size_t size)
{
    struct plan_header *header = map;
    if (size < sizeof *header || size > PLAN_MAX_SIZE)
        return NULL;
    if (header->magic != PLAN_MAGIC || header->version != PLAN_VERSION)
        return NULL;
    if (header->checksum != OPS_CHECKSUM || header->count == 0)
        return NULL;
    if (header->slots > PLAN_SLOTS || header->donated > header->slots)
        return NULL;
    size_t rest = size - sizeof *header;
    if (header->count > rest / sizeof(struct plan_op))
        return NULL;
    rest -= header->count * sizeof(struct plan_op);
    if (header->blob_size != rest)
        return NULL;
    const struct plan_op *ops = (const struct plan_op *)(header + 1);
    struct blob blob = {(char *)(header + 1) + header->count * sizeof *ops, rest, 8};
    for (uint32_t i = 0; i < header->count; i++) {
        if (ops[i].code >= sizeof kinds / sizeof *kinds)
            return NULL;
        const char *kind = kinds[ops[i].code];
        size_t operands = strlen(kind);
        for (size_t k = 0; k < PLAN_OPERANDS; k++)
            if (operand(k < operands ? kind[k] : 0, ops[i].arg[k], &blob, header->slots) < 0)
                return NULL;
    }
    return ops;
}

struct plan_op plan_resolve(const struct plan_op *ops, uint32_t count, uint32_t i)
{
    struct plan_op op = ops[i];
    const uint64_t blob = (uint64_t)(uintptr_t)(ops + count);
    const char *kind = kinds[op.code];
    for (size_t k = 0; kind[k]; k++)
        if (kind[k] == 'l')
            op.arg[k] += blob + sizeof(uint64_t);
        else if (kind[k] == 's' || kind[k] == 'b' || (kind[k] == 'z' && op.arg[k]))
            op.arg[k] += blob;
    return op;
}
