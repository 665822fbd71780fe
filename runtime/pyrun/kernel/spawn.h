/* SPDX-License-Identifier: Apache-2.0 */
/* Starting the executor: for the extension module (linux.c) and the launcher (child.c). */
#ifndef PYRUN_SPAWN_H
#define PYRUN_SPAWN_H

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_STACK (64 << 10)

struct spawned {
    int executable;
    char **argv;
    int socket;
    uint64_t flags;
    int error;
};

/* A program started in a user namespace that has no id maps yet is nobody's, and execve(2) would
 * take its capabilities away. Ambient ones stay: capabilities(7). */
static inline int keep_capabilities(void)
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

/* Runs in the memory of who starts it, which stands still meanwhile: no Python, no malloc. */
static inline int become_executor(void *argument)
{
    struct spawned *child = argument;
    char *none[] = {NULL};
    if ((child->flags & CLONE_NEWUSER && keep_capabilities() < 0) ||
        fcntl(child->socket, F_SETFD, 0) < 0 ||
        syscall(SYS_execveat, child->executable, "", child->argv, none, AT_EMPTY_PATH) < 0)
        child->error = errno;
    return 127;
}

/* clone3(2) that goes on in `function` on the new stack. Sharing the memory (CLONE_VM) saves the
 * copy of an interpreter's page tables, which would cost more than everything else here; and what
 * the child would copy and touch of them is charged to its cgroup, which may be a small one. */
#if defined(__x86_64__)
static inline long clone_on_stack(struct clone_args *args, int (*function)(void *), void *argument)
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
static inline long clone_on_stack(struct clone_args *args, int (*function)(void *), void *argument)
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
static inline long clone_on_stack(struct clone_args *args, int (*function)(void *), void *argument)
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
static inline int pyrun_spawn(int executable, char **argv, int socket, uint64_t flags, int cgroup,
                              int *pidfd)
{
    struct spawned child = {executable, argv, socket, flags, 0};
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

#endif
