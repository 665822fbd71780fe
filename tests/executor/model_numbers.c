/* SPDX-License-Identifier: Apache-2.0 */
/* The model's calls that the executor makes by their numbers: syscall(2). */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <linux/stat.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "model.h"

long model_syscall(long number, ...);

static long openat2(int fd, const char *path, const struct open_how *how)
{
    read_string(path);
    touch(how, sizeof *how);
    /* A path below a folder never leads out of it, whatever the links there say. */
    MODEL_HOLDS(fd == AT_FDCWD || how->resolve & (RESOLVE_IN_ROOT | RESOLVE_BENEATH));
    if (!is_folder(fd))
        return -1;
    enum what what = model_what(path, (int)how->flags);
    if (how->resolve & RESOLVE_NO_XDEV)
        what = strcmp(path, "ptmx") == 0 ? PTMX : PROC;
    return give(what, how->flags & O_CLOEXEC);
}

static long getdents(int fd, char *buffer, size_t size)
{
    long used = 0;
    if (!is_open(fd) || fails())
        return -1;
    for (uint8_t left = model_byte() % 4; left; left--) {
        const char *name = (const char *[]){".", "..", "a", "file"}[model_byte() % 4];
        const uint16_t length = 32;
        memset(buffer + used, 0, length);
        memcpy(buffer + used + 16, &length, sizeof length);
        memcpy(buffer + used + 19, name, strlen(name) + 1);
        used += length;
    }
    return used;
}

static long keyctl(long what, long key, char *text, size_t size)
{
    if (what == KEYCTL_JOIN_SESSION_KEYRING)
        read_string((const char *)key);
    if (what != KEYCTL_DESCRIBE)
        return fails() ? -1 : 5;
    if (fails())
        return -1;
    static const char *const known[] = {"keyring;0;0;3f130000;_ses", "keyring", ";;", "a;b;c;zz"};
    const char *chosen = known[model_byte() % 4];
    memcpy(text, chosen, strlen(chosen) + 1);
    return model_byte() == 0xFF ? (long)size + 1 : (long)strlen(chosen) + 1;
}

static long seccomp(unsigned long flags, const struct sock_fprog *program)
{
    touch(program->filter, program->len * sizeof *program->filter);
    return flags & SECCOMP_FILTER_FLAG_NEW_LISTENER ? give(OTHER, 1) : result();
}

static long fsconfig(int fd, long command, const char *key, const char *value, long other)
{
    read_string(key);
    if (command == FSCONFIG_SET_STRING)
        read_string(value);
    if (command == FSCONFIG_SET_FD && !is_open((int)other))
        return -1;
    return is_open(fd) ? result() : -1;
}

static long getcwd_into(char *path, size_t size)
{
    const char *chosen = model_byte() & 1 ? "(unreachable)/x" : "/";
    if (fails())
        return -1;
    memcpy(path, chosen, strlen(chosen) + 1);
    return (long)strlen(chosen) + 1;
}

static long on_memory(long number, const long *a)
{
    const size_t gids = (size_t)a[0] * 4;
    switch (number) {
    case SYS_capset:
        touch((const void *)a[0], 8);
        touch((const void *)a[1], 24);
        break;
    case SYS_prlimit64:
        touch((const void *)a[2], 16);
        break;
    case SYS_setgroups:
        touch((const void *)a[1], gids);
        break;
    case SYS_sched_setaffinity:
        touch((const void *)a[2], (size_t)a[1]);
        break;
    case SYS_sched_setattr:
        touch((const void *)a[1], 56);
        break;
    case SYS_set_mempolicy: /* a bit less than it is told */
        touch((const void *)a[1], ((size_t)a[2] - 1) / 8);
        break;
    case SYS_statx:
        put((void *)a[4], sizeof(struct statx));
        return is_open((int)a[0]) ? result() : -1;
    default: /* of the others only the result matters: _exit, unshare, personality … */
        break;
    }
    return result();
}

static long on_mounts(long number, const long *a)
{
    switch (number) {
    case SYS_open_tree:
        MODEL_HOLDS(a[2] & OPEN_TREE_CLONE);
        read_string((const char *)a[1]);
        return is_folder((int)a[0]) ? give(OTHER, a[2] & OPEN_TREE_CLOEXEC) : -1;
    case SYS_fsopen:
        read_string((const char *)a[0]);
        return give(OTHER, a[1] & FSOPEN_CLOEXEC);
    case SYS_fspick:
        return is_open((int)a[0]) ? give(OTHER, a[2] & FSPICK_CLOEXEC) : -1;
    case SYS_fsmount:
        return is_open((int)a[0]) ? give(OTHER, a[1] & FSMOUNT_CLOEXEC) : -1;
    case SYS_fsconfig:
        return fsconfig((int)a[0], a[1], (const char *)a[2], (const char *)a[3], a[4]);
    case SYS_mount_setattr:
        touch((const void *)a[3], (size_t)a[4]);
        return is_open((int)a[0]) ? result() : -1;
    case SYS_move_mount:
        return is_open((int)a[0]) && is_open((int)a[2]) ? result() : -1;
    case SYS_landlock_create_ruleset:
        touch((const void *)a[0], (size_t)a[1]);
        return give(OTHER, 1);
    case SYS_landlock_add_rule:
        touch((const void *)a[2], a[1] == 1 ? 12 : 16);
        return is_open((int)a[0]) ? result() : -1;
    default:
        return on_memory(number, a);
    }
}

long model_syscall(long number, ...)
{
    long a[5]; /* none of the executor's calls has a sixth: it would not be in a register */
    va_list more;
    va_start(more, number);
    for (int i = 0; i < 5; i++)
        a[i] = va_arg(more, long);
    va_end(more);
    switch (number) {
    case SYS_exit_group:
        quit_model();
        return -1;
    case SYS_close_range:
        return sweep((unsigned)a[0], (unsigned)a[1]);
    case SYS_openat2:
        return openat2((int)a[0], (const char *)a[1], (const struct open_how *)a[2]);
    case SYS_clone:
        return model_forked(1);
    case SYS_clone3:
        touch((const void *)a[0], (size_t)a[1]);
        return model_forked(0);
    case SYS_pidfd_open:
        return give(OTHER, 1);
    case SYS_getcwd:
        return getcwd_into((char *)a[0], (size_t)a[1]);
    case SYS_getdents64:
        return getdents((int)a[0], (char *)a[1], (size_t)a[2]);
    case SYS_keyctl:
        return keyctl(a[0], a[1], (char *)a[2], (size_t)a[3]);
    case SYS_seccomp:
        return seccomp((unsigned long)a[1], (const struct sock_fprog *)a[2]);
    default:
        return on_mounts(number, a);
    }
}
