/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on paths, mounts and files. There is no mount(2) here and no path below the rootfs:
 * a mount is a descriptor, and so is the place where it goes. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "executor.h"
#include "paths.h"

static int set_attributes(int fd, unsigned flags, const struct mount_attr *attributes)
{
    struct mount_attr copy = *attributes;
    return (int)syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | flags, &copy, sizeof copy);
}

static int clone_tree(int directory, const char *path, unsigned flags)
{
    flags |= OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (*path ? 0 : AT_EMPTY_PATH);
    return (int)syscall(SYS_open_tree, directory, path, flags);
}

static int attach(int mount, int target)
{
    return (int)syscall(SYS_move_mount, mount, "", target, "",
                        MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

int op_open_host(const uint64_t *arg)
{
    return fill(arg[2], open(str(arg[0]), (int)arg[1] | O_CLOEXEC));
}

int op_open_in_root(const uint64_t *arg)
{
    return fill(arg[4], open_below(slot[arg[0]], str(arg[1]), arg[2], arg[3]));
}

int op_make_in_root(const uint64_t *arg)
{
    return fill(arg[4], make_below(slot[arg[0]], str(arg[1]), (mode_t)arg[2], arg[3]));
}

int op_close_slot(const uint64_t *arg)
{
    int fd = slot[arg[0]];
    slot[arg[0]] = -1;
    return close(fd);
}

int op_close_all_but(const uint64_t *arg)
{
    const uint64_t *keep = block(arg[0]);
    const uint32_t *numbers = (const uint32_t *)(const void *)(keep + 1);
    for (uint32_t i = 0; i < PLAN_SLOTS; i++) {
        int kept = slot[i] < 0;
        for (uint64_t k = 0; k < keep[0] / sizeof *numbers; k++)
            kept |= numbers[k] == i;
        if (!kept && op_close_slot((const uint64_t[]){i}) < 0)
            return -1;
    }
    return 0;
}

int op_fchdir(const uint64_t *arg)
{
    return fchdir(slot[arg[0]]);
}

int op_open_tree(const uint64_t *arg)
{
    return fill(arg[3], clone_tree(slot[arg[0]], str(arg[1]), (unsigned)arg[2]));
}

int op_fsopen(const uint64_t *arg)
{
    return fill(arg[1], (int)syscall(SYS_fsopen, str(arg[0]), FSOPEN_CLOEXEC));
}

/* A procfs shows the pid namespace of whoever opened it. The one to show is joined by a child that
 * shares our descriptors, lives for this one call, and can't be traced (we are not dumpable). */
int op_fsopen_proc(const uint64_t *arg)
{
    if (setns(slot[arg[0]], CLONE_NEWPID) < 0)
        return -1;
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -1;
    struct {
        int fd, number;
    } result = {-1, EIO};
    long pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        result.fd = (int)syscall(SYS_fsopen, "proc", FSOPEN_CLOEXEC);
        result.number = errno;
        _exit(write(fds[1], &result, sizeof result) != (ssize_t)sizeof result);
    }
    if (pid > 0 && (waitpid((pid_t)pid, NULL, 0) != pid ||
                    read(fds[0], &result, sizeof result) != (ssize_t)sizeof result))
        result.number = EIO;
    else if (pid < 0)
        result.number = errno;
    close(fds[0]);
    close(fds[1]);
    errno = result.number;
    return fill(arg[1], result.fd);
}

int op_fsconfig(const uint64_t *arg)
{
    const char *value = str(arg[2]);
    unsigned command = value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;
    return (int)syscall(SYS_fsconfig, slot[arg[0]], command, str(arg[1]), value, 0);
}

/* FSCONFIG_SET_STRING takes 255 bytes; this name is short. procfs knows no leading zeros. */
static int set_by_name(int context, const char *key, int fd)
{
    char name[sizeof "/proc/self/fd/2147483647"] = "/proc/self/fd/";
    size_t end = strlen(name) + 1;
    for (int rest = fd / 10; rest; rest /= 10)
        end++;
    for (name[end] = 0; name[end - 1] != '/'; fd /= 10)
        name[--end] = (char)('0' + fd % 10);
    return (int)syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, key, name, 0);
}

int op_fsconfig_fd(const uint64_t *arg)
{
    int context = slot[arg[0]];
    const char *key = str(arg[1]);
    int fd = slot[arg[2]];
    int result = (int)syscall(SYS_fsconfig, context, FSCONFIG_SET_FD, key, NULL, fd);
    /* Before 6.13 no file system takes one opened by O_PATH (EBADF), overlayfs none at all. */
    if (result < 0 && (errno == EBADF || errno == EINVAL) && fd >= 0)
        result = set_by_name(context, key, fd);
    return result;
}

int op_copy_mode(const uint64_t *arg)
{
    struct stat status;
    if (fstat(slot[arg[1]], &status) < 0)
        return -1;
    char octal[5];
    for (int i = 0; i < 4; i++)
        octal[i] = (char)('0' + (status.st_mode >> (3 * (3 - i)) & 7));
    octal[4] = 0;
    return (int)syscall(SYS_fsconfig, slot[arg[0]], FSCONFIG_SET_STRING, "mode", octal, 0);
}

int op_fsmount(const uint64_t *arg)
{
    int context = slot[arg[0]];
    if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -1; /* and leave it open: its log tells why */
    int fd = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, (unsigned)arg[1]);
    if (fd < 0)
        return -1;
    slot[arg[0]] = -1;
    return fill(arg[2], closing(context, fd));
}

int op_fspick(const uint64_t *arg)
{
    unsigned flags = FSPICK_EMPTY_PATH | FSPICK_CLOEXEC;
    return fill(arg[1], (int)syscall(SYS_fspick, slot[arg[0]], "", flags));
}

int op_reconfigure(const uint64_t *arg)
{
    int context = slot[arg[0]];
    slot[arg[0]] = -1;
    long result = syscall(SYS_fsconfig, context, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0);
    return closing(context, (int)result);
}

int op_mount_setattr(const uint64_t *arg)
{
    struct mount_attr attributes = {.attr_set = arg[2], .attr_clr = arg[3], .propagation = arg[4]};
    return set_attributes(slot[arg[0]], (unsigned)arg[1], &attributes);
}

int op_cover_proc(const uint64_t *arg)
{
    int target = slot[arg[1]];
    slot[arg[1]] = -1;
    return closing(target, attach(slot[arg[0]], target));
}

int op_move_mount(const uint64_t *arg)
{
    struct statfs fs;
    if (fstatfs(slot[arg[1]], &fs) < 0)
        return -1;
    if (fs.f_type != PROC_SUPER_MAGIC)
        return op_cover_proc(arg);
    errno = EXDEV;
    return -1;
}

static int is_device(int fd, unsigned major_number, unsigned minor_number)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) &&
           status.st_rdev == makedev(major_number, minor_number);
}

int op_check_device(const uint64_t *arg)
{
    if (is_device(slot[arg[0]], (unsigned)arg[1], (unsigned)arg[2]))
        return 0;
    errno = ENODEV;
    return -1;
}

/* Private: as a peer of the host's /dev, a mask would hand on what is mounted over it. */
static int cover(int target, int source)
{
    struct mount_attr alone = {.propagation = MS_PRIVATE};
    int fd = clone_tree(source, "", 0);
    if (fd < 0)
        return -1;
    if (set_attributes(fd, 0, &alone) < 0)
        return closing(fd, -1);
    return closing(fd, attach(fd, target));
}

int op_mask(const uint64_t *arg)
{
    struct stat status;
    int target = open_below(slot[arg[0]], str(arg[1]), O_PATH, 0);
    if (target < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
    if (fstat(target, &status) < 0)
        return closing(target, -1);
    return closing(target, cover(target, slot[arg[S_ISDIR(status.st_mode) ? 3 : 2]]));
}

int op_make_readonly(const uint64_t *arg)
{
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
    int target = open_below(slot[arg[0]], str(arg[1]), O_PATH, 0);
    if (target < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
    int fd = clone_tree(target, "", AT_RECURSIVE);
    if (fd < 0)
        return closing(target, -1);
    if (set_attributes(fd, 0, &attributes) < 0)
        return closing(target, closing(fd, -1));
    return closing(target, closing(fd, attach(fd, target)));
}

/* Mounts of the host whose loss the host is not to see: umount2(2) reaches the peers of a mount's
 * parent, be it detached or not. */
static int forsake(int fd)
{
    struct mount_attr slave = {.propagation = MS_SLAVE};
    return closing(fd, set_attributes(fd, AT_RECURSIVE, &slave));
}

/* Both roots end up on "/", the old one on top. umount2(2) takes "." for what is on top there, but
 * it is the only call to do so: the old one is kept by a descriptor. */
int op_pivot_root(const uint64_t *arg)
{
    int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (old < 0)
        return -1;
    if (fchdir(slot[arg[0]]) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
        return closing(old, -1);
    if (forsake(old) < 0)
        return -1;
    for (uint64_t i = 0; i < arg[1]; i++)
        if (umount2(".", MNT_DETACH) < 0)
            return -1;
    return chdir("/");
}

int op_detach_host(const uint64_t *arg)
{
    int fd = open(str(arg[0]), O_PATH | O_CLOEXEC);
    return fd < 0 || forsake(fd) < 0 ? -1 : umount2(str(arg[0]), MNT_DETACH);
}

int op_chroot(const uint64_t *arg)
{
    if (fchdir(slot[arg[0]]) < 0 || chroot(".") < 0)
        return -1;
    return chdir("/");
}

/* Whether the file there is the one that was to be made; errno stays EEXIST. */
static int is_node(int directory, const char *name, mode_t mode, dev_t device)
{
    struct stat status;
    int found = fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                (status.st_mode & S_IFMT) == (mode & S_IFMT) &&
                (S_ISFIFO(mode) || status.st_rdev == device);
    errno = EEXIST;
    return found;
}

int op_make_node(const uint64_t *arg)
{
    int directory = slot[arg[0]];
    const char *name = str(arg[1]);
    if (mknodat(directory, name, (mode_t)arg[2], (dev_t)arg[3]) < 0)
        return errno == EEXIST && is_node(directory, name, (mode_t)arg[2], (dev_t)arg[3]) ? 0 : -1;
    if (!arg[4] && !arg[5])
        return 0; /* made by root, with no umask: owner and mode are right */
    return fchownat(directory, name, (uid_t)arg[4], (gid_t)arg[5], AT_SYMLINK_NOFOLLOW);
}

int op_symlinkat(const uint64_t *arg)
{
    return symlinkat(str(arg[0]), slot[arg[1]], str(arg[2]));
}

int op_make_symlink(const uint64_t *arg)
{
    char text[PATH_MAX];
    if (op_symlinkat(arg) == 0)
        return 0;
    if (errno != EEXIST)
        return -1;
    ssize_t length = readlinkat(slot[arg[1]], str(arg[2]), text, sizeof text - 1);
    text[length < 0 ? 0 : length] = 0;
    errno = EEXIST;
    return strcmp(text, str(arg[0])) == 0 ? 0 : -1;
}

int op_unlinkat(const uint64_t *arg)
{
    return unlinkat(slot[arg[0]], str(arg[1]), 0);
}

static int write_proc(int proc, const char *path, const char *text)
{
    struct statfs fs;
    size_t length = strlen(text);
    uint64_t resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS;
    int fd = open_at(proc, path, O_WRONLY, resolve);
    if (fd < 0)
        return -1;
    if (fstatfs(fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC) {
        errno = EXDEV;
        return closing(fd, -1);
    }
    ssize_t written = write(fd, text, length);
    if (written >= 0 && (size_t)written != length) {
        errno = EIO;
        written = -1;
    }
    return closing(fd, written < 0 ? -1 : 0);
}

int op_write_proc(const uint64_t *arg)
{
    return write_proc(slot[arg[0]], str(arg[1]), str(arg[2]));
}

int op_write_own_proc(const uint64_t *arg)
{
    char path[16 + PATH_MAX]; /* our pid in decimal, then the path */
    size_t length = strlen(str(arg[1])) + 1;
    if (length > PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    char *start = path + 16;
    memcpy(start, str(arg[1]), length);
    *--start = '/';
    for (pid_t rest = getpid(); rest > 0; rest /= 10)
        *--start = (char)('0' + rest % 10);
    return write_proc(slot[arg[0]], start, str(arg[2]));
}

int op_set_label(const uint64_t *arg)
{
    int fd = open_at(slot[arg[0]], ".", O_RDONLY | O_DIRECTORY, RESOLVE_BENEATH);
    if (fd < 0)
        return -1;
    /* with its end, as libselinux writes it */
    const char *label = str(arg[1]);
    return closing(fd, fsetxattr(fd, "security.selinux", label, strlen(label) + 1, 0));
}
