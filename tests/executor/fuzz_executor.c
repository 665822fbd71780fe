/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer: the executor on a kernel that is a model (model.h). The input is a plan, and how each
 * call goes; the executor ends in each case, and says why.
 *
 *   operations - 1, donated descriptors, flags (1: it is asked for times), then for each operation
 *   code, errno to tolerate, operands:
 *     number      0..199 itself, 200..254 a power of two, 255 and 8 bytes
 *     slot        0..254 itself, 255 and 2 bytes
 *     string      0..99 one of STRINGS, more: so many bytes less 100
 *     string, if  0 none, 1 and a string
 *     list        so many strings
 *     bytes       so many bytes
 *   and then the answers of the kernel (model.h). */
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "ops.gen.h"

#define OPERATIONS 160
#define ROOM (8 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int executor_main(int argc, char **argv);

/* The executor's own, put back before each plan. */
extern int slot[], report_fd, fail_detail, runtime_fd, names_kept;
extern volatile uint64_t *op_times;
extern const char *executable;
extern size_t held;
extern char home[], listen_pid[];

static const char *const KINDS[] = {
#define OP(name, operands) operands,
    OPS(OP)
#undef OP
};

enum code {
#define OP(name, operands) CODE_##name,
    OPS(OP)
#undef OP
};

static char blob[ROOM];
static size_t used;

static uint64_t put_text(void)
{
    static const char *const STRINGS[] = {
        "",     "/",           "a",           "a/b/c",      "/dev/null", "../..",
        "ptmx", "HOME=",       "LISTEN_PID=", "/proc/self", "//a//",     "security.selinux",
        "ro",   "/etc/passwd", "tmpfs",       "a/./b",
    };
    static char longest[5000];
    const uint8_t which = model_byte();
    const uint64_t at = used;
    if (which == 99 && used < ROOM / 4) {
        memset(longest, 'y', sizeof longest - 1);
        memcpy(blob + used, longest, sizeof longest);
        used += sizeof longest;
    } else if (which < 100) {
        const char *chosen = STRINGS[which % (sizeof STRINGS / sizeof *STRINGS)];
        memcpy(blob + used, chosen, strlen(chosen) + 1);
        used += strlen(chosen) + 1;
    } else {
        for (uint8_t i = 100; i < which; i++)
            blob[used++] = (char)model_byte();
        blob[used++] = 0;
    }
    return at;
}

static uint64_t put_counted(char kind, int least)
{
    uint64_t count = kind == 'l' ? model_byte() % 32 : model_byte(), offsets[33] = {0};
    count += !count && least;
    for (uint64_t i = 0; kind == 'l' && i < count; i++)
        offsets[i] = put_text();
    used = (used + 7) & ~7UL;
    const uint64_t at = used;
    memcpy(blob + used, &count, 8);
    used += 8;
    if (kind == 'l') {
        memcpy(blob + used, offsets, (count + 1) * 8);
        used += (count + 1) * 8;
    }
    for (uint64_t i = 0; kind == 'b' && i < count; i++)
        blob[used++] = (char)model_byte();
    return at;
}

static uint64_t operand(char kind, int least)
{
    uint64_t value = 0;
    if (kind == 's' || (kind == 'z' && model_byte()))
        return put_text();
    if (kind == 'z')
        return 0;
    if (kind == 'l' || kind == 'b')
        return put_counted(kind, least);
    const uint8_t byte = model_byte();
    if (byte == 255)
        for (int i = 0; i < (kind == 'i' ? 8 : 2); i++)
            value |= (uint64_t)model_byte() << 8 * i;
    else
        value = kind == 'i' && byte >= 200 ? 1UL << byte % 64 : byte;
    return kind == 'i' ? value : value % PLAN_SLOTS;
}

/* The plan from the input; it always ends with the program. */
static char *compose(void)
{
    static struct plan_op ops[OPERATIONS + 1];
    struct plan_header header = {PLAN_MAGIC, PLAN_VERSION, OPS_CHECKSUM, 0, PLAN_SLOTS, 0, 0};
    header.count = model_byte() % OPERATIONS + 1U;
    header.donated = model_byte() % 32;
    model.times = model_byte() & 1;
    memset(ops, 0, sizeof ops);
    memset(blob, 0, 8);
    used = 8;
    for (uint32_t i = 0; i <= header.count; i++) {
        const int last = i == header.count;
        ops[i].code = last ? (uint32_t)CODE_execve : model_byte() % (sizeof KINDS / sizeof *KINDS);
        ops[i].tolerate = last ? 0 : model_byte() % 40;
        model.tolerant |= ops[i].tolerate != 0;
        const char *kinds = KINDS[ops[i].code];
        for (size_t k = 0; kinds[k]; k++)
            ops[i].arg[k] = operand(kinds[k], ops[i].code == CODE_run_hook);
        if (ops[i].code == CODE_seccomp)
            ops[i].arg[0] &= ~SECCOMP_FILTER_FLAG_NEW_LISTENER;
        if (ops[i].code == CODE_seccomp_listen)
            ops[i].arg[0] |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
        /* Odd sync points bring a descriptor. */
        uint64_t *point = &ops[i].arg[ops[i].code == CODE_seccomp_listen ? 2 : 0];
        if (ops[i].code == CODE_sync_receive)
            *point = (*point & 0x7E) | 1;
        else if (ops[i].code == CODE_sync || ops[i].code == CODE_sync_send || point != ops[i].arg)
            *point &= 0x7E;
    }
    model.count = ++header.count;
    model.donated = header.donated;
    header.blob_size = used;
    model.size = sizeof header + header.count * sizeof *ops + used;
    char *plan = malloc(model.size);
    memcpy(plan, &header, sizeof header);
    memcpy(plan + sizeof header, ops, header.count * sizeof *ops);
    memcpy(plan + sizeof header + header.count * sizeof *ops, blob, used);
    return plan;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char *const words[] = {"pyrun:init box", "3", "3", NULL};
    model = (struct model){.at = data, .end = data + size, .point = -1};
    char *volatile plan = compose();
    model.plan = plan;
    model_begin();
    runtime_fd = report_fd = -1;
    names_kept = fail_detail = 0;
    op_times = NULL;
    executable = "/program"; /* find_executable comes before execve, and a hook has a name */
    held = 0;
    home[0] = listen_pid[0] = 0;
    if (setjmp(model.over) == 0)
        executor_main(3, (char **)(uintptr_t)words);
    model_end();
    free(plan);
    return 0;
}
