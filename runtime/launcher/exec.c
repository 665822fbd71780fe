// SPDX-License-Identifier: Apache-2.0
// Brings a process into a container by a template, as pyrun/execution.py does by a plan of its own.
// Whatever goes wrong: what was made is undone, and Python begins anew. It comes to the same
// failure, and explains it.

#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "creation.h"
#include "fast.h"
#include "launcher.h"
#include "waiter.h"

#define PATIENCE 2000 // milliseconds that a process which is undone gets to end
#define SPARE 16      // bytes for the words between the parts of a description

// The kinds of namespaces in which the init is and we are not, as pyrun/living.py finds them.
static char *tell_namespaces(char *at)
{
    static const char *const NAMES[] = {"user", "mnt", "pid",    "net",
                                        "ipc",  "uts", "cgroup", "time"};
    struct stat ours, theirs;
    char path[64];

    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        stpcpy(stpcpy(path, "/proc/self/ns/"), NAMES[i]);
        if (stat(path, &ours) < 0) {
            if (errno != ENOENT) // a kernel without this kind
                return NULL;
            continue;
        }
        stpcpy(stpcpy(box_decimal(stpcpy(path, "/proc/"), (uint32_t)box.header.pid), "/ns/"),
               NAMES[i]);
        if (stat(path, &theirs) < 0)
            return NULL;
        if (ours.st_dev != theirs.st_dev || ours.st_ino != theirs.st_ino)
            at = stpcpy(stpcpy(at, " "), NAMES[i]);
    }
    return at;
}

// What the pattern is compared with: all that the plan was made of. As exec_template_file.py has
// it.
static size_t describe(char *out, const char *end)
{
    const char *layout = box.header.flags & FAST_LEGACY ? "v1" : *box.frozen ? "v2" : "none";
    char *at = tell_namespaces(stpcpy(out, layout));
    ssize_t size;

    if (!at)
        return 0;
    at = stpcpy(box_decimal(stpcpy(at, "\n"), us.umask), "\n");
    // What the container is like, and its filter: pyrun/exec_record.py.
    size = box_read(box.folder, "exec", at, (size_t)(end - at) - SPARE);
    if (size < 0)
        return 0;
    at += size;
    if (us.words->process) {
        at = stpcpy(at, "\nprocess ");
        size = box_read_regular(us.words->process, at, (size_t)(end - at));
        return size < 0 ? 0 : (size_t)(at + size - out);
    }
    at = stpcpy(at, "\nargs");
    for (char **word = us.words->args; *word; word++) {
        if (strlen(*word) + 8 > (size_t)(end - at) || !value_is_plain(*word))
            return 0;
        at = stpcpy(stpcpy(stpcpy(at, " \""), *word), "\"");
    }
    return (size_t)(at - out);
}

static bool is_known(void)
{
    static char text[TEMPLATE_LIMIT], init[12];
    const struct template_place place = {box.root, TEMPLATE_EXEC_FOLDER "/", TEMPLATE_MOST,
                                         TEMPLATE_EXEC};
    const char *pid_file = us.words->pid_file;
    size_t size;

    // A process that starts in a frozen cgroup would hold us up with it.
    if (!process_is_quiet() || (pid_file && !template_is_path(pid_file, strlen(pid_file))) ||
        box_lives() != YES || box_is_frozen() != NO)
        return false;
    box_decimal(init, (uint32_t)box.header.pid);
    value(VALUE_ID, us.words->id);
    value(VALUE_PID, init);
    size = describe(text, text + sizeof text);
    return size && template_find(&us.template, &place, text, size);
}

// What the first slots of the plan stand for (compile/joining.py): the init, and namespaces of it.
static bool hand_over(int init)
{
    const char *joined = us.template.joined, *end = filled + sizeof filled;
    int fds[TEMPLATE_JOINED + 1] = {init};
    uint32_t count = 0;
    bool sent = true;

    for (; sent && count < us.template.header.joined; count++) {
        sent = template_fill(&us.template, template_next(&joined), filled, end) &&
               (fds[count + 1] = open(filled, O_RDONLY | O_CLOEXEC)) >= 0;
        if (!sent)
            break;
    }
    // By its pid, which is its own as long as it lives.
    sent = sent && box_lives() == YES && process_send_plan(fds, count + 1);
    while (count)
        close(fds[count--]);
    return sent;
}

static bool is_born_there(void)
{
    return box.header.cgroups && (us.template.header.flags & TEMPLATE_INTO);
}

static bool start(void)
{
    int cgroup = -1;
    bool started;

    if (is_born_there() && (cgroup = open(box.cgroups, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
        return false;
    started = process_start(cgroup);
    if (cgroup >= 0)
        close(cgroup);
    return started;
}

// Each directory but the one that it was born in.
static bool enter(void)
{
    const char *directory = box.cgroups;

    for (uint32_t i = 0; i < box.header.cgroups; i++, directory += strlen(directory) + 1)
        if (!(i == 0 && is_born_there()) && !cgroup_enter(directory))
            return false;
    return true;
}

static bool became(void)
{
    box_decimal(us.pid, (uint64_t)us.child.pid);
    return true;
}

// In the foreground whatever comes from here on is forwarded to the program.
static bool go(void)
{
    if (!us.words->detach) {
        close(us.child.signals);
        us.child.signals = -1;
    }
    return child_go(&us.child) && process_serve(0, became);
}

static bool join(void)
{
    int init = (int)syscall(SYS_pidfd_open, box.header.pid, 0);
    bool joined;

    // After pidfd_open: what we compare now is what the descriptor stands for, or it is dead.
    joined = init >= 0 && box_lives() == YES && start() && became() && enter() &&
             // `pause` would have frozen it half-way there.
             flock(box.folder, LOCK_UN) == 0 && process_score() && hand_over(init);
    if (init >= 0)
        close(init);
    return joined && process_serve(POINT_READY, became) &&
           (!us.words->pid_file || (us.claimed = folder_put_pid(us.words->pid_file))) && go();
}

static void undo(void)
{
    const struct timespec moment = {.tv_nsec = 1000000};

    if (us.claimed)
        unlink(us.words->pid_file);
    if (us.child.pid <= 0)
        return;
    child_kill(&us.child);
    // Also one that it has forked, and we have not heard of. Not for ever: one in a frozen cgroup
    // ends when that goes on.
    for (int left = PATIENCE; waitpid(-1, NULL, WNOHANG) >= 0 && left; left--)
        nanosleep(&moment, NULL);
}

static int wait_here(void)
{
    char pidfd[12];
    const char *words[] = {WAITER_NAME, us.pid, pidfd, "-1", "-1", "-1", "1", NULL};

    box_decimal(pidfd, (uint64_t)us.child.pidfd);
    close(us.child.socket);
    box_close();
    return waiter(sizeof words / sizeof *words - 1, (char **)words, launcher_verb);
}

int exec_box(const struct words *words)
{
    us.words = words;
    us.umask = umask(077);
    if (!is_known()) {
        umask(us.umask);
        return FAST_PYTHON;
    }
    process_hold_signals();
    if (!join()) {
        undo();
        close(us.child.signals);
        process_let_go();
        return FAST_PYTHON;
    }
    close(us.child.signals);
    return words->detach ? EXIT_SUCCESS : wait_here();
}
