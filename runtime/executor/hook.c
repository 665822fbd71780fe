/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks in the container's namespaces: a program, its result, and its end in time. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "executor.h"

/* In the child of run_hook; the errno of exec goes through a pipe that success closes. */
static void become_hook(const uint64_t *arg, int pipe)
{
    if (setpgid(0, 0) == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 &&
        lseek(slot[arg[3]], 0, SEEK_SET) == 0 && dup2(slot[arg[3]], 0) == 0 &&
        dup2(slot[arg[4]], 1) == 1 && dup2(slot[arg[4]], 2) == 2 && dup3(pipe, 3, O_CLOEXEC) == 3 &&
        close_fds(4, ~0U) == 0)
        execve(str(arg[0]), list(arg[1]), list(arg[2]));
    int number = errno;
    dup2(pipe, 3); /* whatever has failed, and whatever else is 3 */
    _exit(write(3, &number, sizeof number) == (ssize_t)sizeof number ? 127 : 126);
}

/* Waits for the end of the hook, and brings it about where the time is over. 0, or why. */
static int await(pid_t pid, int timeout)
{
    struct pollfd wait = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
    int number = wait.fd < 0 ? errno : 0;
    if (wait.fd >= 0) {
        int ready = poll(&wait, 1, timeout);
        number = ready > 0 ? 0 : ready == 0 ? ETIMEDOUT : errno;
        close(wait.fd);
    }
    if (number) {
        kill(-pid, SIGKILL);
        kill(pid, SIGKILL); /* if the group could not be made */
    }
    return number;
}

int op_run_hook(const uint64_t *arg)
{
    int fds[2], number = 0, status = 0;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0)
        become_hook(arg, fds[1]);
    int why = pid < 0 ? errno : 0;
    close(fds[1]);
    if (pid > 0) {
        setpgid(pid, pid); /* whoever is first: the group must exist before it may be killed */
        why = await(pid, arg[5] ? (int)arg[5] : -1);
        if (waitpid(pid, &status, 0) != pid)
            why = errno;
        /* Now, when it can't block: exec itself may have hung, and has its time like the rest. */
        if (!why && read(fds[0], &number, sizeof number) == (ssize_t)sizeof number)
            why = number;
    }
    close(fds[0]);
    fail_detail = status;
    errno = why ? why : ECHILD;
    return !why && status == 0 ? 0 : -1;
}
