/* SPDX-License-Identifier: Apache-2.0 */
/* The model's calls that are neither about its runtime nor about the status of a file. They stand
 * in the place of the C library's: tests/executor/model.py. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>

#include "model.h"

/* Calls that only succeed or fail, by what they take: descriptors, names, or neither. */
#define PLAIN(name, ...)                                                                           \
    int model_##name(__VA_ARGS__);                                                                 \
    int model_##name(__VA_ARGS__)                                                                  \
    {                                                                                              \
        return result();                                                                           \
    }
#define ON_FD(name, ...)                                                                           \
    int model_##name(int fd, ##__VA_ARGS__);                                                       \
    int model_##name(int fd, ##__VA_ARGS__)                                                        \
    {                                                                                              \
        return is_open(fd) ? result() : -1;                                                        \
    }
#define ON_NAME(name, ...)                                                                         \
    int model_##name(int fd, const char *path, ##__VA_ARGS__);                                     \
    int model_##name(int fd, const char *path, ##__VA_ARGS__)                                      \
    {                                                                                              \
        read_string(path);                                                                         \
        return is_folder(fd) ? result() : -1;                                                      \
    }
#define ON_PATH(name, ...)                                                                         \
    int model_##name(const char *path, ##__VA_ARGS__);                                             \
    int model_##name(const char *path, ##__VA_ARGS__)                                              \
    {                                                                                              \
        read_string(path);                                                                         \
        return result();                                                                           \
    }

#pragma clang diagnostic ignored "-Wunused-parameter"
#pragma clang diagnostic ignored "-Wgnu-zero-variadic-macro-arguments"
#pragma clang diagnostic ignored "-Wmissing-prototypes"
PLAIN(kill, pid_t pid, int number)
PLAIN(prctl, int option, ...)
PLAIN(setpgid, pid_t pid, pid_t group)
PLAIN(setsid, void)
ON_FD(fchdir)
ON_FD(fchmod, mode_t mode)
ON_FD(fchown, uid_t uid, gid_t gid)
ON_FD(ftruncate, off_t size)
ON_FD(setns, int kind)
ON_FD(fcntl, int command, ...)
ON_FD(futimens, const struct timespec times[2])
ON_NAME(faccessat, int mode, int flags)
ON_NAME(fchownat, uid_t uid, gid_t gid, int flags)
ON_NAME(mkdirat, mode_t mode)
ON_NAME(mknodat, mode_t mode, dev_t device)
ON_NAME(unlinkat, int flags)
ON_NAME(utimensat, const struct timespec times[2], int flags)
ON_PATH(chdir)
ON_PATH(chroot)

/* There are only so many mounts at a place. */
int model_umount2(const char *path, int flags)
{
    read_string(path);
    errno = EINVAL;
    return ++model.unmounts > 64 ? -1 : result();
}

int model_sethostname(const char *name, size_t size)
{
    touch(name, size);
    return result();
}

int model_setdomainname(const char *name, size_t size)
{
    touch(name, size);
    return result();
}

int model_symlinkat(const char *target, int fd, const char *name)
{
    read_string(target);
    read_string(name);
    return is_folder(fd) ? result() : -1;
}

int model_linkat(int from, const char *old, int to, const char *name, int flags)
{
    read_string(old);
    read_string(name);
    return is_folder(from) && is_folder(to) ? result() : -1;
}

int model_fsetxattr(int fd, const char *name, const void *value, size_t size, int flags)
{
    read_string(name);
    touch(value, size);
    return is_open(fd) ? result() : -1;
}

/* These do not fail: no answer is spent on them. */
int model_sigaction(int number, const void *action, void *old)
{
    return 0;
}

int model_sigprocmask(int how, const void *set, void *old)
{
    return 0;
}

mode_t model_umask(mode_t mode)
{
    return 022;
}

pid_t model_getpid(void)
{
    return 1 + model_byte();
}

uid_t model_geteuid(void)
{
    return 0;
}

gid_t model_getegid(void)
{
    return 0;
}

int model_clock_gettime(clockid_t clock, struct timespec *now)
{
    *now = (struct timespec){++model.clock, 0};
    return 0;
}

enum what model_what(const char *path, int flags)
{
    const size_t length = strlen(path);
    if (length >= 4 && strcmp(path + length - 4, "null") == 0)
        return NULL_DEVICE;
    return flags & O_DIRECTORY ? FOLDER : FILE_THERE;
}

int model_openat(int fd, const char *path, int flags, ...)
{
    read_string(path);
    return is_folder(fd) ? give(model_what(path, flags), flags & O_CLOEXEC) : -1;
}

int model_open(const char *path, int flags, ...)
{
    return model_openat(AT_FDCWD, path, flags);
}

int model_pipe2(int pair[2], int flags)
{
    if ((pair[0] = give(PIPE, flags & O_CLOEXEC)) < 0)
        return -1;
    pair[1] = give(PIPE, 1);
    if (pair[1] >= 0)
        return 0;
    int number = errno;
    sweep((unsigned)pair[0], (unsigned)pair[0]);
    errno = number;
    return -1;
}

int model_socket(int family, int kind, int protocol)
{
    return give(OTHER, kind & SOCK_CLOEXEC);
}

int model_dup2(int from, int to)
{
    MODEL_HOLDS(to < 3 || model.child);
    return copy_to(from, to);
}

int model_dup3(int from, int to, int flags)
{
    MODEL_HOLDS(flags & O_CLOEXEC);
    return copy_to(from, to);
}

/* What a child says: the errno of a hook's exec, or what it has opened for us (fsopen_proc). */
static ssize_t from_child(void *bytes, size_t size)
{
    int said[2] = {1 + model_byte() % 100, 0};
    if (size == sizeof said) {
        said[0] = give(OTHER, 1);
        said[1] = said[0] < 0 ? errno : 0;
    }
    memcpy(bytes, said, size);
    return (ssize_t)size;
}

ssize_t model_pread(int fd, void *bytes, size_t size, off_t offset)
{
    if (!is_open(fd) || fails())
        return -1;
    size_t length = model_byte() + (what_of(fd) != PIPE); /* a pipe is at its end if nobody says */
    if (what_of(fd) == PIPE && (size == 8 || (size == 4 && length > 3)))
        return from_child(bytes, size);
    length = length < size ? length : size;
    put(bytes, length);
    return (ssize_t)length;
}

ssize_t model_read(int fd, void *bytes, size_t size)
{
    return model_pread(fd, bytes, size, 0);
}

ssize_t model_readlinkat(int fd, const char *path, char *text, size_t size)
{
    read_string(path);
    if (!is_folder(fd) || fails())
        return -1;
    size_t length = model_byte() == 0xFF ? size : model_byte();
    length = length < size ? length : size;
    memset(text, 'x', length);
    put(text, length < 8 ? length : 8);
    return (ssize_t)length;
}

ssize_t model_fgetxattr(int fd, const char *name, void *value, size_t size)
{
    read_string(name);
    if (!is_open(fd) || fails())
        return -1;
    size_t length = model_byte();
    length = length < size ? length : size;
    put(value, length);
    return (ssize_t)length;
}

ssize_t model_flistxattr(int fd, char *names, size_t size)
{
    static const char known[] = "user.a\0security.selinux\0security.capability";
    if (!is_open(fd) || fails())
        return -1;
    if (!(model_byte() & 1))
        return 0;
    memcpy(names, known, sizeof known);
    return sizeof known;
}

off_t model_lseek(int fd, off_t at, int whence)
{
    if (!is_open(fd) || fails())
        return -1;
    return whence == SEEK_HOLE ? at + 1 + model_byte() : at;
}

ssize_t model_sendfile(int to, int from, off_t *at, size_t count)
{
    if (!is_open(to) || !is_open(from) || fails())
        return -1;
    count = model_byte() & 1 ? count / 2 : count;
    *at += (off_t)count;
    return (ssize_t)count;
}

int model_poll(struct pollfd *wait, nfds_t count, int timeout)
{
    if (fails())
        return -1;
    const uint8_t ready = model_byte();
    for (nfds_t i = 0; i < count; i++)
        wait[i].revents = !ready || ready >> i & 1 ? wait[i].events : 0;
    return 1;
}

/* This is the parent of a hook, and its sibling, if the input says nothing else. */
pid_t model_forked(int hook)
{
    if (fails())
        return -1;
    if ((model_byte() & 1) == !hook)
        return 77;
    model.child |= hook;
    return 0;
}

pid_t model_fork(void)
{
    return model_forked(1);
}

pid_t model_waitpid(pid_t pid, int *status, int flags)
{
    if (fails())
        return -1;
    if (status)
        *status = model_byte();
    return pid;
}

int model_ioctl(int fd, unsigned long request, ...)
{
    va_list more;
    va_start(more, request);
    void *argument = va_arg(more, void *);
    va_end(more);
    if (!is_open(fd))
        return -1;
    if (request == TIOCGPTPEER)
        return give(OTHER, (int)(uintptr_t)argument & O_CLOEXEC);
    if (request == SIOCGIFFLAGS)
        put(&((struct ifreq *)argument)->ifr_flags, sizeof(short));
    if (request == SIOCSIFFLAGS)
        touch(argument, sizeof(struct ifreq));
    if (request == TIOCSWINSZ)
        touch(argument, sizeof(struct winsize));
    return result();
}
