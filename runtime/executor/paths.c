/* SPDX-License-Identifier: Apache-2.0 */
/* Resolution of paths in a root that an attacker may change while we look. Nothing else: whatever
 * this file returns is a descriptor, and the path is never used again. */
#include "paths.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* openat2 answers EAGAIN when a rename or a mount raced with "..": bounded, so that a container
 * that renames in a loop can delay us but not hold us. */
#define TRIES 128

int open_at(int directory, const char *path, uint64_t flags, uint64_t resolve)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = resolve};
    for (int i = 0; i < TRIES; i++) {
        int fd = (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            return fd;
    }
    return -1;
}

int open_below(int root, const char *path, uint64_t flags, uint64_t resolve)
{
    return open_at(root, path, flags, resolve | RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

/* One step of make_below: `name` in the directory; it may have come into being meanwhile. */
static int make_one(int directory, const char *name, mode_t mode)
{
    if (S_ISDIR(mode))
        return mkdirat(directory, name, mode & 07777);
    int flags = O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_WRONLY;
    int fd = openat(directory, name, flags, mode & 07777);
    return fd < 0 ? -1 : close(fd);
}

int make_below(int root, const char *path, mode_t mode, uint64_t resolve)
{
    char prefix[PATH_MAX];
    int fd = open_below(root, path, O_PATH, resolve);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    size_t length = strlen(path);
    if (length >= sizeof prefix) {
        errno = ENAMETOOLONG;
        return -1;
    }
    /* Each prefix is opened from the root again: a link on the way, also one put there just now,
     * leads to some place in the root and nowhere else. */
    int directory = open_below(root, "/", O_PATH | O_DIRECTORY, resolve);
    for (size_t end = 0; directory >= 0 && end < length;) {
        size_t start = end + strspn(path + end, "/");
        end = start + strcspn(path + start, "/");
        if (end == start)
            break;
        int last = path[end + strspn(path + end, "/")] == 0;
        memcpy(prefix, path, end);
        prefix[end] = 0;
        fd = open_below(root, prefix, O_PATH, resolve);
        if (fd < 0 && errno == ENOENT) {
            if (make_one(directory, prefix + start, last ? mode : S_IFDIR | 0755) < 0 &&
                errno != EEXIST)
                break;
            fd = open_below(root, prefix, O_PATH, resolve);
        }
        close(directory);
        directory = fd;
    }
    if (directory >= 0 && fd != directory) {
        int saved = errno;
        close(directory);
        errno = saved;
        return -1;
    }
    return directory;
}
