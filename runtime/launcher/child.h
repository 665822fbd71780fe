// SPDX-License-Identifier: Apache-2.0
// The executor's process, and how the launcher speaks with it: runtime/executor/plan.h draws it.
// As pyrun/launch.py, which explains what goes wrong; here it is only false.

#ifndef PYRUN_CHILD_H
#define PYRUN_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../executor/plan.h"

struct child {
    pid_t pid; // the first stage's where there is one, then the init's
    int pidfd;
    int socket;
    int signals; // a signalfd of those by which we are interrupted
};

// Starts the executor, which waits for its plan, in new namespaces; in the cgroup of this v2
// directory, or in ours (-1).
bool child_start(struct child *out, const char *executor, const char *title, uint64_t namespaces,
                 int into);

// Hands over descriptors, and the plan.
bool child_send_plan(const struct child *child, const int *fds, size_t count, const char *plan,
                     size_t size);

bool child_go(const struct child *child);

// The next message: its kind; 0 at end of file; -1 when a signal has come, or for any failure.
int child_hear(const struct child *child, struct message *out);

// Another process takes its place: its sibling, which is the init.
bool child_becomes(struct child *child, pid_t pid);

// Kills it, and who has come of it; for somebody else to wait for.
void child_kill(struct child *child);

// Ends it, and all that it has started.
void child_end(struct child *child);

#endif
