/* SPDX-License-Identifier: Apache-2.0 */
/* Named points before and after each operation of the executor, for a test build alone (named.py):
 * what to do there comes behind the title, as "NAME:before|after:NUMBER", of an error or 0 for the
 * end of the process. fault.py says it. */

static int fault(const char *title, const char *name, const char *when)
{
    const char *place = strchr(title, '\n');
    size_t length = strlen(name);
    if (!place || strncmp(place + 1, name, length) != 0 || place[length + 1] != ':' ||
        strncmp(place + length + 2, when, strlen(when)) != 0)
        return 0;
    errno = atoi(strrchr(place, ':') + 1);
    if (errno == 0)
        quit(); /* the first of a pid namespace can't be killed by itself */
    return -1;
}

static int meet(const char *title, const struct plan_op *op, int (*run)(const uint64_t *))
{
    static const char *const names[] = {
#define OP(name, operands) #name,
        OPS(OP)
#undef OP
    };
    const char *name = names[op->code];
    return fault(title, name, "before") < 0 || run(op->arg) < 0 || fault(title, name, "after") < 0
               ? -1
               : 0;
}
