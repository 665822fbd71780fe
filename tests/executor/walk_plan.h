/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold of a plan that plan_check() accepts, whatever its bytes were: every operand can be
 * used by an operation without a further look. Ends the process where it does not hold. */
#ifndef WALK_PLAN_H
#define WALK_PLAN_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops.gen.h"
#include "plan.h"

static const char *const walk_kinds[] = {
#define OP(name, operands) operands,
    OPS(OP)
#undef OP
};

#define HOLDS(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void walk_string(uint64_t value, const char *base, const char *end)
{
    const char *text = (const char *)(uintptr_t)value;
    HOLDS(text > base && text < end);
    HOLDS(memchr(text, 0, (size_t)(end - text)));
}

static void walk_list(uint64_t value, const char *base, const char *end)
{
    const char *const *entry = (const char *const *)(uintptr_t)value;
    HOLDS(value % sizeof *entry == 0);
    HOLDS((const char *)entry > base);
    for (;; entry++) {
        HOLDS((const char *)(entry + 1) <= end);
        if (!*entry)
            return;
        walk_string((uint64_t)(uintptr_t)*entry, base, end);
    }
}

static void walk_bytes(uint64_t value, const char *base, const char *end)
{
    const uint64_t *block = (const uint64_t *)(uintptr_t)value;
    HOLDS(value % sizeof *block == 0);
    HOLDS((const char *)block > base && (const char *)(block + 1) <= end);
    HOLDS(*block <= (uint64_t)(end - (const char *)(block + 1)));
}

static void walk_plan(const char *map, size_t size, const struct plan_op *ops)
{
    const struct plan_header *header = (const struct plan_header *)(const void *)map;
    const char *end = map + size;
    HOLDS((const char *)ops == map + sizeof *header);
    HOLDS(header->slots <= PLAN_SLOTS && header->donated <= header->slots);
    const char *base = (const char *)(ops + header->count);
    HOLDS(base <= end);
    for (uint32_t i = 0; i < header->count; i++) {
        HOLDS(ops[i].code < sizeof walk_kinds / sizeof *walk_kinds);
        const char *kind = walk_kinds[ops[i].code];
        const struct plan_op op = plan_resolve(ops, header->count, i);
        for (size_t k = 0; k < PLAN_OPERANDS; k++) {
            uint64_t value = op.arg[k];
            char what = k < strlen(kind) ? kind[k] : '0';
            if (what == '0')
                HOLDS(value == 0);
            else if (what == 'f' || what == 'o')
                HOLDS(value < header->slots);
            else if (what == 's' || (what == 'z' && value))
                walk_string(value, base, end);
            else if (what == 'l')
                walk_list(value, base, end);
            else if (what == 'b')
                walk_bytes(value, base, end);
        }
    }
}

/* One input, in memory of just its size: one byte too many is seen by the sanitizer. */
static int walk_input(const uint8_t *data, size_t size)
{
    char *map = malloc(size ? size : 1);
    HOLDS(map);
    memcpy(map, data, size);
    const struct plan_op *ops = plan_check(map, size);
    if (ops)
        walk_plan(map, size, ops);
    free(map);
    return ops != NULL;
}

#endif
