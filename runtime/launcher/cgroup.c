// SPDX-License-Identifier: Apache-2.0
// A container's cgroup, as pyrun/cgroup/v1.py and v2.py make it.

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../pyrun/kernel/bpf_device.h"
#include "creation.h"

#define BPF_INSN 8 // bytes of an instruction
#define PATIENCE 6 // times that a process may be too new for the cpu controller

bool cgroup_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC), error;
    ssize_t written;

    if (fd < 0)
        return false;
    written = write(fd, text, strlen(text));
    error = written < 0 ? errno : EIO; // a part of it
    close(fd);
    errno = error;
    return written == (ssize_t)strlen(text);
}

// A new cpuset is empty, and the kernel refuses a process until it has CPUs and memory nodes.
static bool inherit(const char *path, const char *file)
{
    char own[PATH_MAX], parent[PATH_MAX], text[4096];
    const char *slash = strrchr(path, '/');
    ssize_t length;

    stpcpy(stpcpy(own, path), file);
    memcpy(parent, path, (size_t)(slash - path));
    stpcpy(parent + (slash - path), file);
    length = box_read(AT_FDCWD, own, text, sizeof text);
    if (length > 1)
        return true;
    length = length < 0 ? -1 : box_read(AT_FDCWD, parent, text, sizeof text);
    if (length <= 1) // it has none either
        return false;
    text[length - 1] = '\0';
    return cgroup_write(own, text);
}

bool cgroup_is_free(void)
{
    const char *directories = us.template.directories, *end = filled + sizeof filled;
    struct stat found;

    for (uint32_t i = 0; i < us.template.header.directories; i++)
        if (!template_fill(&us.template, template_next(&directories), filled, end) ||
            lstat(filled, &found) == 0 || errno != ENOENT)
            return false;
    return true;
}

static bool make_directories(void)
{
    const char *directories = us.template.directories, *end = filled + sizeof filled;

    for (; us.cgroup < us.template.header.directories; us.cgroup++)
        // One that is there, or whose parent isn't, is for Python to look at.
        if (!template_fill(&us.template, template_next(&directories), filled, end) ||
            mkdir(filled, 0755) < 0)
            return false;
    return true;
}

static bool set_limits(void)
{
    const struct template *from = &us.template;
    const char *end = filled + sizeof filled, *writes = from->writes;
    char *stop = template_fill(from, from->texts[TEXT_CPUSET], filled, end);

    if (!stop || stop - filled > PATH_MAX - 32)
        return false;
    if (*filled && (!inherit(filled, "/cpuset.cpus") || !inherit(filled, "/cpuset.mems")))
        return false;
    for (uint32_t i = 0; i < from->header.writes; i++) {
        stop = template_fill(from, template_next(&writes), filled, end);
        if (!stop || !template_fill(from, template_next(&writes), stop + 1, end) ||
            !cgroup_write(filled, stop + 1))
            return false;
    }
    return true;
}

// ---- In the unified hierarchy. ----

// Where those above do not pass on all of its controllers, or stand still, Python sees to it.
static bool open_place(void)
{
    const struct template *from = &us.template;
    const char *directory = from->directories, *end = filled + sizeof filled;
    char text[4096];
    ssize_t length;

    if (from->header.directories != 1 ||
        !template_fill(from, template_next(&directory), filled, end))
        return false;
    us.place = open(filled, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    length = us.place < 0 ? -1 : box_read(us.place, "cgroup.events", text, sizeof text - 1);
    if (length < 0)
        return false;
    text[length] = '\0';
    if (strstr(text, "frozen 1")) // the process would never become the executor
        return false;
    length = box_read(us.place, "cgroup.controllers", text, sizeof text);
    return length >= 0 && template_fill(from, from->texts[TEXT_CONTROLLERS], filled, end) &&
           (size_t)length == strlen(filled) && memcmp(text, filled, (size_t)length) == 0;
}

static bool filter_devices(void)
{
    char *stop = template_fill(&us.template, us.template.texts[TEXT_DEVICES], filled,
                               filled + sizeof filled);
    int program = -1;
    bool attached;

    if (!stop || stop == filled)
        return stop;
    attached = pyrun_bpf_prog_load(filled, (unsigned)(stop - filled) / BPF_INSN, &program) == 0 &&
               pyrun_bpf_prog_attach(program, us.place, -1) == 0;
    if (program >= 0)
        close(program);
    return attached;
}

bool cgroup_make(void)
{
    const bool unified = us.template.header.flags & TEMPLATE_INTO;

    return make_directories() && (!unified || open_place()) && set_limits() &&
           (!unified || filter_devices());
}

bool cgroup_remove(void)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    const char *directories = us.template.directories, *end = filled + sizeof filled;

    for (; us.cgroup; us.cgroup--) {
        if (!template_fill(&us.template, template_next(&directories), filled, end))
            return false;
        // A process can be gone a moment before it has left its cgroup.
        for (int left = 200; rmdir(filled) < 0 && errno != ENOENT; left--)
            if (errno != EBUSY || left == 0 || nanosleep(&moment, NULL) < 0)
                return false;
    }
    return true;
}

bool cgroup_enter(const char *directory)
{
    const struct timespec moment = {.tv_nsec = 30000000};
    char path[PATH_MAX + sizeof "/cgroup.procs"];

    if (strlen(directory) >= PATH_MAX)
        return false;
    stpcpy(stpcpy(path, directory), "/cgroup.procs");
    // EINVAL: so new that the cpu controller can't move it yet.
    for (int left = PATIENCE; !cgroup_write(path, us.pid); left--)
        if (errno != EINVAL || left == 0 || nanosleep(&moment, NULL) < 0)
            return false;
    return true;
}

bool cgroup_join(void)
{
    const char *directories = us.template.directories, *end = filled + sizeof filled;

    if (us.place >= 0) // it was born there
        return close(us.place) == 0;
    for (uint32_t i = 0; i < us.template.header.directories; i++)
        if (!template_fill(&us.template, template_next(&directories), filled, end) ||
            !cgroup_enter(filled))
            return false;
    return true;
}
