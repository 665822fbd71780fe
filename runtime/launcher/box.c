// SPDX-License-Identifier: Apache-2.0
// Finds a container's folder, and believes what create has left there only if all of it is true
// still. Nothing is changed here.

#include "box.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ops.gen.h"

#define FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define EXECUTOR "pyrun:" // so it is called, as long as it is one
#define DEAD "ZXx"
#define INITIAL_MAP "         0          0 4294967295\n" // of user ids: user_namespaces(7)

struct box box = {.root = -1, .folder = -1}; // not fd 0: box_close() may come without box_open()

ssize_t box_read_open(int fd, char *out, size_t size)
{
    ssize_t length = 0, got;

    while ((got = read(fd, out + length, size - (size_t)length)) > 0)
        length += got;
    if (got == 0 && (size_t)length == size)
        errno = EFBIG;
    close(fd);
    return got < 0 || (size_t)length == size ? -1 : length;
}

ssize_t box_read(int folder, const char *path, char *out, size_t size)
{
    int fd = openat(folder, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    return fd < 0 ? -1 : box_read_open(fd, out, size);
}

ssize_t box_read_regular(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat found;

    if (fd >= 0 && fstat(fd, &found) == 0 && S_ISREG(found.st_mode))
        return box_read_open(fd, out, size);
    if (fd >= 0)
        close(fd);
    return -1;
}

char *box_decimal(char *out, uint64_t number)
{
    uint64_t unit = 1;

    while (number / unit >= 10)
        unit *= 10;
    for (; unit; unit /= 10)
        *out++ = (char)('0' + number / unit % 10);
    *out = '\0';
    return out;
}

uint32_t box_sum(const void *data, size_t size)
{
    static uint32_t table[256];
    const unsigned char *at = data;
    uint32_t crc = UINT32_MAX;

    for (uint32_t i = 0; i < 256 && !table[255]; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++)
            table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xEDB88320U : 0);
    }
    while (size--)
        crc = crc >> 8 ^ table[(crc ^ *at++) & 0xFF];
    return ~crc;
}

// ---- Where the container is. ----

bool box_is_private(int fd)
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
        return BOX_ROOT;
    if (box_read(AT_FDCWD, "/proc/self/uid_map", map, sizeof map) != sizeof INITIAL_MAP - 1 ||
        memcmp(map, INITIAL_MAP, sizeof INITIAL_MAP - 1) != 0)
        return NULL;
    return BOX_ROOT;
}

bool box_can_log(const char *path)
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

enum answer box_open_root(const struct words *words)
{
    const char *root = words->root ? words->root : default_root();

    if (!root)
        return UNKNOWN;
    box.root = open(root, FOLDER);
    if (box.root < 0)
        return errno == ENOENT ? NO : UNKNOWN;
    return box_is_private(box.root) ? YES : UNKNOWN;
}

enum answer box_open(const struct words *words)
{
    enum answer found = box_open_root(words);

    if (found != YES)
        return found;
    box.folder = openat(box.root, words->id, FOLDER);
    if (box.folder < 0)
        return errno == ENOENT ? NO : UNKNOWN;
    return box_is_private(box.folder) ? YES : UNKNOWN;
}

void box_close(void)
{
    close(box.root);
    close(box.folder);
}

// ---- What create has left. ----

static bool is_same(const char *name, const struct fast_seen *seen)
{
    struct stat found;

    return fstatat(box.folder, name, &found, AT_SYMLINK_NOFOLLOW) == 0 &&
           found.st_ino == seen->inode && (uint64_t)found.st_size == seen->size &&
           found.st_mtim.tv_sec * INT64_C(1000000000) + found.st_mtim.tv_nsec == seen->changed;
}

bool box_is_boot(const char *boot_id)
{
    char id[FAST_BOOT_ID + 2];

    return box_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", id, sizeof id) ==
               FAST_BOOT_ID + 1 &&
           memcmp(id, boot_id, FAST_BOOT_ID) == 0;
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

bool box_load(uint32_t verb)
{
    static char data[FAST_LIMIT + 1];
    const size_t behind_crc = offsetof(struct fast_header, crc) + sizeof box.header.crc;
    ssize_t length = box_read(box.folder, "fast", data, sizeof data);

    if (length < (ssize_t)sizeof box.header)
        return false;
    memcpy(&box.header, data, sizeof box.header);
    return memcmp(box.header.magic, FAST_MAGIC, sizeof box.header.magic) == 0 &&
           box.header.version == FAST_VERSION && box.header.build == OPS_CHECKSUM &&
           box.header.size == (size_t)length &&
           box.header.crc == box_sum(data + behind_crc, (size_t)length - behind_crc) &&
           (box.header.flags & verb) && box.header.pid > 0 && box_is_boot(box.header.boot_id) &&
           is_same("intent.json", &box.header.intent) && is_same("state.json", &box.header.state) &&
           find_strings(data + sizeof box.header, data + length);
}

// ---- The init. ----

enum answer box_started(pid_t pid, uint64_t *out)
{
    char path[sizeof "/proc//stat" + 10] = "/proc/";
    char text[1024];
    char *at, *end;
    ssize_t length;

    memcpy(box_decimal(path + strlen(path), (uint32_t)pid), "/stat", sizeof "/stat");
    length = box_read(AT_FDCWD, path, text, sizeof text);
    if (length < 0)
        return errno == ENOENT || errno == ESRCH ? NO : UNKNOWN;
    text[length] = '\0';
    at = strrchr(text, ')'); // the name before it may hold anything
    if (!at || at[1] != ' ' || at[2] == '\0')
        return UNKNOWN;
    if (strchr(DEAD, at[2]))
        return NO;
    at += 2; // field 3
    for (int field = 3; field < 22; field++) {
        at = strchr(at, ' ');
        if (!at)
            return UNKNOWN;
        at++;
    }
    errno = 0;
    *out = strtoull(at, &end, 10);
    return errno == 0 && *end == ' ' ? YES : UNKNOWN;
}

bool box_has_begun(pid_t pid)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    char path[sizeof "/proc//stat" + 10] = "/proc/";
    char text[1024];

    stpcpy(box_decimal(path + strlen(path), (uint32_t)pid), "/stat");
    for (int left = 100; left; left--) {
        ssize_t length = box_read(AT_FDCWD, path, text, sizeof text);
        const char *name, *rest;

        if (length < 0)
            return true;
        text[length] = '\0';
        name = strchr(text, '(');
        rest = strrchr(text, ')');
        if (!name || !rest || strncmp(name + 1, EXECUTOR, strlen(EXECUTOR)) != 0)
            return true;
        if (rest[1] == ' ' && strchr(DEAD, rest[2]))
            return false;
        nanosleep(&moment, NULL);
    }
    return true;
}

enum answer box_lives(void)
{
    uint64_t started;
    enum answer found = box_started(box.header.pid, &started);

    return found == YES && started != box.header.started ? NO : found;
}

enum answer box_is_frozen(void)
{
    char text[16];
    ssize_t length;

    if (!*box.frozen)
        return NO;
    length = box_read(AT_FDCWD, box.frozen, text, sizeof text);
    if (length < 0)
        return UNKNOWN;
    text[length] = '\0';
    if (box.header.flags & FAST_LEGACY)
        return strcmp(text, "THAWED\n") == 0 ? NO : YES;
    return strcmp(text, "0\n") == 0 ? NO : YES;
}
