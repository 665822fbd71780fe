// SPDX-License-Identifier: Apache-2.0
// The files in a container's folder, and the one that tells the engine its pid.

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "creation.h"
#include "fast.h"
#include "ops.gen.h"

static void name_temporary(const char *name, char *out)
{
    *out = '.';
    box_decimal(stpcpy(stpcpy(out + 1, name), "."), (uint64_t)getpid());
}

// Whole, under its name or not at all. `lasting`: it survives the machine, where that can be.
static bool put(const char *name, const char *data, size_t size, bool lasting)
{
    char temporary[64];
    struct stat found;
    bool written;
    int fd;

    name_temporary(name, temporary);
    fd = openat(box.folder, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    // Only a file system in memory has no block device behind st_dev.
    written =
        write(fd, data, size) == (ssize_t)size &&
        (!lasting || (fstat(fd, &found) == 0 && (major(found.st_dev) == 0 || fdatasync(fd) == 0)));
    close(fd);
    return written && renameat(box.folder, temporary, box.folder, name) == 0;
}

bool folder_put(const char *name, enum template_text text, bool lasting)
{
    char *stop =
        template_fill(&us.template, us.template.texts[text], filled, filled + sizeof filled);

    return stop && put(name, filled, (size_t)(stop - filled), lasting);
}

static bool look_at(const char *name, struct fast_seen *out)
{
    struct stat found;

    if (fstatat(box.folder, name, &found, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    out->inode = found.st_ino;
    out->size = (uint64_t)found.st_size;
    out->changed = found.st_mtim.tv_sec * INT64_C(1000000000) + found.st_mtim.tv_nsec;
    return true;
}

// The file for the verbs that follow, as shortcut.py packs it.
bool folder_put_fast(void)
{
    const struct template *from = &us.template;
    const size_t behind_crc = offsetof(struct fast_header, crc) + sizeof(uint32_t);
    struct fast_header header = {.version = FAST_VERSION,
                                 .build = OPS_CHECKSUM,
                                 .flags = from->header.fast,
                                 .pid = us.child.pid,
                                 .cgroups = from->header.directories,
                                 .started = box.header.started};
    const char *directories = from->directories, *end = filled + sizeof filled;
    char *at = filled + sizeof header;

    memcpy(header.magic, FAST_MAGIC, sizeof header.magic);
    memcpy(header.boot_id, from->header.boot_id, sizeof from->header.boot_id);
    for (int text = TEXT_BEFORE; text <= TEXT_FROZEN; text++) {
        at = template_fill(from, from->texts[text], at, end);
        if (!at++)
            return false;
    }
    for (uint32_t i = 0; i < header.cgroups; i++) {
        at = template_fill(from, template_next(&directories), at, end);
        if (!at++)
            return false;
    }
    header.size = (uint32_t)(at - filled);
    if (!look_at("intent.json", &header.intent) || !look_at("state.json", &header.state))
        return false;
    memcpy(filled, &header, sizeof header);
    header.crc = box_sum(filled + behind_crc, header.size - behind_crc);
    memcpy(filled, &header, sizeof header);
    return header.size > FAST_LIMIT || put("fast", filled, header.size, false);
}

bool folder_remove(void)
{
    // The intent last, as in fast.c; one that was being written when it failed has its own name.
    static const char *const NAMES[] = {"fast",        "exec",       "exec.fifo",
                                        "result.fifo", "state.json", "intent.json"};
    char temporary[64];

    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        name_temporary(NAMES[i], temporary);
        if ((unlinkat(box.folder, temporary, 0) < 0 && errno != ENOENT) ||
            (unlinkat(box.folder, NAMES[i], 0) < 0 && errno != ENOENT))
            return false;
    }
    return unlinkat(box.root, us.words->id, AT_REMOVEDIR) == 0;
}

// As teardown.write_pid_file; the path is absolute.
bool folder_put_pid(const char *path)
{
    char temporary[PATH_MAX + 16];
    const char *name = strrchr(path, '/') + 1;
    bool written;
    int fd;

    memcpy(temporary, path, (size_t)(name - path));
    box_decimal(stpcpy(stpcpy(stpcpy(temporary + (name - path), "."), name), "."),
                (uint64_t)getpid());
    unlink(temporary);
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return false;
    written = fchmod(fd, 0644) == 0 && write(fd, us.pid, strlen(us.pid)) == (ssize_t)strlen(us.pid);
    close(fd);
    if (written && rename(temporary, path) == 0)
        return true;
    unlink(temporary);
    return false;
}
