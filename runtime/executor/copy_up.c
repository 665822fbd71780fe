/* SPDX-License-Identifier: Apache-2.0 */
/* tmpcopyup: what a directory of the image holds, copied into a new tmpfs before that covers it.
 * All goes by descriptors and single names that are never followed. The source is a clone of the
 * mounts there on which no device can be opened (the plan sees to it): whatever somebody puts there
 * meanwhile is at worst copied. The copy is nobody's but ours until it is attached. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "executor.h"
#include "paths.h"

#define DEEPEST 128 /* two descriptors and a block of the stack a level */

#define NAMES_KEPT ".pyrun-links" /* a folder of the new tmpfs, gone when all is copied */

static int names_kept;

static int copy_contents(int from, int to, int depth);

/* As getdents64(2) writes it. */
struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

static int copy_attribute(int from, int to, const char *name)
{
    static char value[XATTR_SIZE_MAX];
    ssize_t size = fgetxattr(from, name, value, sizeof value);
    if (size < 0)
        return errno == ENODATA ? 0 : -1;
    if (fsetxattr(to, name, value, (size_t)size, 0) < 0)
        return errno == EOPNOTSUPP ? 0 : -1; /* user.* before 6.6 */
    return 0;
}

/* Labels are not copied: the mount has its own. */
static int copy_attributes(int from, int to)
{
    static char names[XATTR_LIST_MAX];
    ssize_t size = flistxattr(from, names, sizeof names);
    if (size < 0)
        return errno == EOPNOTSUPP ? 0 : -1;
    for (const char *name = names; name < names + size; name += strlen(name) + 1)
        if (strcmp(name, "security.selinux") != 0 && copy_attribute(from, to, name) < 0)
            return -1;
    return 0;
}

/* The owner first: a change of it takes set-id bits and file capabilities away. */
static int copy_status(int from, int to, const struct stat *status)
{
    const struct timespec times[] = {status->st_atim, status->st_mtim};
    if (fchown(to, status->st_uid, status->st_gid) < 0 || copy_attributes(from, to) < 0 ||
        fchmod(to, status->st_mode & 07777) < 0)
        return -1;
    return futimens(to, times);
}

/* Holes stay holes; what is written behind the end meanwhile stays behind. */
static int copy_data(int from, int to, off_t size)
{
    for (off_t at = 0; at < size;) {
        off_t start = lseek(from, at, SEEK_DATA);
        if (start < 0 && errno == ENXIO)
            break;
        off_t end = start < 0 ? start : lseek(from, start, SEEK_HOLE);
        if (end < 0 || lseek(to, start, SEEK_SET) < 0)
            return -1;
        ssize_t count = sendfile(to, from, &start, (size_t)(end - start));
        if (count <= 0)
            return (int)count; /* 0: cut off meanwhile */
        at = start;
    }
    return ftruncate(to, size);
}

/* The name that the first copy of a file with several names is kept under: its inode in hex. */
static void name_of_inode(char *name, const struct stat *status)
{
    const uint64_t numbers[] = {status->st_dev, status->st_ino};
    for (int i = 0; i < 32; i++)
        name[i] = "0123456789abcdef"[numbers[i / 16] >> (i % 16 * 4) & 15];
    name[32] = 0;
}

static int copy_file(int from, int to, const char *name, const struct stat *status)
{
    char inode[33];
    name_of_inode(inode, status);
    if (status->st_nlink > 1 && linkat(names_kept, inode, to, name, 0) == 0)
        return 0;
    int fd = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    if (copy_data(from, fd, status->st_size) < 0 || copy_status(from, fd, status) < 0)
        return closing(fd, -1);
    if (status->st_nlink > 1 && linkat(to, name, names_kept, inode, 0) < 0)
        return closing(fd, -1);
    return close(fd);
}

static int copy_folder(int from, int to, const char *name, const struct stat *status, int depth)
{
    if (mkdirat(to, name, 0700) < 0)
        return -1;
    int fd = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (copy_contents(from, fd, depth + 1) < 0 || copy_status(from, fd, status) < 0)
        return closing(fd, -1);
    return close(fd);
}

/* A link, or what only needs a node; of these no attributes are taken along. */
static int copy_node(int from, int to, const char *name, const struct stat *status)
{
    char target[PATH_MAX];
    const struct timespec times[] = {status->st_atim, status->st_mtim};
    if (S_ISLNK(status->st_mode)) {
        ssize_t length = readlinkat(from, name, target, sizeof target - 1);
        if (length < 0)
            return -1;
        target[length] = 0;
        if (symlinkat(target, to, name) < 0)
            return -1;
    } else if (mknodat(to, name, status->st_mode, status->st_rdev) < 0) {
        return -1;
    }
    if (fchownat(to, name, status->st_uid, status->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
        return -1;
    return utimensat(to, name, times, AT_SYMLINK_NOFOLLOW);
}

static int copy_entry(int from, int to, const char *name, int depth)
{
    struct stat status;
    if (fstatat(from, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -1; /* gone meanwhile */
    if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode))
        return copy_node(from, to, name, &status);
    int fd = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (fstat(fd, &status) < 0)
        return closing(fd, -1);
    if (S_ISDIR(status.st_mode))
        return closing(fd, copy_folder(fd, to, name, &status, depth));
    if (S_ISREG(status.st_mode))
        return closing(fd, copy_file(fd, to, name, &status));
    errno = ESTALE; /* something else was put there meanwhile */
    return closing(fd, -1);
}

static int is_name(const char *name)
{
    return strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int copy_contents(int from, int to, int depth)
{
    char buffer[4096] __attribute__((aligned(8)));
    long size;
    if (depth == DEEPEST) {
        errno = ENAMETOOLONG;
        return -1;
    }
    while ((size = syscall(SYS_getdents64, from, buffer, sizeof buffer)) > 0)
        for (long at = 0; at < size;) {
            const struct entry *entry = (const void *)(buffer + at);
            at += entry->length;
            if (is_name(entry->name) && copy_entry(from, to, entry->name, depth) < 0)
                return -1;
        }
    return (int)size;
}

/* Takes the folder of kept names away again. */
static int forget_names(int tree)
{
    char buffer[4096] __attribute__((aligned(8)));
    long size;
    while ((size = syscall(SYS_getdents64, names_kept, buffer, sizeof buffer)) > 0)
        for (long at = 0; at < size;) {
            const struct entry *entry = (const void *)(buffer + at);
            at += entry->length;
            if (is_name(entry->name) && unlinkat(names_kept, entry->name, 0) < 0)
                return -1;
        }
    return size < 0 ? -1 : unlinkat(tree, NAMES_KEPT, AT_REMOVEDIR);
}

static int copy_tree(int from, int tree)
{
    if (mkdirat(tree, NAMES_KEPT, 0700) < 0)
        return -1;
    names_kept = openat(tree, NAMES_KEPT, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (names_kept < 0)
        return -1;
    if (copy_contents(from, tree, 0) < 0 || copy_attributes(from, tree) < 0)
        return closing(names_kept, -1);
    return closing(names_kept, forget_names(tree));
}

int op_copy_up(const uint64_t *arg)
{
    int from = openat(slot[arg[1]], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (from < 0)
        return -1;
    int tree = openat(slot[arg[0]], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (tree < 0)
        return closing(from, -1);
    return closing(from, closing(tree, copy_tree(from, tree)));
}

int op_copy_owner(const uint64_t *arg)
{
    struct stat status;
    if (fstatat(slot[arg[1]], "", &status, AT_EMPTY_PATH) < 0)
        return -1;
    return fchownat(slot[arg[0]], "", status.st_uid, status.st_gid, AT_EMPTY_PATH);
}
