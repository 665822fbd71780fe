/* SPDX-License-Identifier: Apache-2.0 */
/* What is there to see where an operation has failed: files as they look from inside, to the user
 * who was to use them, and what the kernel has to say about a file system that it would not make.
 * It is gathered when the failure has been reported, for a filter may end us here. Nothing follows
 * from it: the runtime makes words of it. */
#include "evidence.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>

#include "executor.h"
#include "paths.h"

#define HEAD 4096      /* bytes of a file in which we look for its interpreter */
#define INTERPRETERS 5 /* one of another: as deep as the kernel goes */

enum code {
#define OP(name, operands) CODE_##name,
    OPS(OP)
#undef OP
};

static char gathered[PIPE_BUF]; /* a FIFO takes it whole */
static size_t used;

static struct sighting seen;
static char content[HEAD];

/* A file or folder into `seen`, the target of a link or the begin of a program into `content`.
 * Returns the number of bytes that are there. */
static size_t look(int root, const char *path, uint64_t resolve)
{
    struct stat status;
    struct statfs fs;
    ssize_t size = 0;
    memset(&seen, 0, sizeof seen);
    int fd = open_at(root, path, O_PATH, resolve);
    if (fd < 0) {
        seen.number = errno;
        fd = open_at(root, path, O_PATH | O_NOFOLLOW, resolve);
    }
    if (fd < 0 || fstat(fd, &status) < 0)
        return 0;
    seen.mode = status.st_mode;
    seen.uid = status.st_uid;
    seen.gid = status.st_gid;
    if (fstatfs(fd, &fs) == 0)
        seen.flags = (uint32_t)fs.f_flags;
    if (S_ISLNK(status.st_mode))
        size = readlinkat(fd, "", content, sizeof content);
    close(fd);
    /* Below a root we are not the container's user yet: there, no file is opened. */
    if (!S_ISREG(status.st_mode) || seen.number || (resolve & RESOLVE_IN_ROOT))
        return size < 0 ? 0 : (size_t)size;
    fd = open_at(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, resolve);
    if (fd < 0)
        return 0;
    seen.readable = 1;
    seen.size = status.st_size > INT_MAX ? INT_MAX : (int32_t)status.st_size;
    size = pread(fd, content, sizeof content, 0);
    if (fgetxattr(fd, "security.capability", seen.capabilities, sizeof seen.capabilities) < 0)
        memset(seen.capabilities, 0, sizeof seen.capabilities);
    close(fd);
    return size < 0 ? 0 : (size_t)size;
}

static void keep(const char *path, size_t length, size_t size)
{
    seen.path = (uint16_t)(length < SIGHTING_TEXT ? length : SIGHTING_TEXT);
    seen.content = (uint16_t)(size < SIGHTING_TEXT ? size : SIGHTING_TEXT);
    if (sizeof gathered - used < sizeof seen + seen.path + seen.content)
        return;
    memcpy(gathered + used, &seen, sizeof seen);
    memcpy(gathered + used + sizeof seen, path, seen.path);
    memcpy(gathered + used + sizeof seen + seen.path, content, seen.content);
    used += sizeof seen + seen.path + seen.content;
}

static const char *elf_interpreter(size_t size)
{
    const int wide = content[EI_CLASS] == ELFCLASS64;
    Elf64_Ehdr header64;
    Elf32_Ehdr header32;
    if (size < sizeof header64)
        return NULL;
    memcpy(&header64, content, sizeof header64);
    memcpy(&header32, content, sizeof header32);
    uint64_t at = wide ? header64.e_phoff : header32.e_phoff;
    unsigned count = wide ? header64.e_phnum : header32.e_phnum;
    size_t step = wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
    for (; count && at < size && size - at >= step; count--, at += step) {
        Elf64_Phdr segment64;
        Elf32_Phdr segment32;
        if (wide)
            memcpy(&segment64, content + at, sizeof segment64);
        else
            memcpy(&segment32, content + at, sizeof segment32);
        if ((wide ? segment64.p_type : segment32.p_type) != PT_INTERP)
            continue;
        uint64_t start = wide ? segment64.p_offset : segment32.p_offset;
        uint64_t length = wide ? segment64.p_filesz : segment32.p_filesz;
        if (start >= size || length < 2 || length > size - start || content[start + length - 1])
            return NULL;
        return content + start;
    }
    return NULL;
}

/* What a file names as its interpreter, in `content`: the loader of an ELF file, or what is behind
 * a script's #!. NULL if it names none, or none that is near its begin. */
static const char *interpreter(size_t size)
{
    if (size > SELFMAG && memcmp(content, ELFMAG, SELFMAG) == 0)
        return elf_interpreter(size);
    if (size < 3 || content[0] != '#' || content[1] != '!')
        return NULL;
    size_t start = 2;
    while (start < size && (content[start] == ' ' || content[start] == '\t'))
        start++;
    for (size_t end = start; end < size; end++)
        if (strchr(" \t\n", content[end])) { /* or a NUL */
            content[end] = 0;
            return end > start ? content + start : NULL;
        }
    return NULL;
}

/* A path that can't be reached, and the deepest folder on the way that can. */
static void climb(const char *path, size_t size)
{
    char folder[PATH_MAX];
    size_t length = strlen(path);
    int number = seen.number;
    keep(path, length, size);
    if (length >= sizeof folder)
        return;
    memcpy(folder, path, length + 1);
    while (number && length) {
        while (length && folder[length - 1] != '/')
            length--;
        while (length > 1 && folder[length - 1] == '/')
            length--;
        if (!length)
            return;
        folder[length] = 0;
        size = look(AT_FDCWD, folder, RESOLVE_NO_MAGICLINKS);
        number = length > 1 ? seen.number : 0;
        if (!number)
            keep(folder, length, size);
    }
}

static void see_candidates(char **paths)
{
    for (int i = 0; paths[i]; i++) {
        size_t size = look(AT_FDCWD, paths[i], RESOLVE_NO_MAGICLINKS);
        if (seen.number == ENOENT && !seen.mode && (i || paths[1]))
            continue; /* not in this folder of several */
        climb(paths[i], size);
    }
}

static void see_program(const char *path)
{
    char next[PATH_MAX];
    for (int i = 0; path && i <= INTERPRETERS; i++) {
        size_t size = look(AT_FDCWD, path, RESOLVE_NO_MAGICLINKS);
        if (seen.number) {
            climb(path, size);
            return;
        }
        keep(path, strlen(path), size);
        path = interpreter(size);
        if (!path || strlen(path) >= sizeof next)
            return;
        memcpy(next, path, strlen(path) + 1);
        path = next;
    }
}

/* The first part of a path below the root that can't be reached, or is no folder. */
static void see_below(int root, const char *path, uint64_t resolve)
{
    char prefix[PATH_MAX];
    if (strlen(path) >= sizeof prefix)
        return;
    for (size_t end = 0; path[end];) {
        end += strspn(path + end, "/");
        end += strcspn(path + end, "/");
        memcpy(prefix, path, end);
        prefix[end] = 0;
        size_t size = look(root, prefix, resolve | RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
        if (seen.number || !S_ISDIR(seen.mode)) {
            keep(prefix, end, size);
            return;
        }
    }
}

/* fsopen(2): messages of the file system, one a read, kept until they are read. */
static void read_log(int context)
{
    ssize_t size;
    while (used < sizeof gathered / 4 &&
           (size = read(context, gathered + used, sizeof gathered / 2)) > 0) {
        used += (size_t)size;
        gathered[used++] = '\n';
    }
}

static void see_as_user(void)
{
    const uint32_t ids[] = {(uint32_t)geteuid(), (uint32_t)getegid()};
    memcpy(gathered, ids, sizeof ids);
    used = sizeof ids;
}

size_t evidence(const struct plan_op *op, const char **bytes)
{
    used = 0;
    *bytes = gathered;
    switch (op->code) {
    case CODE_fsconfig:
    case CODE_copy_mode:
    case CODE_fsmount:
        read_log(slot[op->arg[0]]);
        break;
    case CODE_make_in_root:
    case CODE_open_in_root:
        see_as_user();
        see_below(slot[op->arg[0]], str(op->arg[1]), op->arg[3]);
        break;
    case CODE_find_executable:
        see_as_user();
        see_candidates(list(op->arg[0]));
        break;
    case CODE_execve:
        see_as_user();
        see_program(executable);
        break;
    default:
        break;
    }
    return used;
}
