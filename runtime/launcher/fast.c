// SPDX-License-Identifier: Apache-2.0
// start, state, kill and delete of an ordinary container, without starting Python. What is ordinary
// was decided when the container was created: fast.h tells what create has left. Nothing is decided
// here, nothing is explained here: whatever is not as expected is Python's.

#include "fast.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ops.gen.h"
#include "words.h"

#define FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define FIFO (O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC)
#define DEFAULT_ROOT "/run/pyrun"
#define INITIAL_MAP "         0          0 4294967295\n" // of user ids: user_namespaces(7)

enum answer { NO, YES, UNKNOWN };

// The one container of this process, once load() has said yes.
static struct {
    int root, folder;
    struct fast_header header;
    const char *before, *between, *behind; // the text of `state`
    const char *frozen;                    // a path, or ""
    const char *cgroups;                   // the first; the others follow, each behind its NUL
} box;

// A whole small file. The length, which is less than `size`; -1 with errno, as for a longer one.
static ssize_t read_file(int folder, const char *path, char *out, size_t size)
{
    int fd = openat(folder, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ssize_t length = 0, got;

    if (fd < 0)
        return -1;
    while ((got = read(fd, out + length, size - (size_t)length)) > 0)
        length += got;
    if (got == 0 && (size_t)length == size)
        errno = EFBIG;
    close(fd);
    return got < 0 || (size_t)length == size ? -1 : length;
}

// Writes `number` in decimal, and a NUL; gives the place of the NUL.
static char *decimal(char *out, uint32_t number)
{
    uint32_t unit = 1;

    while (number / unit >= 10)
        unit *= 10;
    for (; unit; unit /= 10)
        *out++ = (char)('0' + number / unit % 10);
    *out = '\0';
    return out;
}

static uint32_t crc32(const unsigned char *data, size_t size)
{
    uint32_t crc = UINT32_MAX;

    while (size--) {
        crc ^= *data++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320U : 0);
    }
    return ~crc;
}

// ---- Where the container is. ----

static bool is_private(int fd)
{
    struct stat found;

    return fstat(fd, &found) == 0 && found.st_nlink > 0 && found.st_uid == geteuid() &&
           !(found.st_mode & 077);
}

// The simple half of state.root_path.
static const char *default_root(void)
{
    const char *user = getenv("USER");
    char map[sizeof INITIAL_MAP + 1];

    if (geteuid() != 0)
        return NULL;
    if (user && strcmp(user, "root") == 0)
        return DEFAULT_ROOT;
    if (read_file(AT_FDCWD, "/proc/self/uid_map", map, sizeof map) != sizeof INITIAL_MAP - 1 ||
        memcmp(map, INITIAL_MAP, sizeof INITIAL_MAP - 1) != 0)
        return NULL;
    return DEFAULT_ROOT;
}

// As log.open_log: a log that can't be written is an error, also of a verb that has nothing to say.
static bool can_log(const char *path)
{
    char folder[PATH_MAX];
    char *slash;
    int fd;

    if (strncmp(path, "/dev/", 5) == 0 || strncmp(path, "/proc/", 6) == 0 || strchr(path, ':'))
        return false;
    fd = open(path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0) {
        close(fd);
        return true;
    }
    if (errno != ENOENT)
        return false;
    memcpy(folder, path, strlen(path) + 1);
    slash = strrchr(folder, '/');
    if (!slash)
        return access(".", W_OK | X_OK) == 0;
    slash[slash == folder] = '\0';
    return access(folder, W_OK | X_OK) == 0;
}

// YES: it is open, and private. NO: there is none.
static enum answer open_container(const struct words *words)
{
    const char *root = words->root ? words->root : default_root();

    if (!root)
        return UNKNOWN;
    box.root = open(root, FOLDER);
    if (box.root < 0)
        return errno == ENOENT ? NO : UNKNOWN;
    if (!is_private(box.root))
        return UNKNOWN;
    box.folder = openat(box.root, words->id, FOLDER);
    if (box.folder < 0)
        return errno == ENOENT ? NO : UNKNOWN;
    return is_private(box.folder) ? YES : UNKNOWN;
}

// ---- What create has left. ----

static bool is_same(const char *name, const struct fast_seen *seen)
{
    struct stat found;

    return fstatat(box.folder, name, &found, AT_SYMLINK_NOFOLLOW) == 0 &&
           found.st_ino == seen->inode && (uint64_t)found.st_size == seen->size &&
           found.st_mtim.tv_sec * INT64_C(1000000000) + found.st_mtim.tv_nsec == seen->changed;
}

static bool is_this_boot(void)
{
    char id[FAST_BOOT_ID + 2];

    return read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", id, sizeof id) ==
               FAST_BOOT_ID + 1 &&
           memcmp(id, box.header.boot_id, FAST_BOOT_ID) == 0;
}

static const char *next_string(const char **at, const char *end)
{
    const char *found = *at;
    const char *stop = memchr(found, '\0', (size_t)(end - found));

    if (!stop)
        return NULL;
    *at = stop + 1;
    return found;
}

static bool find_strings(const char *at, const char *end)
{
    if (!(box.before = next_string(&at, end)) || !(box.between = next_string(&at, end)) ||
        !(box.behind = next_string(&at, end)) || !(box.frozen = next_string(&at, end)))
        return false;
    box.cgroups = at;
    for (uint32_t i = 0; i < box.header.cgroups; i++)
        if (!next_string(&at, end))
            return false;
    return at == end;
}

// Whether there is a file, it is whole, ours, of this build and boot, true still, and `verb` is
// among what it is for.
static bool load(uint32_t verb)
{
    static char data[FAST_LIMIT + 1];
    const size_t behind_crc = offsetof(struct fast_header, crc) + sizeof box.header.crc;
    ssize_t length = read_file(box.folder, "fast", data, sizeof data);

    if (length < (ssize_t)sizeof box.header)
        return false;
    memcpy(&box.header, data, sizeof box.header);
    return memcmp(box.header.magic, FAST_MAGIC, sizeof box.header.magic) == 0 &&
           box.header.version == FAST_VERSION && box.header.build == OPS_CHECKSUM &&
           box.header.size == (size_t)length &&
           box.header.crc ==
               crc32((unsigned char *)data + behind_crc, (size_t)length - behind_crc) &&
           (box.header.flags & verb) && box.header.pid > 0 && is_this_boot() &&
           is_same("intent.json", &box.header.intent) && is_same("state.json", &box.header.state) &&
           find_strings(data + sizeof box.header, data + length);
}

// ---- The init. ----

// As init.open_init: a zombie is dead, and so is another process by the same number.
static enum answer lives(void)
{
    char path[sizeof "/proc//stat" + 10] = "/proc/";
    char text[1024];
    char *at, *end;
    ssize_t length;

    memcpy(decimal(path + strlen(path), (uint32_t)box.header.pid), "/stat", sizeof "/stat");
    length = read_file(AT_FDCWD, path, text, sizeof text);
    if (length < 0)
        return errno == ENOENT || errno == ESRCH ? NO : UNKNOWN;
    text[length] = '\0';
    at = strrchr(text, ')'); // the name before it may hold anything
    if (!at || at[1] != ' ' || at[2] == '\0')
        return UNKNOWN;
    if (strchr("ZXx", at[2]))
        return NO;
    at += 2; // field 3
    for (int field = 3; field < 22; field++) {
        at = strchr(at, ' ');
        if (!at)
            return UNKNOWN;
        at++;
    }
    errno = 0;
    return strtoull(at, &end, 10) == box.header.started && errno == 0 && *end == ' ' ? YES : NO;
}

static enum answer is_frozen(void)
{
    char text[16];
    ssize_t length;

    if (!*box.frozen)
        return NO;
    length = read_file(AT_FDCWD, box.frozen, text, sizeof text);
    if (length < 0)
        return UNKNOWN;
    text[length] = '\0';
    if (box.header.flags & FAST_LEGACY)
        return strcmp(text, "THAWED\n") == 0 ? NO : YES;
    return strcmp(text, "0\n") == 0 ? NO : YES;
}

// ---- The verbs. ----

static int start(void)
{
    struct pollfd report = {.events = POLLIN};
    int fifo, count;

    if (lives() != YES)
        return FAST_PYTHON;
    report.fd = openat(box.folder, "result.fifo", O_RDONLY | FIFO);
    fifo = openat(box.folder, "exec.fifo", O_WRONLY | FIFO);
    if (report.fd < 0 || fifo < 0 || write(fifo, "0", 1) != 1)
        return FAST_PYTHON;
    close(fifo);
    do
        count = poll(&report, 1, -1);
    while (count < 0 && errno == EINTR);
    if (count < 0 || (report.revents & POLLIN)) {
        // It says why the program does not run, and that is Python's to explain: the report lasts as
        // long as somebody has the fifo open.
        fcntl(report.fd, F_SETFD, 0);
        return FAST_PYTHON;
    }
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
    enum answer alive = lives();
    int fifo;

    if (alive != YES)
        return alive == NO ? "stopped" : NULL;
    fifo = openat(box.folder, "exec.fifo", O_WRONLY | FIFO);
    if (fifo >= 0) {
        close(fifo);
        return "created";
    }
    if (errno != ENOENT && errno != ENXIO)
        return NULL;
    frozen = is_frozen();
    if (frozen == UNKNOWN)
        return NULL;
    return frozen == YES ? "paused" : "running";
}

static int state(void)
{
    static char text[FAST_LIMIT + 64];
    const char *word = status();
    char *end;

    if (!word)
        return FAST_PYTHON;
    end = stpcpy(text, box.before);
    end = decimal(end, strcmp(word, "stopped") == 0 ? 0 : (uint32_t)box.header.pid);
    end = stpcpy(stpcpy(stpcpy(end, box.between), word), box.behind);
    return say(text, (size_t)(end - text)) ? EXIT_SUCCESS : FAST_PYTHON;
}

static int kill_init(int number)
{
    // A frozen v1 cgroup keeps even SIGKILL waiting: Python thaws it. Asked again afterwards, for it
    // may have been frozen meanwhile; to kill twice does no harm.
    const bool thaws = number == SIGKILL && (box.header.flags & FAST_LEGACY);
    int pidfd = (int)syscall(SYS_pidfd_open, box.header.pid, 0);

    // After pidfd_open: what we compare now is what the descriptor stands for, or it is dead.
    if (pidfd < 0 || lives() != YES) // (pidfds are close-on-exec)
        return FAST_PYTHON;
    if (thaws && is_frozen() != NO)
        return FAST_PYTHON;
    if (syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0) < 0)
        return FAST_PYTHON;
    return thaws && is_frozen() == YES && lives() == YES ? FAST_PYTHON : EXIT_SUCCESS;
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

static int delete_box(const char *id)
{
    // The intent last: until then whoever comes after a crash can finish this.
    static const char *const NAMES[] = {"fast",        "exec.fifo",  "hooks.log",   "result.fifo",
                                        "state.json", "intent.json", NULL};
    const char *cgroup = box.cgroups;

    if (lives() != NO || !knows_all_files(NAMES))
        return FAST_PYTHON;
    for (uint32_t i = 0; i < box.header.cgroups; i++, cgroup += strlen(cgroup) + 1)
        if (rmdir(cgroup) < 0 && errno != ENOENT)
            return FAST_PYTHON; // it has processes or cgroups of its own: they are to be ended first
    for (const char *const *name = NAMES; *name; name++)
        if (unlinkat(box.folder, *name, 0) < 0 && errno != ENOENT)
            return FAST_PYTHON;
    return unlinkat(box.root, id, AT_REMOVEDIR) == 0 || errno == ENOENT ? EXIT_SUCCESS
                                                                        : FAST_PYTHON;
}

static int carry_out(const struct words *words)
{
    static const uint32_t NEEDED[] = {0, FAST_START, FAST_STATE, FAST_KILL, FAST_DELETE};
    const bool changes = words->verb == VERB_START || words->verb == VERB_DELETE;
    enum answer found = open_container(words);

    if (found == NO && words->force)
        return EXIT_SUCCESS;
    if (found != YES || (changes && flock(box.folder, LOCK_EX | LOCK_NB) < 0))
        return FAST_PYTHON;
    // Looked at again: somebody may have removed it before it was ours to lock.
    if ((changes && !is_private(box.folder)) || !load(NEEDED[words->verb]))
        return FAST_PYTHON;
    if (words->verb == VERB_START)
        return start();
    if (words->verb == VERB_STATE)
        return state();
    return words->verb == VERB_KILL ? kill_init(words->signal) : delete_box(words->id);
}

int fast_verb(int argc, char **argv)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    struct words words;
    int code;

    if (getenv("PYRUN_NO_FAST") || !words_read(argc, argv, &words) ||
        (words.log && !can_log(words.log)))
        return FAST_PYTHON;
    // A reader that goes away is an error to report, of the fifo or of standard output.
    if (sigaction(SIGPIPE, &ignore, &before) < 0)
        return FAST_PYTHON;
    code = carry_out(&words);
    if (code == FAST_PYTHON)
        sigaction(SIGPIPE, &before, NULL);
    return code;
}
