// SPDX-License-Identifier: Apache-2.0
// Whether a template is true of this host and this caller: all that the compiler was told when it
// was made (pyrun/host.py, pyrun/cgroup/facts.py) is so again.

#include "truth.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "box.h"
#include "launcher.h"

static uint64_t effective_capabilities(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];

    if (syscall(SYS_capget, &header, data) < 0)
        return 0;
    return (uint64_t)data[1].effective << 32 | data[0].effective;
}

// The same hierarchies with the same controllers; with TEMPLATE_OWN the same places in them as
// well.
static bool is_own_cgroup(const struct template *from)
{
    static char now[65536], then[65536];
    const char *a = now, *b = then;
    ssize_t length = box_read(AT_FDCWD, "/proc/self/cgroup", now, sizeof now);

    if (length < 0 || !template_fill(from, from->texts[TEXT_OWN], then, then + sizeof then))
        return false;
    now[length] = '\0';
    if (from->header.flags & TEMPLATE_OWN)
        return strcmp(now, then) == 0;
    // number:controllers:path
    while (*a && *b) {
        for (int colons = 0; colons < 2; a++, b++) {
            if (*a != *b || *a == '\0')
                return false;
            colons += *a == ':';
        }
        a = strchr(a, '\n');
        b = strchr(b, '\n');
        if (!a++ || !b++)
            return false;
    }
    return *a == *b;
}

// No hierarchy has come or gone, and the machine has the name that it had (personality(2)).
static bool is_same_place(const struct template *from)
{
    static char now[1 << 18], then[1 << 16];
    const char *line = now;
    struct utsname system;
    size_t length;
    ssize_t size = box_read(AT_FDCWD, "/proc/self/mountinfo", now, sizeof now);

    if (size < 0 || uname(&system) < 0 ||
        !template_fill(from, from->texts[TEXT_PLACES], then, then + sizeof then))
        return false;
    now[size] = '\0';
    length = strlen(system.machine);
    if (strncmp(then, system.machine, length) != 0 || then[length] != '\n')
        return false;
    for (const char *next, *other = then + length + 1;; line = next) {
        const char *kind = strstr(line, " - cgroup");

        if (!kind)
            return *other == '\0';
        // The line that it stands in.
        while (kind > line && kind[-1] != '\n')
            kind--;
        next = strchr(kind, '\n');
        if (!next || strncmp(other, kind, (size_t)(next + 1 - kind)) != 0)
            return false;
        next++;
        other += next - kind;
    }
}

static bool is_root(const char *path)
{
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_NO_SYMLINKS};
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);

    if (fd < 0)
        return false;
    close(fd);
    return true;
}

static uint64_t changed(const struct stat *of)
{
    return (uint64_t)(of->st_ctim.tv_sec * INT64_C(1000000000) + of->st_ctim.tv_nsec);
}

// Another compiler could make another plan of the same config.
static bool is_of_this_build(const struct template *from)
{
    char path[PATH_MAX];
    struct stat found;

    return launcher_file("pyrun.pack", path) && stat(path, &found) == 0 &&
           found.st_ino == from->header.pack[0] && changed(&found) == from->header.pack[1];
}

static bool is_ours(const struct stat *namespace)
{
    static const char *const NAMES[] = {"/proc/self/ns/net", "/proc/self/ns/ipc",
                                        "/proc/self/ns/uts", "/proc/self/ns/pid"};
    struct stat found;

    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (stat(NAMES[i], &found) < 0 ||
            (found.st_dev == namespace->st_dev && found.st_ino == namespace->st_ino))
            return true;
    return false;
}

static bool holds(uint32_t kind, const uint64_t *seen, const char *path)
{
    struct stat found;

    if (kind == CHECK_ROOT)
        return template_is_path(path, strlen(path)) && is_root(path);
    if (stat(path, &found) < 0)
        return false;
    if (kind == CHECK_SAME)
        return found.st_dev == seen[0] && found.st_ino == seen[1];
    if (kind == CHECK_UNCHANGED)
        return found.st_ino == seen[0] && changed(&found) == seen[1];
    if (kind == CHECK_OTHER)
        return !is_ours(&found);
    return kind == (S_ISDIR(found.st_mode) ? CHECK_DIRECTORY : CHECK_FILE);
}

bool truth(const struct template *from)
{
    const struct template_header *header = &from->header;
    const char *at = from->checks;
    char path[PATH_MAX];

    if (!is_of_this_build(from) || !box_is_boot(header->boot_id) ||
        effective_capabilities() != header->capabilities)
        return false;
    // A process that joins goes to the directories on record, wherever hierarchies are.
    if (!(header->flags & TEMPLATE_EXEC) && (!is_own_cgroup(from) || !is_same_place(from)))
        return false;
    for (uint32_t i = 0; i < header->checks; i++) {
        uint32_t kind;
        uint64_t seen[2];

        memcpy(&kind, at, sizeof kind);
        memcpy(seen, at + sizeof kind, sizeof seen);
        at += sizeof kind + sizeof seen;
        if (!template_fill(from, template_next(&at), path, path + sizeof path) ||
            !holds(kind, seen, path))
            return false;
    }
    return true;
}
