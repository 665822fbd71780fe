// SPDX-License-Identifier: Apache-2.0
// What create and exec have in common: an executor's process that carries out a template's plan.

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#include "creation.h"
#include "launcher.h"

#define COUNT (sizeof INTERRUPTS / sizeof *INTERRUPTS)

static const int INTERRUPTS[] = {SIGHUP, SIGINT, SIGTERM}; // as pyrun/interruption.py

struct creation us = {.child = {.pidfd = -1, .signals = -1}, .place = -1};
char filled[2 * TEMPLATE_LIMIT];

bool process_is_quiet(void)
{
    static const char *const NAMES[] = {"NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS",
                                        "RUN_OCI_SECCOMP_RECEIVER"};

    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (getenv(NAMES[i]))
            return false;
    return true;
}

void process_hold_signals(void)
{
    struct sigaction action;
    sigset_t all, ours;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &us.mask);
    sigemptyset(&ours);
    for (size_t i = 0; i < COUNT; i++)
        if (sigaction(INTERRUPTS[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&ours, INTERRUPTS[i]);
    us.child.signals = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
    signal(SIGCHLD, SIG_DFL); // ignored, our children could not be waited for
}

void process_let_go(void)
{
    sigset_t pending;

    if (sigpending(&pending) == 0)
        for (size_t i = 0; i < COUNT; i++)
            if (sigismember(&pending, INTERRUPTS[i]) == 1)
                sigaddset(&us.mask, INTERRUPTS[i]);
    sigprocmask(SIG_SETMASK, &us.mask, NULL);
    umask(us.umask);
}

// ---- The process. ----

bool process_start(int into)
{
    char executor[PATH_MAX];

    return launcher_file("executor", executor) &&
           template_fill(&us.template, us.template.texts[TEXT_TITLE], filled,
                         filled + sizeof filled) &&
           child_start(&us.child, executor, filled, us.template.header.namespaces, into);
}

bool process_score(void)
{
    char path[sizeof "/proc//oom_score_adj" + 10] = "/proc/";

    if (!template_fill(&us.template, us.template.texts[TEXT_SCORE], filled, filled + sizeof filled))
        return false;
    stpcpy(stpcpy(path + strlen(path), us.pid), "/oom_score_adj");
    return !*filled || cgroup_write(path, filled);
}

bool process_send_plan(const int *fds, size_t count)
{
    size_t size = template_plan(&us.template, filled, filled + sizeof filled);

    return size && child_send_plan(&us.child, fds, count, filled, size);
}

bool process_serve(int until, bool (*became)(void))
{
    struct message message;
    int kind;

    while ((kind = child_hear(&us.child, &message)) == MESSAGE_CHILD)
        if (!child_becomes(&us.child, message.value[0]) || !became() || !child_go(&us.child))
            return false;
    if (until)
        return kind == MESSAGE_SYNC && message.value[0] == until;
    return kind == 0 && box_has_begun(us.child.pid);
}
