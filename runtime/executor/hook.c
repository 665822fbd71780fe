/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks in the container's namespaces: a program, its result, and its end in time. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "executor.h"

#define TAIL 1024     /* bytes of a hook's output that are kept: the last ones */
#define PIPE_READS 64 /* so many fill a pipe */

static char output[2 * TAIL];
static size_t held;

/* In the child of run_hook; the errno of exec goes through a pipe that success closes. */
static void become_hook(const uint64_t *arg, int pipe, int report)
{
    const int state = slot[arg[2]];
    const int out = arg[5] == arg[3] ? pipe : slot[arg[5]];
    const int err = arg[6] == arg[3] ? pipe : slot[arg[6]];
    if (setpgid(0, 0) == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 &&
        lseek(state, 0, SEEK_SET) == 0 && dup2(state, 0) == 0 && dup2(out, 1) == 1 &&
        dup2(err, 2) == 2 && dup3(report, 3, O_CLOEXEC) == 3 && close_fds(4, ~0U) == 0)
        execve(list(arg[0])[0], list(arg[0]) + 1, list(arg[1]));
    int number = errno;
    dup2(report, 3); /* whatever has failed, and whatever else is 3 */
    _exit(write(3, &number, sizeof number) == (ssize_t)sizeof number ? 127 : 126);
}

/* Takes a part of what the hook has printed. False if there is none now, or no more. */
static int take(int fd)
{
    if (held > TAIL) {
        memmove(output, output + held - TAIL, TAIL);
        held = TAIL;
    }
    ssize_t size = read(fd, output + held, TAIL);
    if (size > 0)
        held += (size_t)size;
    return size > 0;
}

static int milliseconds_to(const struct timespec *end)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long left = (end->tv_sec - now.tv_sec) * 1000 + (end->tv_nsec - now.tv_nsec) / 1000000;
    return left > 0 ? (int)left : 0;
}

/* Waits for the end of the hook, not for that of its output. 0, or why. */
static int await(int pidfd, int out, int timeout)
{
    struct pollfd wait[2] = {{.fd = pidfd, .events = POLLIN}, {.fd = out, .events = POLLIN}};
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += timeout / 1000;
    end.tv_nsec += timeout % 1000 * 1000000L;
    do {
        int left = timeout < 0 ? -1 : milliseconds_to(&end);
        if (poll(wait, 2, left) < 0)
            return errno;
        if (wait[1].revents && !take(out))
            wait[1].fd = -1;
        /* Not by what poll returns: of a hook that never stops to print there is always some. */
        if (!left && !wait[0].revents)
            return ETIMEDOUT;
    } while (!wait[0].revents);
    return 0;
}

/* Sees the hook to its end, or ends it when its time is over. 0, or why it failed. */
static int attend(pid_t pid, int out, int timeout, int *status)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    int why = pidfd < 0 ? errno : await(pidfd, out, timeout);
    close(pidfd);
    if (why) {
        kill(-pid, SIGKILL);
        kill(pid, SIGKILL); /* if the group could not be made */
    }
    return waitpid(pid, status, 0) == pid ? why : errno;
}

/* How it went, and the last of what it printed. A process that it left may go on to print: nobody
 * reads that. */
static void keep(int from, int to, struct hook_record record, const struct timespec *start)
{
    struct timespec end;
    for (int i = 0; i < PIPE_READS && take(from); i++)
        ;
    clock_gettime(CLOCK_MONOTONIC, &end);
    long seconds = end.tv_sec - start->tv_sec;
    record.nanoseconds = (uint64_t)(seconds * 1000000000L + end.tv_nsec - start->tv_nsec);
    record.size = held < TAIL ? (uint32_t)held : TAIL;
    struct iovec parts[] = {{&record, sizeof record}, {output + held - record.size, record.size}};
    if (writev(to, parts, 2) < 0)
        return; /* lost: the hook's result is worth more */
}

int op_run_hook(const uint64_t *arg)
{
    int out[2], report[2], number = 0, status = 0;
    struct timespec start;
    if (pipe2(out, O_CLOEXEC) < 0 || pipe2(report, O_CLOEXEC) < 0)
        return -1;
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    clock_gettime(CLOCK_MONOTONIC, &start);
    pid_t pid = fork();
    if (pid == 0)
        become_hook(arg, out[1], report[1]);
    int why = pid < 0 ? errno : 0;
    close(out[1]);
    close(report[1]);
    if (pid > 0) {
        setpgid(pid, pid); /* whoever is first: the group must exist before it may be killed */
        why = attend(pid, out[0], arg[4] ? (int)arg[4] : -1, &status);
        /* Now, when it can't block: exec itself may have hung, and has its time like the rest. */
        if (!why && read(report[0], &number, sizeof number) == (ssize_t)sizeof number)
            why = number;
        keep(out[0], slot[arg[3]], (struct hook_record){0, why, status, 0, 0}, &start);
        held = 0;
    }
    close(out[0]);
    close(report[0]);
    fail_detail = status;
    errno = why ? why : ECHILD;
    return !why && status == 0 ? 0 : -1;
}
