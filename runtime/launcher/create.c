// SPDX-License-Identifier: Apache-2.0
// Makes a container from a template, as pyrun/creation.py does from a plan of its own: the same
// things in the same order, each on record before it is there. Whatever goes wrong: what was made
// is undone, and Python begins anew. It comes to the same failure, and explains it.

#include "create.h"

#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "creation.h"
#include "fast.h"
#include "launcher.h"
#include "waiter.h"

#define FIFO (O_NOFOLLOW | O_CLOEXEC)

static bool find_template(void)
{
    static char config[TEMPLATE_LIMIT];
    const uint32_t kind = (us.words->verb == VERB_RUN ? TEMPLATE_RUN : 0) |
                          (us.words->no_new_keyring ? TEMPLATE_KEYRING : 0);
    const struct template_place place = {box.root, TEMPLATE_FOLDER "/", TEMPLATE_MOST, kind};
    char path[PATH_MAX + 16];
    ssize_t size;

    stpcpy(stpcpy(path, us.bundle), "/config.json");
    size = box_read_regular(path, config, sizeof config);
    return size > 0 && template_find(&us.template, &place, config, (size_t)size);
}

// ---- Its process. ----

// A fifo, open both ways: no end waits for the other.
static int make_fifo(const char *name)
{
    return mkfifoat(box.folder, name, 0600) < 0 ? -1 : openat(box.folder, name, O_RDWR | FIFO);
}

static bool record(void)
{
    box_decimal(us.pid, (uint64_t)us.child.pid);
    value(VALUE_PID, us.pid);
    if (box_started(us.child.pid, &box.header.started) != YES)
        return false;
    box_decimal(us.started, box.header.started);
    value(VALUE_STARTED, us.started);
    return folder_put("state.json", TEXT_CREATING, true);
}

// What the first slots of the plan stand for (compile/donations.py), in `fds`: how many, -1 when
// one can't be had.
static int open_donations(int *fds)
{
    const char *joined = us.template.joined, *end = filled + sizeof filled;
    int count = 0, both;

    for (; count < (int)us.template.header.joined; count++) {
        if (!template_fill(&us.template, template_next(&joined), filled, end) ||
            (fds[count] = open(filled, O_RDONLY | O_CLOEXEC)) < 0)
            return -1;
    }
    if (us.words->verb != VERB_CREATE)
        return count;
    fds[count] = make_fifo("exec.fifo");
    both = make_fifo("result.fifo");
    if (fds[count] < 0 || both < 0) // without a reader, to open one end would wait for ever
        return -1;
    fds[count + 1] = openat(box.folder, "result.fifo", O_WRONLY | FIFO);
    close(both);
    return fds[count + 1] < 0 ? -1 : count + 2;
}

static bool hand_over(void)
{
    int fds[TEMPLATE_JOINED + 2];
    const int count = open_donations(fds);
    const bool sent = count >= 0 && process_send_plan(fds, (size_t)count);

    for (int i = 0; i < count; i++)
        close(fds[i]);
    return sent;
}

static bool make_process(void)
{
    // On v1 the first move of a process for a while takes some 10 ms (pyrun/cgroup/grace.py), in
    // which it can mount.
    const bool late = us.template.header.flags & TEMPLATE_LATE;

    return process_start(us.place) && record() && process_score() && (late || cgroup_join()) &&
           hand_over() && (!late || cgroup_join());
}

// ---- All of it. ----

// The one that makes the folder has the container; one that is there already is for Python.
static bool claim(void)
{
    if (mkdirat(box.root, us.words->id, 0700) < 0)
        return false;
    box.folder = openat(box.root, us.words->id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    us.claimed = box.folder >= 0 && flock(box.folder, LOCK_EX | LOCK_NB) == 0 &&
                 box_is_private(box.folder) &&
                 faccessat(box.folder, "intent.json", F_OK, AT_SYMLINK_NOFOLLOW) < 0;
    return us.claimed;
}

static bool make(void)
{
    return folder_put("intent.json", TEXT_INTENT, true) && cgroup_make() && make_process() &&
           process_serve(POINT_READY, record) && folder_put("exec", TEXT_EXEC, false) &&
           (!us.words->pid_file || folder_put_pid(us.words->pid_file)) &&
           folder_put("state.json", TEXT_CREATED, true) && folder_put_fast() && child_go(&us.child);
}

static bool start(void)
{
    return (us.words->detach || us.words->no_subreaper ||
            prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0) &&
           process_serve(POINT_START, record) && child_go(&us.child) && process_serve(0, record);
}

// As if it had not been. What is left even so is for `delete`, which knows it by its init: by now
// there may be another of its name.
static void undo(void)
{
    const char *root = us.words->root ? us.words->root : BOX_ROOT;
    const char *words[] = {"pyrun",  "--root", root,         "delete", "--force",
                           "--init", us.pid,   us.words->id, NULL};

    if (us.child.pid > 0)
        child_end(&us.child);
    if (!us.claimed || (cgroup_remove() && folder_remove()))
        return;
    if (*us.pid) {
        box_close(); // with the lock, which it wants
        launcher_verb(sizeof words / sizeof *words - 1, (char **)words);
    } else {
        folder_remove(); // what is left of the cgroup is somebody's who came into it
    }
}

// In the foreground: what Python becomes as well (pyrun/waiter.py).
static int wait_here(void)
{
    char pidfd[12];
    const char *root = us.words->root ? us.words->root : BOX_ROOT;
    const char *words[24] = {
        WAITER_NAME, us.pid,  pidfd,    "-1", "-1",           "-1",
        "1",         "pyrun", "--root", root, "--log-format", us.words->json ? "json" : "text"};
    int count = 12;

    if (us.words->log) {
        words[count++] = "--log";
        words[count++] = us.words->log;
    }
    for (const char *const *word =
             (const char *[]){"delete", "--force", "--init", us.pid, us.words->id, NULL};
         *word; word++)
        words[count++] = *word;
    box_decimal(pidfd, (uint64_t)us.child.pidfd);
    close(us.child.socket);
    box_close(); // for the verbs of others, as long as it runs
    return waiter(count, (char **)words, launcher_verb);
}

static bool is_known(void)
{
    const char *pid_file = us.words->pid_file;

    return !us.words->systemd && process_is_quiet() &&
           (!pid_file || template_is_path(pid_file, strlen(pid_file))) && values_find() &&
           find_template() && cgroup_is_free();
}

int create_box(const struct words *words)
{
    bool made;

    us.words = words;
    us.umask = umask(022);
    if (!is_known()) {
        umask(us.umask);
        return FAST_PYTHON;
    }
    process_hold_signals();
    made = claim() && make();
    // From here on it is created: what comes waits, for who waits for the container.
    close(us.child.signals);
    us.child.signals = -1;
    made = made && (words->verb == VERB_CREATE || start());
    if (!made) {
        undo();
        process_let_go();
        return FAST_PYTHON;
    }
    return words->verb == VERB_CREATE || words->detach ? EXIT_SUCCESS : wait_here();
}
