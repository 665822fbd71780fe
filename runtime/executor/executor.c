/* SPDX-License-Identifier: Apache-2.0 */
/* The executor: takes a plan from the runtime and carries it out, one operation after the other.
 *
 *   executor SOCKET FIRST        SOCKET: the runtime's, FIRST: descriptors from here on are not
 *                                meant for the container
 *
 * It is a static program run from a sealed memfd, so that /proc/self/exe in the container leads to
 * nothing that exists on the host (CVE-2019-5736). It decides nothing and writes no text. */
#include "executor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "evidence.h"

#define MESSAGE_MAX_FDS 253 /* SCM_MAX_FD of the kernel */

int slot[PLAN_SLOTS];
int fail_detail;
int report_fd = -1;

volatile uint64_t *op_times;
static size_t op_times_size;

static int runtime_fd = -1;

int fill(uint64_t out, int fd)
{
    if (fd < 0)
        return -1;
    if (slot[out] >= 0)
        close(slot[out]);
    slot[out] = fd;
    return 0;
}

/* The container's filter may refuse even this; a C library's _exit would try for ever. */
static void quit(void)
{
    syscall(SYS_exit_group, 127);
    __builtin_trap();
}

int tell(enum message_kind kind, int a, int b, int c, int fd)
{
    struct message message = {kind, {a, b, c}};
    /* Without a descriptor by the plainest call there is: a seccomp agent may be listening. */
    if (fd < 0)
        return write(runtime_fd, &message, sizeof message) == (ssize_t)sizeof message ? 0 : -1;
    struct iovec data = {&message, sizeof message};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr packet = {.msg_iov = &data,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    return sendmsg(runtime_fd, &packet, MSG_NOSIGNAL) == (ssize_t)sizeof message ? 0 : -1;
}

/* The next message; its descriptors go to `fds`, of which there is room for MESSAGE_MAX_FDS.
 * The runtime's death ends us. Returns the number of descriptors, -1 where there is no memory for
 * them: who can be told of that is told. */
static int hear(struct message *message, int *fds)
{
    struct iovec data = {message, sizeof *message};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(MESSAGE_MAX_FDS * sizeof(int))];
    } control;
    struct msghdr packet = {.msg_iov = &data,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};
    ssize_t size;
    /* Twice, if it fails: what was sent stays there, and after its last word nobody can be told. */
    int tries = 2;
    do
        size = recvmsg(runtime_fd, &packet, MSG_CMSG_CLOEXEC);
    while (size < 0 && (errno == EINTR || (errno != ECONNRESET && --tries)));
    if (size < 0 && errno != ECONNRESET)
        return -1;
    if (size != (ssize_t)sizeof *message || (packet.msg_flags & MSG_CTRUNC))
        quit();
    struct cmsghdr *header = CMSG_FIRSTHDR(&packet);
    if (!header)
        return 0;
    size_t length = header->cmsg_len - CMSG_LEN(0);
    memcpy(fds, CMSG_DATA(header), length);
    return (int)(length / sizeof(int));
}

int wait_go(uint64_t *out)
{
    struct message message;
    int fds[MESSAGE_MAX_FDS];
    int count = hear(&message, fds);
    if (count < 0)
        return -1;
    if (message.kind != MESSAGE_GO || count != (out ? 1 : 0))
        quit();
    return out ? fill(*out, fds[0]) : 0;
}

int op_sync(const uint64_t *arg)
{
    return tell(MESSAGE_SYNC, (int)arg[0], 0, 0, -1) < 0 ? -1 : wait_go(NULL);
}

int op_sync_receive(const uint64_t *arg)
{
    uint64_t out = arg[1];
    return tell(MESSAGE_SYNC, (int)arg[0], 0, 0, -1) < 0 ? -1 : wait_go(&out);
}

int op_sync_send(const uint64_t *arg)
{
    return tell(MESSAGE_SYNC, (int)arg[0], 0, 0, slot[arg[1]]) < 0 ? -1 : wait_go(NULL);
}

int op_report_to(const uint64_t *arg)
{
    report_fd = slot[arg[0]];
    close(runtime_fd);
    runtime_fd = -1;
    return 0;
}

int op_wait_start(const uint64_t *arg)
{
    char byte;
    ssize_t size;
    do
        size = read(slot[arg[0]], &byte, 1);
    while (size < 0 && errno == EINTR);
    return size == 1 ? 0 : -1;
}

/* The parent of the sibling is our parent, which gets its pid from us and its end from the kernel.
 * The death signal is not inherited. */
int op_fork_init(const uint64_t *arg)
{
    struct clone_args args = {.flags = arg[0] | CLONE_PARENT};
    long pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid < 0)
        return -1;
    if (pid > 0) {
        if (tell(MESSAGE_CHILD, (int)pid, 0, 0, -1) < 0)
            kill((pid_t)pid, SIGKILL);
        _exit(0);
    }
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return -1;
    return wait_go(NULL);
}

static void note_time(size_t index)
{
    struct timespec now;
    if (!op_times || index >= op_times_size)
        return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    op_times[index] = (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* What can't be mapped is not noted. */
static void open_times(int fd)
{
    struct stat status;
    if (fstat(fd, &status) == 0 && status.st_size > 0) {
        size_t size = (size_t)status.st_size;
        void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map != MAP_FAILED) {
            op_times = map;
            op_times_size = size / sizeof *op_times;
        }
    }
    close(fd);
    note_time(0);
}

static int deliver(const void *bytes, size_t size)
{
    return write(runtime_fd >= 0 ? runtime_fd : report_fd, bytes, size) == (ssize_t)size ? 0 : -1;
}

/* The report first: gathering what explains it may end us. Both are taken whole. */
static void fail(const struct plan_op *op, uint32_t index, int number)
{
    const struct message message = {MESSAGE_FAILED, {(int)index, number, fail_detail}};
    const char *bytes;
    note_time(index + 1U);
    if (deliver(&message, sizeof message) < 0 || !op)
        quit();
    const size_t size = evidence(op, &bytes);
    if (size)
        (void)deliver(bytes, size);
    quit();
}

/* Takes the donated descriptors and the plan; `count` operations are at the result. */
static const struct plan_op *receive(uint32_t *count)
{
    struct message message;
    int fds[MESSAGE_MAX_FDS];
    uint32_t donated = 0;
    for (int i = 0; i < PLAN_SLOTS; i++)
        slot[i] = -1;
    int n = hear(&message, fds);
    if (n == 1 && message.kind == MESSAGE_TIMES) {
        open_times(fds[0]);
        n = hear(&message, fds);
    }
    for (; n >= 0 && message.kind == MESSAGE_FDS; n = hear(&message, fds))
        for (int i = 0; i < n; i++, donated++) {
            if (donated >= PLAN_SLOTS)
                quit();
            slot[donated] = fds[i];
        }
    if (n < 0)
        fail(NULL, UINT32_MAX, errno);
    struct stat status;
    if (message.kind != MESSAGE_PLAN || n != 1)
        quit();
    if (fstat(fds[0], &status) < 0)
        fail(NULL, UINT32_MAX, errno);
    size_t size = (size_t)status.st_size;
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fds[0], 0);
    close(fds[0]);
    const struct plan_op *ops = map == MAP_FAILED ? NULL : plan_check(map, size);
    const struct plan_header *header = map;
    if (!ops || header->donated != donated)
        fail(NULL, UINT32_MAX, EINVAL);
    *count = header->count;
    return ops;
}

/* In ps we are what our first argument begins with: "pyrun:init ID", "pyrun:exec ID". */
static void take_name(const char *title)
{
    char name[16] = "";
    for (size_t i = 0; i < sizeof name - 1 && title[i] && title[i] != ' '; i++)
        name[i] = title[i];
    prctl(PR_SET_NAME, name);
}

/* Signals that the runtime, or its caller, ignored or blocked are not ignored by the container. */
static void reset_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (int number = 1; number < NSIG; number++)
        sigaction(number, &action, NULL); /* fails for SIGKILL, SIGSTOP and glibc's own two */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

int main(int argc, char **argv)
{
    static int (*const run[])(const uint64_t *) = {
#define OP(name, operands) op_##name,
        OPS(OP)
#undef OP
    };
    if (argc != 3)
        quit();
    runtime_fd = (int)strtol(argv[1], NULL, 10);
    unsigned first = (unsigned)strtol(argv[2], NULL, 10);
    /* The first act: only descriptors that somebody meant for us stay (CVE-2024-21626). */
    if (runtime_fd < (int)first)
        quit();
    if ((runtime_fd > (int)first && close_fds(first, (unsigned)runtime_fd - 1) < 0) ||
        close_fds((unsigned)runtime_fd + 1, ~0U) < 0)
        fail(NULL, UINT32_MAX, errno);
    fcntl(runtime_fd, F_SETFD, FD_CLOEXEC);
    report_fd = runtime_fd;
    reset_signals();
    umask(0);
    take_name(argv[0]);
    /* If the runtime is dead by now, the first recvmsg sees the end of file. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    uint32_t count = 0;
    const struct plan_op *ops = receive(&count);
    for (uint32_t i = 0; i < count; i++) {
        const struct plan_op op = plan_resolve(ops, count, i);
        if (run[op.code](op.arg) < 0 && errno != (int)op.tolerate)
            fail(&op, i, errno);
        if (op_times)
            note_time(i + 1U);
    }
    quit();
}
