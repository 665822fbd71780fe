// SPDX-License-Identifier: Apache-2.0
// Runs a program, and writes the peak memory of it and of the children it waited for, in KiB, to
// descriptor 3:
//
//   peak PROGRAM [ARGUMENT...] 3>file
//
// A program of its own, because a process starts with the peak of the one it was forked from: below
// Python everything smaller than Python would look as large as Python.
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define RESULT 3

int main(int argc, char **argv)
{
    struct rusage usage;
    int status;
    pid_t pid;

    if (argc < 2 || fcntl(RESULT, F_SETFD, FD_CLOEXEC) < 0)
        return 125;
    if (posix_spawn(&pid, argv[1], NULL, NULL, argv + 1, environ) != 0 ||
        wait4(pid, &status, 0, &usage) != pid)
        return 125;
    dprintf(RESULT, "%ld\n", usage.ru_maxrss);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
