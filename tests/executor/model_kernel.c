/* SPDX-License-Identifier: Apache-2.0 */
/* The model's descriptors, and the runtime at the other end of one. */
#include "model.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

struct model model;
extern int report_fd, runtime_fd, slot[];

static struct {
    char open;
    enum what what;
} fds[MODEL_FDS];
static void *maps[4];

uint8_t model_byte(void)
{
    return model.at < model.end ? *model.at++ : 0;
}

/* One byte a call: a quarter of them fail. */
int fails(void)
{
    static const int numbers[] = {ENOENT, EPERM,   EINTR, EAGAIN,    ENOMEM, EACCES,
                                  EEXIST, EINVAL,  EIO,   ENOTDIR,   EMFILE, ELOOP,
                                  EROFS,  ENODATA, ENXIO, EOPNOTSUPP};
    const uint8_t byte = model_byte();
    if (byte < 0xC0)
        return 0;
    errno = numbers[byte % (sizeof numbers / sizeof *numbers)];
    return 1;
}

int result(void)
{
    return fails() ? -1 : 0;
}

void over(void)
{
    longjmp(model.over, 1);
}

/* As the kernel reads it: what is there, and, under MSan, has been set. */
static volatile uint8_t seen;
void touch(const void *bytes, size_t size)
{
#if __has_feature(memory_sanitizer)
    __msan_check_mem_is_initialized(bytes, size);
#endif
    for (size_t i = 0; i < size; i++)
        seen ^= ((const uint8_t *)bytes)[i];
}

void read_string(const char *text)
{
    if (text)
        touch(text, strlen(text) + 1);
}

/* As it writes: bytes of the input. */
void put(void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)bytes)[i] = model_byte();
}

int is_open(int fd)
{
    if (fd >= 0 && fd < MODEL_FDS && fds[fd].open)
        return 1;
    errno = EBADF;
    return 0;
}

int is_folder(int fd)
{
    return fd == AT_FDCWD || is_open(fd);
}

/* A new descriptor. Close-on-exec, or a container could come to it (CVE-2024-21626). */
int give(enum what what, int closes)
{
    MODEL_HOLDS(closes);
    if (fails())
        return -1;
    for (int fd = 0; fd < MODEL_FDS; fd++)
        if (!fds[fd].open) {
            fds[fd].open = 1;
            fds[fd].what = what;
            return fd;
        }
    errno = EMFILE;
    return -1;
}

int copy_to(int from, int to)
{
    if (!is_open(from) || to < 0 || to >= MODEL_FDS || fails())
        return -1;
    fds[to] = fds[from];
    return to;
}

enum what what_of(int fd)
{
    return fds[fd].what;
}

void model_begin(void)
{
    memset(fds, 0, sizeof fds);
    for (int fd = 0; fd <= MODEL_RUNTIME; fd++)
        fds[fd].open = 1;
    fds[0].what = fds[1].what = NULL_DEVICE;
    fds[2].what = PIPE;
    fds[MODEL_RUNTIME].what = RUNTIME;
}

void model_end(void)
{
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
        free(maps[i]);
        maps[i] = NULL;
    }
}

int model_close(int fd)
{
    if (!is_open(fd)) {
        /* Whatever has that number next would be closed in its place. */
        MODEL_HOLDS(fd < 0 || model.swept);
        return -1;
    }
    fds[fd].open = 0;
    return result();
}

int sweep(unsigned first, unsigned last)
{
    if (fails())
        return -1;
    for (unsigned fd = first; fd <= last && fd < MODEL_FDS; fd++)
        fds[fd].open = 0;
    model.swept |= model.stage > 0;
    return 0;
}

/* The end of the process by its own will: somebody must know why. */
void quit_model(void)
{
    MODEL_HOLDS(model.told || model.deaf || model.child);
    over();
}

_Noreturn void model__exit(int code)
{
    (void)code;
    over();
    abort();
}

/* The user's program: all it gets is what it was meant to. */
int model_execve(const char *path, char *const *argv, char *const *env)
{
    read_string(path);
    for (; path && *argv; argv++)
        read_string(*argv);
    for (; path && *env; env++)
        read_string(*env);
    if (!path) {
        errno = EFAULT;
        return -1;
    }
    if (fails())
        return -1;
    for (int fd = MODEL_RUNTIME; fd < MODEL_FDS && !model.child && !model.tolerant; fd++) {
        int known = !fds[fd].open || fd == report_fd || fd == runtime_fd;
        for (int i = 0; i < PLAN_SLOTS && !known; i++)
            known = slot[i] == fd;
        MODEL_HOLDS(known);
    }
    if (getenv("MODEL_SAYS"))
        fputs("model: the program runs\n", stderr);
    over();
    return -1;
}

/* What the runtime is told. */
static void hear(int fd, const void *bytes, size_t size)
{
    struct message message;
    if (model.told) { /* evidence, once, and of a size that a FIFO takes whole */
        MODEL_HOLDS(model.told++ == 1 && size <= 4096);
        return;
    }
    if (size != sizeof message) { /* a pipe that has the number of what was closed */
        MODEL_HOLDS(fd != runtime_fd);
        return;
    }
    memcpy(&message, bytes, sizeof message);
    if (message.kind == MESSAGE_SYNC)
        model.point = message.value[0];
    if (message.kind != MESSAGE_FAILED)
        return;
    if (getenv("MODEL_SAYS"))
        fprintf(stderr, "model: %d: %s\n", message.value[0], strerror(message.value[1]));
    MODEL_HOLDS((uint32_t)message.value[0] < model.count || message.value[0] == -1);
    MODEL_HOLDS(message.value[1] > 0);
    model.told = 1;
}

ssize_t model_write(int fd, const void *bytes, size_t size)
{
    touch(bytes, size);
    const int report = !model.child && (fd == report_fd || fd == runtime_fd);
    if (!is_open(fd) || fails()) {
        model.deaf |= report;
        return -1;
    }
    if (report)
        hear(fd, bytes, size);
    return (ssize_t)size;
}

ssize_t model_writev(int fd, const struct iovec *parts, int count)
{
    ssize_t size = 0;
    for (int i = 0; i < count; i++) {
        touch(parts[i].iov_base, parts[i].iov_len);
        size += (ssize_t)parts[i].iov_len;
    }
    return !is_open(fd) || fails() ? -1 : size;
}

ssize_t model_sendmsg(int fd, const struct msghdr *packet, int flags)
{
    int sent;
    (void)flags;
    const struct cmsghdr *header = CMSG_FIRSTHDR(packet);
    MODEL_HOLDS(header);
    memcpy(&sent, CMSG_DATA(header), sizeof sent);
    if (!is_open(sent))
        return -1;
    return model_write(fd, packet->msg_iov->iov_base, packet->msg_iov->iov_len);
}

/* One descriptor or none into a message. */
static void attach(struct msghdr *packet, const int *sent, size_t count)
{
    MODEL_HOLDS(packet->msg_controllen >= CMSG_SPACE(count * sizeof *sent));
    packet->msg_controllen = count ? CMSG_SPACE(count * sizeof *sent) : 0;
    if (!count)
        return;
    struct cmsghdr *header = CMSG_FIRSTHDR(packet);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof *sent);
    memcpy(CMSG_DATA(header), sent, count * sizeof *sent);
}

/* What the runtime sends, in its order, or its end. */
ssize_t model_recvmsg(int fd, struct msghdr *packet, int flags)
{
    struct message message = {MESSAGE_GO, {0}};
    int sent[32];
    size_t count = 0;
    MODEL_HOLDS(flags & MSG_CMSG_CLOEXEC);
    if (!is_open(fd) || fails()) {
        model.deaf |= errno == ECONNRESET;
        return -1;
    }
    const uint8_t odd = model_byte();
    if (odd >= 0xF0) {
        model.deaf = 1;
        return 0;
    }
    if (model.stage == 0 && !model.times)
        model.stage++;
    if (model.stage == 0)
        message.kind = MESSAGE_TIMES;
    else if (model.stage == 1)
        message.kind = MESSAGE_FDS;
    else if (model.stage == 2)
        message.kind = MESSAGE_PLAN;
    if (model.stage == 1)
        count = model.donated;
    else if (model.stage < 3)
        count = 1;
    else
        count = model.point >= 0 && model.point & 1;
    for (size_t i = 0; i < count; i++) {
        const enum what kinds[] = {TIMES, OTHER, PLAN, FILE_THERE};
        sent[i] = give(kinds[model.stage < 3 ? model.stage : 3], 1);
        model.deaf |= sent[i] < 0; /* the message is cut: the executor gives up */
        if (sent[i] < 0)
            return 0;
    }
    model.stage += model.stage < 3;
    model.point = -1;
    packet->msg_flags = 0;
    memcpy(packet->msg_iov->iov_base, &message, sizeof message);
    attach(packet, sent, count);
    return sizeof message;
}

void *model_mmap(void *hint, size_t size, int protection, int flags, int fd, off_t offset)
{
    (void)hint, (void)protection, (void)flags, (void)offset;
    if (!is_open(fd) || fails() || !size)
        return (void *)-1;
    const int plan = fds[fd].what == PLAN;
    void **map = &maps[plan];
    if (*map) { /* no second one is asked for */
        errno = ENOMEM;
        return (void *)-1;
    }
    *map = calloc(1, size);
    if (plan)
        memcpy(*map, model.plan, size);
    return *map;
}

static void describe(struct stat *status, enum what what)
{
    static const mode_t modes[] = {S_IFREG | 0644, S_IFDIR | 0755, S_IFLNK | 0777,
                                   S_IFCHR | 0666, S_IFIFO | 0600, S_IFREG | 06755};
    memset(status, 0, sizeof *status);
    status->st_mode = modes[model_byte() % (sizeof modes / sizeof *modes)];
    status->st_size = model_byte();
    status->st_nlink = 1 + (model_byte() & 1);
    if (what == FOLDER)
        status->st_mode = S_IFDIR | 0755;
    if (what == PTMX || what == NULL_DEVICE)
        status->st_mode = S_IFCHR | 0666;
    status->st_rdev = what == PTMX ? makedev(5, 2) : makedev(1, 3);
    status->st_ino = 2;
    if (what == PLAN)
        status->st_size = (off_t)model.size;
    if (what == TIMES)
        status->st_size = 8L * (off_t)(model_byte() % (model.count + 2));
}

int model_fstat(int fd, struct stat *status)
{
    if (!is_open(fd) || fails())
        return -1;
    describe(status, fds[fd].what);
    return 0;
}

int model_fstatat(int fd, const char *name, struct stat *status, int flags)
{
    (void)flags;
    read_string(name);
    if (!is_folder(fd) || fails())
        return -1;
    describe(status, FILE_THERE);
    return 0;
}

int model_stat(const char *path, struct stat *status)
{
    return model_fstatat(AT_FDCWD, path, status, 0);
}

int model_fstatfs(int fd, struct statfs *fs)
{
    if (!is_open(fd) || fails())
        return -1;
    memset(fs, 0, sizeof *fs);
    const enum what what = fds[fd].what;
    fs->f_type = what == PROC ? PROC_SUPER_MAGIC : what == PTMX ? DEVPTS_SUPER_MAGIC : TMPFS_MAGIC;
    fs->f_flags = model_byte();
    return 0;
}
