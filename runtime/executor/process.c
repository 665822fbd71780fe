/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on the process itself: namespaces, terminal, identity, and the user's program. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "executor.h"
#include "paths.h"

#define DEVPTS_PTMX_INODE 2
/* For what should be a file, but may be a FIFO or a terminal that the image put there. */
#define FOREIGN (O_NONBLOCK | O_NOCTTY)
#define KEY_USER_SEARCH 0x00080000U /* KEY_USR_SEARCH: the container's user may look into it */

static char home[PATH_MAX + 6];
static char listen_pid[sizeof "LISTEN_PID=2147483647"];
const char *executable;

int op_setns(const uint64_t *arg)
{
    return setns(slot[arg[0]], (int)arg[1]);
}

int op_unshare(const uint64_t *arg)
{
    /* by number: glibc's unshare takes an int, and CLONE_NEWTIME is not all that may come */
    return (int)syscall(SYS_unshare, arg[0]);
}

int op_loopback_up(const uint64_t *arg)
{
    (void)arg;
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int result = ioctl(fd, SIOCGIFFLAGS, &request);
    request.ifr_flags |= IFF_UP;
    if (result == 0)
        result = ioctl(fd, SIOCSIFFLAGS, &request);
    return closing(fd, result);
}

int op_join_session_keyring(const uint64_t *arg)
{
    long key = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, str(arg[0]));
    if (key < 0)
        return -1;
    /* "…;uid;gid;permissions;name" in hexadecimal: keyctl_describe(3). A keyring that we may not
     * describe is as usable without this. */
    char text[256];
    long size = syscall(SYS_keyctl, KEYCTL_DESCRIBE, key, text, sizeof text);
    if (size <= 0 || size > (long)sizeof text)
        return 0;
    const char *field = text;
    for (int i = 0; i < 3 && field; i++)
        field = strchr(field, ';') ? strchr(field, ';') + 1 : NULL;
    if (!field)
        return 0;
    unsigned long permissions = strtoul(field, NULL, 16) | KEY_USER_SEARCH;
    return (int)syscall(SYS_keyctl, KEYCTL_SETPERM, key, permissions);
}

int op_open_pty(const uint64_t *arg)
{
    struct statfs fs;
    struct stat status;
    int unlock = 0;
    int fd = open_at(slot[arg[0]], "ptmx", O_RDWR | O_NOCTTY,
                     RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS);
    if (fill(arg[1], fd) < 0)
        return -1;
    if (fstatfs(fd, &fs) < 0 || fstat(fd, &status) < 0)
        return -1;
    if (fs.f_type != DEVPTS_SUPER_MAGIC || status.st_ino != DEVPTS_PTMX_INODE ||
        !S_ISCHR(status.st_mode) || status.st_rdev != makedev(5, 2)) {
        errno = ENOTTY;
        return -1;
    }
    if (ioctl(fd, TIOCSPTLCK, &unlock) < 0)
        return -1;
    return fill(arg[2], ioctl(fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
}

int op_set_window_size(const uint64_t *arg)
{
    struct winsize size = {.ws_row = (unsigned short)arg[1], .ws_col = (unsigned short)arg[2]};
    return ioctl(slot[arg[0]], TIOCSWINSZ, &size);
}

int op_take_terminal(const uint64_t *arg)
{
    int fd = slot[arg[0]];
    if (ioctl(fd, TIOCSCTTY, 0) < 0)
        return -1;
    for (int i = 0; i < 3; i++)
        if (dup2(fd, i) < 0)
            return -1;
    return 0;
}

static int is_null(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3);
}

/* Best effort by the operation's own meaning: a stream on a read-only file system, or one whose
 * owner is outside the user namespace, stays as it is. */
int op_chown_stdio(const uint64_t *arg)
{
    for (int fd = 0; fd < 3; fd++) {
        struct stat status;
        if (fstat(fd, &status) < 0 || S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode))
            continue;
        if (fchown(fd, (uid_t)arg[0], (gid_t)-1) < 0 && errno != EPERM && errno != EROFS &&
            errno != EINVAL)
            return -1;
    }
    return 0;
}

int op_chown_terminal(const uint64_t *arg)
{
    return fchown(slot[arg[0]], (uid_t)arg[1], (gid_t)-1);
}

int op_reopen_null(const uint64_t *arg)
{
    for (int fd = 0; fd < 3; fd++) {
        if (!is_null(fd))
            continue;
        int own = open_below(slot[arg[0]], "/dev/null", FOREIGN | O_RDWR | O_NOFOLLOW, 0);
        if (own < 0)
            return 0; /* a container without one keeps the host's */
        if (is_null(own) && (fcntl(own, F_SETFL, 0) < 0 || dup2(own, fd) < 0))
            return -1;
        close(own);
    }
    return 0;
}

int op_sethostname(const uint64_t *arg)
{
    return sethostname(str(arg[0]), strlen(str(arg[0])));
}

int op_setdomainname(const uint64_t *arg)
{
    return setdomainname(str(arg[0]), strlen(str(arg[0])));
}

int op_prctl(const uint64_t *arg)
{
    return prctl((int)arg[0], arg[1], 0, 0, 0);
}

int op_setsid(const uint64_t *arg)
{
    (void)arg;
    return setsid() < 0 ? -1 : 0;
}

int op_umask(const uint64_t *arg)
{
    umask((mode_t)arg[0]);
    return 0;
}

int op_drop_bounding(const uint64_t *arg)
{
    for (unsigned capability = 0; capability < 64; capability++) {
        if (arg[0] >> capability & 1)
            continue;
        int held = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
        if (held < 0) /* EINVAL: beyond the last one of this kernel */
            return errno == EINVAL ? 0 : -1;
        if (held > 0 && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
            return -1;
    }
    return 0;
}

/* The system calls themselves: glibc's wrappers serve threads, which we don't have. */
int op_setgroups(const uint64_t *arg)
{
    const uint64_t *gids = block(arg[0]);
    return (int)syscall(SYS_setgroups, gids[0] / sizeof(gid_t), gids + 1);
}

int op_setresgid(const uint64_t *arg)
{
    return (int)syscall(SYS_setresgid, arg[0], arg[0], arg[0]);
}

int op_setresuid(const uint64_t *arg)
{
    return (int)syscall(SYS_setresuid, arg[0], arg[0], arg[0]);
}

int op_capset(const uint64_t *arg)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    for (unsigned i = 0; i < 2; i++) {
        data[i].effective = (uint32_t)(arg[0] >> 32 * i);
        data[i].permitted = (uint32_t)(arg[1] >> 32 * i);
        data[i].inheritable = (uint32_t)(arg[2] >> 32 * i);
    }
    return (int)syscall(SYS_capset, &header, data);
}

int op_set_ambient(const uint64_t *arg)
{
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return -1;
    for (unsigned capability = 0; capability < 64; capability++)
        if (arg[0] >> capability & 1 &&
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) < 0)
            return -1;
    return 0;
}

int op_open_cwd(const uint64_t *arg)
{
    int fd = open_at(AT_FDCWD, str(arg[0]), O_PATH | O_DIRECTORY, RESOLVE_NO_MAGICLINKS);
    /* At once: fchdir asks for the right to search it, which the user may lack. */
    if (fd >= 0 && fchdir(fd) < 0)
        return closing(fd, -1);
    return fill(arg[1], fd);
}

int op_enter_cwd(const uint64_t *arg)
{
    char path[PATH_MAX];
    if (slot[arg[1]] < 0 && op_open_cwd(arg) < 0)
        return -1;
    /* The system call: glibc's getcwd would search upwards for a name. A directory that is not
     * below our root is "(unreachable)/…". */
    if (syscall(SYS_getcwd, path, sizeof path) < 0)
        return -1;
    if (path[0] == '/')
        return 0;
    errno = ENOENT;
    return -1;
}

/* The home of `uid` in "name:password:uid:gid:gecos:home:shell", or NULL. */
static const char *home_in(char *line, unsigned long uid)
{
    char *field = line;
    for (int i = 0; i < 5; i++) {
        char *end = strchr(field, ':');
        if (!end)
            return NULL;
        *end = 0;
        if (i == 2) {
            char *rest;
            unsigned long number = strtoul(field, &rest, 10);
            if (rest == field || *rest || number != uid)
                return NULL;
        }
        field = end + 1;
    }
    field[strcspn(field, ":\n")] = 0;
    return *field ? field : NULL;
}

int op_find_home(const uint64_t *arg)
{
    static char buffer[1 << 16]; /* users of a container beyond this live in "/" */
    memcpy(home, "HOME=/", sizeof "HOME=/");
    /* By the root of the process, which is the container's. Not RESOLVE_IN_ROOT: with AT_FDCWD,
     * that would be the working directory. */
    int fd = open_at(AT_FDCWD, "/etc/passwd", FOREIGN | O_RDONLY, RESOLVE_NO_MAGICLINKS);
    if (fd < 0)
        return 0;
    ssize_t size = read(fd, buffer, sizeof buffer - 1);
    close(fd);
    if (size <= 0)
        return 0;
    buffer[size] = 0;
    for (char *line = buffer, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        const char *found = home_in(line, arg[0]);
        if (found && strlen(found) < PATH_MAX) {
            memcpy(home + 5, found, strlen(found) + 1);
            break;
        }
    }
    return 0;
}

int op_find_pid(const uint64_t *arg)
{
    (void)arg;
    char digits[12];
    char *first = digits + sizeof digits;
    *--first = 0;
    for (pid_t rest = getpid(); rest > 0; rest /= 10)
        *--first = (char)('0' + rest % 10);
    memcpy(listen_pid, "LISTEN_PID=", sizeof "LISTEN_PID=");
    memcpy(listen_pid + strlen(listen_pid), first, strlen(first) + 1);
    return 0;
}

int op_find_executable(const uint64_t *arg)
{
    int best = ENOENT;
    for (char **path = list(arg[0]); *path; path++) {
        struct stat status;
        if (stat(*path, &status) < 0) {
            if (errno == EACCES)
                best = EACCES;
            continue;
        }
        if (S_ISREG(status.st_mode) && faccessat(AT_FDCWD, *path, X_OK, AT_EACCESS) == 0) {
            executable = *path;
            return 0;
        }
        best = EACCES;
    }
    errno = best;
    return -1;
}

/* Returns what seccomp(2) does: with SECCOMP_FILTER_FLAG_NEW_LISTENER, a descriptor. */
static int load_filter(uint64_t flags, const uint64_t *program)
{
    if (program[0] / sizeof(struct sock_filter) > BPF_MAXINSNS) {
        errno = EINVAL; /* the length has 16 bits: a longer program would be cut short */
        return -1;
    }
    struct sock_fprog filter = {
        .len = (unsigned short)(program[0] / sizeof(struct sock_filter)),
        .filter = (struct sock_filter *)(uintptr_t)(program + 1),
    };
    op_times = NULL; /* to ask for the time may take a system call, and the filter end us for it */
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
}

int op_seccomp(const uint64_t *arg)
{
    return load_filter(arg[0], block(arg[1]));
}

int op_seccomp_listen(const uint64_t *arg)
{
    int listener = load_filter(arg[0], block(arg[1]));
    /* By its number: to send it takes a call that a filter may well hand to the agent, which has
     * nothing to hear it with before the runtime has fetched this. */
    if (listener < 0 || tell(MESSAGE_SYNC, (int)arg[2], listener, 0, -1) < 0 || wait_go(NULL) < 0)
        return -1;
    /* While we hold one ourselves, calls would wait for an agent that is gone. */
    return close(listener);
}

int op_close_others(const uint64_t *arg)
{
    unsigned first = (unsigned)arg[0];
    if (report_fd > (int)first && close_fds(first, (unsigned)report_fd - 1) < 0)
        return -1;
    return close_fds((unsigned)report_fd + 1, ~0U);
}

int op_execve(const uint64_t *arg)
{
    char **env = list(arg[1]);
    for (char **entry = env; *entry; entry++)
        if (home[0] && strcmp(*entry, "HOME=") == 0)
            *entry = home;
        else if (listen_pid[0] && strcmp(*entry, "LISTEN_PID=") == 0)
            *entry = listen_pid;
    return execve(executable, list(arg[0]), env);
}
