// SPDX-License-Identifier: Apache-2.0
// start, state, kill and delete of an ordinary container, without starting Python. What is ordinary
// was decided when the container was created: fast.h tells what create has left. Nothing is decided
// here, nothing is explained here: whatever is not as expected is Python's.

#include "fast.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "box.h"
#include "create.h"
#include "exec.h"
#include "words.h"

#define FIFO (O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC)

static int start(void)
{
    struct pollfd report = {.events = POLLIN};
    int fifo, count;

    // One that is frozen would not take the byte.
    if (box_lives() != YES || box_is_frozen() != NO)
        return FAST_PYTHON;
    report.fd = openat(box.folder, "result.fifo", O_RDONLY | FIFO);
    fifo = openat(box.folder, "exec.fifo", O_WRONLY | FIFO);
    if (report.fd < 0 || fifo < 0 || write(fifo, "0", 1) != 1)
        return FAST_PYTHON;
    close(fifo);
    do
        count = poll(&report, 1, -1);
    while (count < 0); // the byte is taken: whatever fails, that is to be waited for
    if (report.revents & POLLIN) {
        // It says why the program does not run, and that is Python's to explain: the report lasts
        // as long as somebody has the fifo open.
        fcntl(report.fd, F_SETFD, 0);
        return FAST_PYTHON;
    }
    if (!box_has_begun(box.header.pid))
        return FAST_PYTHON; // which finds it stopped
    // Not before: a fifo that is still there says that the byte was not taken. One that stays
    // misleads nobody, since it has no reader.
    unlinkat(box.folder, "exec.fifo", 0);
    unlinkat(box.folder, "result.fifo", 0);
    return EXIT_SUCCESS;
}

static bool say(const char *text, size_t length)
{
    while (length) {
        ssize_t count = write(STDOUT_FILENO, text, length);

        if (count < 0)
            return false;
        text += count;
        length -= (size_t)count;
    }
    return true;
}

// As init.status; NULL when that can't be known here.
static const char *status(void)
{
    enum answer frozen;
    enum answer alive = box_lives();
    int fifo;

    if (alive != YES)
        return alive == NO ? "stopped" : NULL;
    frozen = box_is_frozen();
    if (frozen != NO)
        return frozen == YES ? "paused" : NULL;
    fifo = openat(box.folder, "exec.fifo", O_WRONLY | FIFO);
    if (fifo >= 0) {
        close(fifo);
        return "created";
    }
    return errno == ENOENT || errno == ENXIO ? "running" : NULL;
}

static int state(void)
{
    static char text[FAST_LIMIT + 64];
    const char *word = status();
    char *end;

    if (!word)
        return FAST_PYTHON;
    end = stpcpy(text, box.before);
    end = box_decimal(end, strcmp(word, "stopped") == 0 ? 0 : (uint32_t)box.header.pid);
    end = stpcpy(stpcpy(stpcpy(end, box.between), word), box.behind);
    return say(text, (size_t)(end - text)) ? EXIT_SUCCESS : FAST_PYTHON;
}

static int kill_init(int number)
{
    // A frozen v1 cgroup keeps even SIGKILL waiting: Python thaws it. Asked again afterwards, for
    // it may have been frozen meanwhile; to kill twice does no harm.
    const bool thaws = number == SIGKILL && (box.header.flags & FAST_LEGACY);
    int pidfd = (int)syscall(SYS_pidfd_open, box.header.pid, 0);

    // After pidfd_open: what we compare now is what the descriptor stands for, or it is dead.
    if (pidfd < 0 || box_lives() != YES) // (pidfds are close-on-exec)
        return FAST_PYTHON;
    if (thaws && box_is_frozen() != NO)
        return FAST_PYTHON;
    if (syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0) < 0)
        return FAST_PYTHON;
    return thaws && box_is_frozen() == YES && box_lives() == YES ? FAST_PYTHON : EXIT_SUCCESS;
}

// Whether every file in the folder is one of those that delete_box() removes.
static bool knows_all_files(const char *const *names)
{
    static char data[4096];
    long length;

    while ((length = syscall(SYS_getdents64, box.folder, data, sizeof data)) > 0) {
        for (long at = 0; at < length;) {
            // struct linux_dirent64: inode, offset, length of the record, type, name
            const char *name = data + at + 19;
            const char *const *known = names;
            uint16_t step;

            while (*known && strcmp(*known, name) != 0)
                known++;
            if (!*known && strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
                return false;
            memcpy(&step, data + at + 16, sizeof step);
            at += step;
        }
    }
    return length == 0;
}

// False when it has processes or cgroups of its own, which are to be ended first.
static bool remove_cgroup(const char *path, int *patience)
{
    const struct timespec moment = {.tv_nsec = 100000};

    while (rmdir(path) < 0 && errno != ENOENT) {
        // A process is a zombie, and can even be gone, a moment before it has left its cgroup: when
        // its last switch to another task is over, on whichever processor that is.
        if (errno != EBUSY || (*patience)-- <= 0)
            return false;
        nanosleep(&moment, NULL);
    }
    return true;
}

static int delete_box(const char *id)
{
    // The intent last: until then whoever comes after a crash can finish this.
    static const char *const NAMES[] = {"fast",        "exec",        "exec.fifo",   "hooks.log",
                                        "result.fifo", "exit.json",   "mounts.json", "trace",
                                        "state.json",  "intent.json", NULL};
    const char *cgroup = box.cgroups;
    int patience = 20; // 2 ms: less than it takes to start Python

    if (box_lives() != NO || !knows_all_files(NAMES))
        return FAST_PYTHON;
    for (uint32_t i = 0; i < box.header.cgroups; i++, cgroup += strlen(cgroup) + 1)
        if (!remove_cgroup(cgroup, &patience))
            return FAST_PYTHON;
    for (const char *const *name = NAMES; *name; name++)
        if (unlinkat(box.folder, *name, 0) < 0 && errno != ENOENT)
            return FAST_PYTHON;
    // The container is gone, and Python would find none. An empty folder is nobody's: the next
    // create of this id takes it.
    if (unlinkat(box.root, id, AT_REMOVEDIR) < 0 && unlinkat(box.root, id, AT_REMOVEDIR) < 0 &&
        errno == ENOTEMPTY)
        return FAST_PYTHON;
    return EXIT_SUCCESS;
}

static int carry_out(const struct words *words)
{
    static const uint32_t NEEDED[] = {0,         FAST_START,  FAST_STATE,
                                      FAST_KILL, FAST_DELETE, FAST_STATE};
    static const int LOCKS[] = {0, LOCK_EX, 0, 0, LOCK_EX, LOCK_SH};
    enum answer found;
    int lock;

    if (words->verb == VERB_CREATE || words->verb == VERB_RUN)
        return box_open_root(words) == YES ? create_box(words) : FAST_PYTHON;
    found = box_open(words);
    if (found == NO && words->force)
        return EXIT_SUCCESS;
    lock = LOCKS[words->verb];
    if (found != YES || (lock && flock(box.folder, lock | LOCK_NB) < 0))
        return FAST_PYTHON;
    // Looked at again: somebody may have removed it before it was ours to lock.
    if ((lock && !box_is_private(box.folder)) || !box_load(NEEDED[words->verb]))
        return FAST_PYTHON;
    if (words->init && words->init != box.header.pid)
        return FAST_PYTHON; // another of its name
    if (words->verb == VERB_START)
        return start();
    if (words->verb == VERB_STATE)
        return state();
    if (words->verb == VERB_EXEC)
        return exec_box(words);
    return words->verb == VERB_KILL ? kill_init(words->signal) : delete_box(words->id);
}

// A link to us may name a handler: pyrun-HANDLER (pyrun/__main__.py).
static bool names_handler(const char *argv0)
{
    const char *slash = strrchr(argv0, '/');

    return strncmp(slash ? slash + 1 : argv0, "pyrun-", 6) == 0;
}

int fast_verb(int argc, char **argv)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    struct words words;
    int code;

    if (getenv("PYRUN_NO_FAST") || !words_read(argc, argv, &words) ||
        (words.log && !box_can_log(words.log)))
        return FAST_PYTHON;
    if (words.verb >= VERB_EXEC && names_handler(argv[0]))
        return FAST_PYTHON;
    // A reader that goes away is an error to report, of the fifo or of standard output.
    if (sigaction(SIGPIPE, &ignore, &before) < 0)
        return FAST_PYTHON;
    code = carry_out(&words);
    if (code == FAST_PYTHON)
        sigaction(SIGPIPE, &before, NULL);
    return code;
}
