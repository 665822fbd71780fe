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

/* As many as the kernel follows in a path: path_resolution(7). Together, for somebody who puts a
 * new one behind each that we made would else hold us. */
#define LINKS 40

int closing(int fd, int result)
{
    int saved = errno;
    close(fd);
    errno = saved;
    return result;
}

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

static int make_path(int root, const char *path, mode_t mode, uint64_t resolve, int *links);

/* What `name` in the directory, a link that leads nowhere yet, is to lead to: made as any other
 * path in the root. `before` is how that directory was reached from there. */
static int make_goal(int root, int directory, const char *name, size_t before, const char *path,
                     mode_t mode, uint64_t resolve, int *links)
{
    char goal[PATH_MAX];
    char text[PATH_MAX];
    ssize_t length = readlinkat(directory, name, text, sizeof text);
    if (length == 0)
        errno = ENOENT; /* of a file system in user space */
    if (length <= 0)
        return -1; /* no link any more */
    if ((*links)++ == LINKS) {
        errno = ELOOP;
        return -1;
    }
    if (text[0] == '/')
        before = 0;
    if (before + (size_t)length >= sizeof goal) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(goal, path, before);
    memcpy(goal + before, text, (size_t)length);
    goal[before + (size_t)length] = 0;
    return make_path(root, goal, mode, resolve, links);
}

/* Each prefix is opened from the root again: a link on the way, also one put there just now, leads
 * to some place in the root and nowhere else. */
static int make_path(int root, const char *path, mode_t mode, uint64_t resolve, int *links)
{
    char prefix[PATH_MAX];
    size_t length = strlen(path);
    if (length >= sizeof prefix) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int directory = open_below(root, "/", O_PATH | O_DIRECTORY, resolve);
    for (size_t end = 0; directory >= 0;) {
        size_t start = end + strspn(path + end, "/");
        end = start + strcspn(path + start, "/");
        if (end == start)
            break;
        mode_t kind = path[end + strspn(path + end, "/")] ? S_IFDIR | 0755 : mode;
        memcpy(prefix, path, end);
        prefix[end] = 0;
        int fd = open_below(root, prefix, O_PATH, resolve);
        if (fd < 0 && errno == ENOENT &&
            (make_one(directory, prefix + start, kind) == 0 || errno == EEXIST))
            fd = open_below(root, prefix, O_PATH, resolve);
        if (fd < 0 && errno == ENOENT)
            fd = make_goal(root, directory, prefix + start, start, path, kind, resolve, links);
        directory = closing(directory, fd);
    }
    return directory;
}

int make_below(int root, const char *path, mode_t mode, uint64_t resolve)
{
    int fd = open_below(root, path, O_PATH, resolve);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    int links = 0;
    return make_path(root, path, mode, resolve, &links);
}
