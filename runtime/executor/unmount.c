/* SPDX-License-Identifier: Apache-2.0 */
/* Taking mounts away, each by a descriptor. A file of its own for statx(2), which musl declares
 * only since 1.2.5, and differently from the kernel. */
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "executor.h"

int op_check_mount(const uint64_t *arg)
{
    struct statx seen;
    if (syscall(SYS_statx, slot[arg[0]], "", AT_EMPTY_PATH, arg[1], &seen) < 0)
        return -1;
    if ((seen.stx_mask & arg[1]) && (seen.stx_attributes & STATX_ATTR_MOUNT_ROOT) &&
        seen.stx_mnt_id == arg[2])
        return 0;
    errno = ESTALE;
    return -1;
}

/* umount2(2) takes a name only. procfs knows no leading zeros. */
int op_detach(const uint64_t *arg)
{
    char name[sizeof "self/fd/2147483647"] = "self/fd/";
    size_t end = strlen(name) + 1;
    int fd = slot[arg[0]];
    for (int rest = fd / 10; rest; rest /= 10)
        end++;
    for (name[end] = 0; name[end - 1] != '/'; fd /= 10)
        name[--end] = (char)('0' + fd % 10);
    return fchdir(slot[arg[1]]) < 0 ? -1 : umount2(name, MNT_DETACH);
}
