/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs that do something: take memory, make processes, end, wait, answer. */
#include "payload.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* FD TEXT */
void do_write_fd(void)
{
    done(write((int)number(0), word[1], strlen(word[1])));
}

/* FD: a connection to a socket that listens becomes the lowest descriptor that is free */
void do_accept(void)
{
    done(accept((int)number(0), NULL, NULL));
}

/* NR [ARGUMENT...]: "ok" or the error of a raw system call; the numbers are the machine's own */
void do_syscall(void)
{
    long a[6] = {0};
    for (int i = 0; i < 6 && word[i + 1]; i++)
        a[i] = number(i + 1);
    done(syscall(number(0), a[0], a[1], a[2], a[3], a[4], a[5]));
}

/* MIB: touches as much memory */
void do_hog(void)
{
    size_t size = (size_t)number(0) << 20;
    char *memory = malloc(size + 1);
    if (!memory) {
        failed();
        return;
    }
    for (size_t i = 0; i < size; i += 4096)
        *(volatile char *)(memory + i) = 1;
    free(memory);
    puts("ok");
}

/* MIB: a child does so; the signal that ended it, or 0 */
void do_hog_child(void)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        do_hog();
        _exit(0);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        failed();
    else
        printf("%d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

/* COUNT: how many children could be had at once */
void do_forks(void)
{
    int count = 0;
    for (; count < number(0); count++) {
        pid_t pid = fork();
        if (pid == 0) {
            pause();
            _exit(0);
        }
        if (pid < 0)
            break;
    }
    printf("%d\n", count);
    fflush(stdout);
    signal(SIGTERM, SIG_IGN);
    kill(0, SIGTERM);
    while (wait(NULL) > 0)
        ;
    signal(SIGTERM, SIG_DFL);
}

/* COUNT: so many children that outlive the verb */
void do_spawn(void)
{
    for (long i = number(0); i > 0; i--)
        if (fork() == 0) {
            setsid();
            for (;;)
                pause();
        }
    puts("ok");
}

void do_exit(void)
{
    fflush(stdout);
    _exit((int)number(0));
}

void do_kill_self(void)
{
    fflush(stdout);
    signal((int)number(0), SIG_DFL);
    kill(getpid(), (int)number(0));
    puts("alive"); /* process 1 of a pid namespace: nobody inside can end it */
}

/* Ends a child by a signal, and ends as a shell would */
void do_die(void)
{
    raise((int)number(0));
}

void do_sleep(void)
{
    struct timespec time = {number(0), 0};
    fflush(stdout);
    nanosleep(&time, NULL);
}

/* Prints "ready", then each signal that comes, by name, until SIGTERM */
void do_trap(void)
{
    sigset_t all;
    int signal_number = 0;
    sigfillset(&all);
    sigdelset(&all, SIGTTOU);
    sigprocmask(SIG_SETMASK, &all, NULL);
    puts("ready");
    fflush(stdout);
    while (signal_number != SIGTERM) {
        if (sigwait(&all, &signal_number) != 0)
            break;
        const char *name = sigabbrev_np(signal_number);
        if (signal_number == SIGWINCH) {
            struct winsize size = {0};
            ioctl(0, TIOCGWINSZ, &size);
            printf("WINCH %u %u\n", size.ws_row, size.ws_col);
        } else if (name) {
            puts(name);
        } else {
            printf("%d\n", signal_number);
        }
        fflush(stdout);
    }
}

/* Copies stdin to stdout, a line at a time, until its end */
void do_echo(void)
{
    char line[4096];
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        printf("got %s", line);
        fflush(stdout);
    }
}

/* CPU-bound for so many milliseconds of wall time: prints milliseconds of CPU time it got */
void do_burn(void)
{
    struct timespec start;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    long passed;
    do {
        clock_gettime(CLOCK_MONOTONIC, &now);
        passed = (now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000;
    } while (passed < number(0));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    printf("%ld\n", now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

/* A datagram to $NOTIFY_SOCKET, as sd_notify(3) sends it, with a descriptor if that is not -1 */
static long notify(const char *text, int passed)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct iovec data = {(void *)(uintptr_t)text, strlen(text)};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr packet = {
        .msg_name = &address, .msg_namelen = sizeof address, .msg_iov = &data, .msg_iovlen = 1};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path ? path : "/nowhere");
    if (passed >= 0) {
        packet.msg_control = &control;
        packet.msg_controllen = sizeof control;
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &passed, sizeof passed);
    }
    long result = sendmsg(fd, &packet, MSG_NOSIGNAL);
    int saved = errno;
    close(fd);
    errno = saved;
    return result;
}

/* LINE...: all in one datagram */
void do_notify(void)
{
    char text[4096] = "";
    size_t length = 0;
    for (char **line = word; *line && length < sizeof text; line++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%s\n", *line);
    done(notify(text, -1));
}

/* sd_notify_barrier(3): "ok" when whoever got it has closed the descriptor */
void do_barrier(void)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0 || notify("BARRIER=1", fds[1]) < 0) {
        failed();
        return;
    }
    close(fds[1]);
    struct pollfd wait = {.fd = fds[0]};
    puts(poll(&wait, 1, 5000) > 0 ? "ok" : "late");
    close(fds[0]);
}

/* The parent that a process gets whose own has ended */
void do_orphan(void)
{
    int fds[2];
    pid_t parent = 0;
    if (pipe2(fds, O_CLOEXEC) < 0) {
        failed();
        return;
    }
    if (fork() == 0) {
        pid_t own = getpid();
        if (fork() != 0)
            _exit(0);
        while ((parent = getppid()) == own)
            usleep(1000);
        _exit(write(fds[1], &parent, sizeof parent) != sizeof parent);
    }
    wait(NULL);
    if (read(fds[0], &parent, sizeof parent) == sizeof parent)
        printf("%d\n", parent);
}

/* As a hook: keeps what it got. PATH: appends a line of its arguments, its stdin, its view */
void do_hook(void)
{
    FILE *file = fopen(word[0], "ae");
    if (!file)
        _exit(99);
    char cwd[4096] = "";
    char name[256] = "";
    char state[1 << 14] = "";
    size_t size = fread(state, 1, sizeof state - 1, stdin);
    state[size] = 0;
    if (syscall(SYS_getcwd, cwd, sizeof cwd) < 0)
        snprintf(cwd, sizeof cwd, "?");
    gethostname(name, sizeof name - 1);
    struct stat root;
    fprintf(file, "name\t%s\nstate\t%s\ncwd\t%s\nhostname\t%s\nroot\t%s\n", word[1], state, cwd,
            name, stat("/payload", &root) == 0 ? "container" : "host");
    const char *kinds[] = {"mnt", "net", "pid", "uts", "ipc"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char path[64];
        char target[128] = "";
        snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i]);
        ssize_t length = readlink(path, target, sizeof target - 1);
        fprintf(file, "ns\t%s\n", length > 0 ? target : "?");
    }
    for (char **entry = environ; *entry; entry++)
        fprintf(file, "env\t%s\n", *entry);
    for (int fd = 3; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0 && fd != fileno(file))
            fprintf(file, "fd\t%d\n", fd);
    fclose(file);
}
