/* SPDX-License-Identifier: Apache-2.0 */
/* Landlock: landlock(7). The structures are our own: the kernel's headers may be older than the
 * kernel, and what is zero needs no support. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "executor.h"
#include "paths.h"

#define RULE_PATH_BENEATH 1
#define RULE_NET_PORT 2

int op_landlock_ruleset(const uint64_t *arg)
{
    struct {
        uint64_t fs, net, scoped;
    } attributes = {arg[0], arg[1], arg[2]};
    long fd = syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0);
    return fill(arg[3], (int)fd);
}

/* By the root of the process, which is the container's. */
int op_landlock_path(const uint64_t *arg)
{
    struct {
        uint64_t access;
        int32_t parent;
    } __attribute__((packed)) rule = {arg[2], 0};
    rule.parent = open_at(AT_FDCWD, str(arg[1]), O_PATH, RESOLVE_NO_MAGICLINKS);
    if (rule.parent < 0)
        return -1;
    long result = syscall(SYS_landlock_add_rule, slot[arg[0]], RULE_PATH_BENEATH, &rule, 0);
    return closing(rule.parent, (int)result);
}

int op_landlock_port(const uint64_t *arg)
{
    struct {
        uint64_t access, port;
    } rule = {arg[2], arg[1]};
    return (int)syscall(SYS_landlock_add_rule, slot[arg[0]], RULE_NET_PORT, &rule, 0);
}

int op_landlock_restrict(const uint64_t *arg)
{
    return (int)syscall(SYS_landlock_restrict_self, slot[arg[0]], 0);
}
