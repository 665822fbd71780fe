/* SPDX-License-Identifier: Apache-2.0 */
/* Each function returns what the system call gives, or -errno: errno itself is not safe to read
 * from Python after the call. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_STACK (64 << 10)
#define SEARCHED_KEYRING 0x3f1b0000L /* all to who has it; user: view, read, search, link */

struct child {
    int executable;
    char **argv;
    int socket;
    uint64_t flags;
    int error;
};

/* A program started in a user namespace that has no id maps yet is nobody's, and execve(2) would
 * take its capabilities away. Ambient ones stay: capabilities(7). */
static int keep_capabilities(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) < 0)
        return -1;
    for (int i = 0; i < 2; i++)
        data[i].inheritable = data[i].permitted;
    if (syscall(SYS_capset, &header, data) < 0)
        return -1;
    for (int i = 0; i < 64; i++)
        if (data[i / 32].permitted >> (i % 32) & 1 &&
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) < 0)
            return -1;
    return 0;
}

/* Runs in the memory of the interpreter, which stands still meanwhile: no Python, no malloc. */
static int become_executor(void *argument)
{
    struct child *child = argument;
    char *none[] = {NULL};
    if ((child->flags & CLONE_NEWUSER && keep_capabilities() < 0) ||
        fcntl(child->socket, F_SETFD, 0) < 0 ||
        syscall(SYS_execveat, child->executable, "", child->argv, none, AT_EMPTY_PATH) < 0)
        child->error = errno;
    return 127;
}

/* clone3(2) that goes on in `function` on the new stack. Sharing the memory (CLONE_VM) saves the
 * copy of the interpreter's page tables, which would cost more than everything else here. */
#if defined(__x86_64__)
static long clone_on_stack(struct clone_args *args, int (*function)(void *), void *argument)
{
    long result;
    register int (*call)(void *) __asm__("r12") = function;
    register void *with __asm__("r13") = argument;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "mov %%r13, %%rdi\n\t"
                     "call *%%r12\n\t"
                     "mov %%eax, %%edi\n\t"
                     "mov %[quit], %%eax\n\t"
                     "syscall\n"
                     "1:"
                     : "=a"(result)
                     : "0"((long)SYS_clone3), "D"(args), "S"(sizeof *args), "r"(call),
                       "r"(with), [quit] "i"(SYS_exit)
                     : "rcx", "r11", "memory", "cc");
    return result;
}
#define SHARED (CLONE_VM | CLONE_VFORK)
#elif defined(__aarch64__)
static long clone_on_stack(struct clone_args *args, int (*function)(void *), void *argument)
{
    register long x0 __asm__("x0") = (long)args;
    register long x1 __asm__("x1") = (long)sizeof *args;
    register long x8 __asm__("x8") = SYS_clone3;
    register int (*call)(void *) __asm__("x20") = function;
    register void *with __asm__("x21") = argument;
    __asm__ volatile("svc #0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x29, xzr\n\t"
                     "mov x0, x21\n\t"
                     "blr x20\n\t"
                     "mov x8, %[quit]\n\t"
                     "svc #0\n"
                     "1:"
                     : "+r"(x0)
                     : "r"(x1), "r"(x8), "r"(call), "r"(with), [quit] "i"(SYS_exit)
                     : "memory", "cc", "x30");
    return x0;
}
#define SHARED (CLONE_VM | CLONE_VFORK)
#else
/* Elsewhere the child is a copy: slower, and an exec that fails is seen as end of file. */
static long clone_on_stack(struct clone_args *args, int (*function)(void *), void *argument)
{
    args->stack = 0;
    args->stack_size = 0;
    long result = syscall(SYS_clone3, args, sizeof *args);
    if (result == 0)
        _exit(function(argument));
    return result < 0 ? -errno : result;
}
#define SHARED 0
#endif

/* Starts the executor in new namespaces (CLONE_NEW* in `flags`) and, if `cgroup` is a descriptor,
 * in that cgroup. `socket` is the one descriptor it inherits close-on-exec or not. Returns its
 * pid, and its pidfd in *pidfd. */
static int pyrun_spawn(int executable, char **argv, int socket, uint64_t flags, int cgroup,
                       int *pidfd)
{
    struct child child = {executable, argv, socket, flags, 0};
    sigset_t all, before;
    /* Its page table is there before the child is: what the child makes is charged to its cgroup,
     * and where that is full, the kernel neither fails the access nor ends a process that shares
     * memory with one which waits for it in vfork (mm/oom_kill.c): it would try again for ever. */
    char *stack = mmap(NULL, CHILD_STACK, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_POPULATE, -1, 0);
    if (stack == MAP_FAILED)
        return -errno;
    struct clone_args args = {
        .flags = flags | SHARED | CLONE_PIDFD | (cgroup >= 0 ? CLONE_INTO_CGROUP : 0),
        .pidfd = (uint64_t)(uintptr_t)pidfd,
        .exit_signal = SIGCHLD,
        .stack = (uint64_t)(uintptr_t)stack,
        .stack_size = CHILD_STACK,
        .cgroup = (uint64_t)cgroup,
    };
    /* A handler of the interpreter must not run in the child, on its stack. */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    long pid = clone_on_stack(&args, become_executor, &child);
    sigprocmask(SIG_SETMASK, &before, NULL);
    munmap(stack, CHILD_STACK);
    if (pid > 0 && child.error) {
        waitpid((pid_t)pid, NULL, 0);
        close(*pidfd);
        return -child.error;
    }
    return (int)pid;
}

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
