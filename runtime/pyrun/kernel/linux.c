/* SPDX-License-Identifier: Apache-2.0 */
/* Each function returns what the system call gives, or -errno: errno itself is not safe to read
 * from Python after the call. */
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEARCHED_KEYRING 0x3f1b0000L /* all to who has it; user: view, read, search, link */

static int pyrun_openat2(int directory, const char *path, uint64_t flags, uint64_t resolve)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = resolve};
    long fd = syscall(SYS_openat2, directory, path, &how, sizeof how);
    return fd < 0 ? -errno : (int)fd;
}

static int pyrun_open_tree(int directory, const char *path, unsigned flags)
{
    long fd = syscall(SYS_open_tree, directory, path, flags | OPEN_TREE_CLOEXEC);
    return fd < 0 ? -errno : (int)fd;
}

/* The number of the mount that a descriptor is of, into *number. Returns the mask of statx(2) with
 * which it was asked for: that of numbers which no other mount will have, from Linux 6.8 on. */
static int pyrun_mount_number(int fd, uint64_t *number)
{
    const unsigned masks[] = {0x4000 /* STATX_MNT_ID_UNIQUE */, STATX_MNT_ID};
    struct statx seen;
    for (int i = 0; i < 2; i++) {
        if (statx(fd, "", AT_EMPTY_PATH, masks[i], &seen) < 0)
            return -errno;
        if (seen.stx_mask & masks[i]) {
            *number = seen.stx_mnt_id;
            return (int)masks[i];
        }
    }
    return -EOPNOTSUPP;
}

static int pyrun_mount_setattr(int fd, unsigned flags, uint64_t set, uint64_t clear,
                               uint64_t propagation, uint64_t userns)
{
    struct mount_attr attributes = {set, clear, propagation, userns};
    long result =
        syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | flags, &attributes, sizeof attributes);
    return result < 0 ? -errno : 0;
}

static int pyrun_pidfd_getfd(int pidfd, int number)
{
    long fd = syscall(SYS_pidfd_getfd, pidfd, number, 0);
    return fd < 0 ? -errno : (int)fd;
}

/* PIDFD_GET_INFO of linux/pidfd.h, which came with Linux 6.13; how a process ended, with 6.15. The
 * structure's size, a part of the request, says which members we know. */
struct pidfd_seen {
    uint64_t mask;
    uint64_t cgroup;
    uint32_t ids[11];
    int32_t status;
};
#define PIDFD_SEEN_EXIT (1U << 3)

/* The wait status of a process that somebody has reaped into *status. Returns whether the kernel
 * told it: a descriptor that was opened before is enough. */
static int pyrun_pidfd_exit(int pidfd, int *status)
{
    struct pidfd_seen seen = {.mask = PIDFD_SEEN_EXIT};
    if (ioctl(pidfd, _IOWR(0xff, 11, struct pidfd_seen), &seen) < 0)
        return -errno;
    *status = seen.status;
    return (seen.mask & PIDFD_SEEN_EXIT) != 0;
}

/* Block these signals but those that are ignored; a signalfd(2) of them, or minus errno. */
static int pyrun_hold_signals(const int *numbers, int count)
{
    struct sigaction action;
    sigset_t held;
    sigemptyset(&held);
    for (int i = 0; i < count; i++)
        if (sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&held, numbers[i]);
    if (sigprocmask(SIG_BLOCK, &held, NULL) < 0)
        return -errno;
    int fd = signalfd(-1, &held, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

/* Block all that can be blocked; 0, or minus errno. */
static int pyrun_block_signals(void)
{
    sigset_t all;
    sigfillset(&all);
    return sigprocmask(SIG_BLOCK, &all, NULL) < 0 ? -errno : 0;
}

static int pyrun_prctl(int option, uint64_t value)
{
    int result = prctl(option, value, 0, 0, 0);
    return result < 0 ? -errno : result;
}

static int pyrun_unshare(int flags)
{
    return unshare(flags) < 0 ? -errno : 0;
}

static int pyrun_setns(int fd, int kind)
{
    return setns(fd, kind) < 0 ? -errno : 0;
}

static int pyrun_landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* ..._CREATE_RULESET_VERSION */);
    return abi < 0 ? -errno : (int)abi;
}

/* The flags are looked at first, and then the filter, which is not there: EFAULT. */
static int pyrun_seccomp_takes(unsigned flags)
{
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, NULL) < 0 && errno == EFAULT;
}

static int pyrun_prlimit(int pid, int resource, uint64_t soft, uint64_t hard)
{
    struct rlimit64 limit = {soft, hard};
    return prlimit64(pid, resource, &limit, NULL) < 0 ? -errno : 0;
}

/* A session keyring of our own, with the permissions that the executor's has, for this user and
 * group (-1: ours): keyctl(2). */
static int pyrun_join_session_keyring(const char *name, unsigned uid, unsigned gid)
{
    long key = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name);
    if (key < 0 || syscall(SYS_keyctl, KEYCTL_SETPERM, key, SEARCHED_KEYRING) < 0 ||
        syscall(SYS_keyctl, KEYCTL_CHOWN, key, uid, gid) < 0)
        return -errno;
    return 0;
}
