// SPDX-License-Identifier: Apache-2.0

#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../pyrun/kernel/spawn.h"
#include "box.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x10U
#endif
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define SEAL_EXEC 0x20
#define MOST_FDS 8

// ---- What it is made of: files in memory that nobody can change. ----

static int seal(int fd, bool made, int seals)
{
    if (made && (fcntl(fd, F_ADD_SEALS, seals) == 0 || fcntl(fd, F_ADD_SEALS, SEALS) == 0))
        return fd;
    close(fd);
    return -1;
}

static bool copy(const char *path, int to)
{
    int from = open(path, O_RDONLY | O_CLOEXEC);
    struct stat found;
    off_t done = 0;

    if (from < 0)
        return false;
    if (fstat(from, &found) == 0)
        while (done < found.st_size &&
               sendfile(to, from, &done, (size_t)(found.st_size - done)) > 0)
            ;
    close(from);
    return done > 0 && done == found.st_size;
}

static int seal_program(const char *path)
{
    int fd = memfd_create("pyrun", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

    if (fd < 0 && errno == EINVAL) // before 6.3 every one is executable
        fd = memfd_create("pyrun", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    // Not readable: so its memory is ours, and not that of a user namespace (CVE-2016-9962).
    return fd < 0 ? -1 : seal(fd, copy(path, fd) && fchmod(fd, 0111) == 0, SEALS | SEAL_EXEC);
}

static int seal_plan(const char *plan, size_t size)
{
    int fd = memfd_create("plan", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    return fd < 0 ? -1 : seal(fd, write(fd, plan, size) == (ssize_t)size, SEALS);
}

// ---- The process. ----

bool child_start(struct child *out, const char *executor, const char *title, uint64_t namespaces,
                 int into)
{
    int program = seal_program(executor);
    char number[16];
    // The first descriptor that is not for the container. execveat(2) changes nothing of these.
    const char *words[] = {title, number, "3", NULL};
    int pair[2], pid = -1;

    if (program < 0)
        return false;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0) {
        box_decimal(number, (uint32_t)pair[1]);
        pid = pyrun_spawn(program, (char **)words, pair[1], namespaces, into, &out->pidfd);
        close(pair[1]);
        out->socket = pair[0];
        if (pid < 0) {
            close(pair[0]);
            out->pidfd = -1;
        }
    }
    close(program);
    out->pid = pid;
    return pid > 0;
}

bool child_becomes(struct child *child, pid_t pid)
{
    const pid_t stage = child->pid;

    close(child->pidfd);
    child->pid = pid;
    child->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    while (waitpid(stage, NULL, 0) < 0 && errno == EINTR)
        ;
    return child->pidfd >= 0;
}

void child_kill(struct child *child)
{
    close(child->socket); // by which also a sibling ends that we have not heard of
    if (child->pidfd < 0)
        return;
    syscall(SYS_pidfd_send_signal, child->pidfd, SIGKILL, NULL, 0);
    close(child->pidfd);
}

void child_end(struct child *child)
{
    child_kill(child);
    while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

// ---- The conversation. ----

static bool tell(const struct child *child, enum message_kind kind, const int *fds, size_t count)
{
    struct message message = {kind, {0, 0, 0}};
    struct iovec data = {&message, sizeof message};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(MOST_FDS * sizeof(int))];
    } control = {0};
    struct msghdr packet = {.msg_iov = &data, .msg_iovlen = 1};

    if (count > MOST_FDS)
        return false;
    if (count) {
        packet.msg_control = &control;
        packet.msg_controllen = CMSG_SPACE(count * sizeof(int));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
    }
    return sendmsg(child->socket, &packet, MSG_NOSIGNAL) == (ssize_t)sizeof message;
}

bool child_send_plan(const struct child *child, const int *fds, size_t count, const char *plan,
                     size_t size)
{
    int sealed = seal_plan(plan, size);
    bool sent = sealed >= 0 && (count == 0 || tell(child, MESSAGE_FDS, fds, count)) &&
                tell(child, MESSAGE_PLAN, &sealed, 1);

    if (sealed >= 0)
        close(sealed);
    return sent;
}

bool child_go(const struct child *child)
{
    return tell(child, MESSAGE_GO, NULL, 0);
}

int child_hear(const struct child *child, struct message *out)
{
    struct pollfd polled[] = {{.fd = child->socket, .events = POLLIN},
                              {.fd = child->signals, .events = POLLIN},
                              {.fd = child->pidfd, .events = POLLIN}};
    ssize_t size;

    while (poll(polled, 3, -1) < 0)
        if (errno != EINTR)
            return -1;
    if (polled[1].revents)
        return -1;
    // There is no room for a descriptor: one that comes along is closed by the kernel, and a plan
    // that sends one is not made here.
    // Nothing comes of a stage that has been killed: then its sibling waits, with the socket open.
    size = recv(child->socket, out, sizeof *out, MSG_DONTWAIT);
    if (size == 0)
        return 0;
    // ECONNRESET: it has ended without our last word, and is no user's program.
    return size == (ssize_t)sizeof *out ? (int)out->kind : -1;
}
