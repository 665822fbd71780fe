// SPDX-License-Identifier: Apache-2.0
// Waits in the foreground: one loop, in which a pidfd, the signals, the terminal and the socket of
// NOTIFY_SOCKET are looked at. Nothing is decided here but what to forward.

#include "waiter.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "box.h"

#define BLOCK 65536 // bytes that are copied at once
#define QUEUE 16    // datagrams looked at in one go: more than the kernel holds
#define SIGNAL(number) (UINT64_C(1) << ((number)-1))
// Those of our own faults stay what they are; SIGURG is Go's, sent by runtimes to themselves.
#define OURS                                                                                       \
    (SIGNAL(SIGSEGV) | SIGNAL(SIGBUS) | SIGNAL(SIGFPE) | SIGNAL(SIGILL) | SIGNAL(SIGURG) |         \
     SIGNAL(SIGKILL) | SIGNAL(SIGSTOP))

enum { SIGNALS, END, READY, SHOWN, TYPED, COUNT };

static struct {
    pid_t pid;
    int pidfd, signals, master, ready, manager;
    bool raw;     // our own terminal was made so
    bool ended;   // nothing more will be typed
    size_t taken; // of what was typed
    size_t length;
    struct termios mode;
} us;
static char typed[BLOCK];

// Makes the container's terminal as large as ours; one without a size keeps its own.
static void resize(void)
{
    struct winsize size;

    if (us.master >= 0 && ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
        ioctl(us.master, TIOCSWINSZ, &size);
}

static void begin_terminal(void)
{
    struct termios raw;
    int flags;

    if (us.master < 0)
        return;
    // A program that prints before it reads on would wait for us, and we for it.
    flags = fcntl(us.master, F_GETFL);
    if (flags >= 0)
        fcntl(us.master, F_SETFL, flags | O_NONBLOCK);
    if (tcgetattr(STDIN_FILENO, &us.mode) < 0)
        return;
    raw = us.mode;
    cfmakeraw(&raw);
    us.raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
    resize();
}

static void end_terminal(void)
{
    if (us.raw)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &us.mode);
}

// Copies what the container printed. At the end of it (EIO: nobody has the peer open) the master is
// not looked at any more.
static bool show(void)
{
    static char data[BLOCK];
    ssize_t length = read(us.master, data, sizeof data);

    if (length < 0 && errno == EAGAIN)
        return true;
    for (ssize_t at = 0, count; at < length; at += count)
        if ((count = write(STDOUT_FILENO, data + at, (size_t)(length - at))) < 0)
            break; // nobody reads any more
    if (length <= 0)
        us.master = -1;
    return length > 0;
}

// Hands on what was typed, as far as the container's terminal takes it now.
static void feed(void)
{
    while (us.taken < us.length) {
        ssize_t count = write(us.master, typed + us.taken, us.length - us.taken);

        if (count < 0 && errno == EAGAIN)
            return;
        us.taken = count < 0 ? us.length : us.taken + (size_t)count; // or nobody has it open
    }
}

static void type(void)
{
    ssize_t length = read(STDIN_FILENO, typed, sizeof typed);

    us.ended = length <= 0;
    us.taken = 0;
    us.length = length > 0 ? (size_t)length : 0;
    feed();
}

// Orphans that we were given (PR_SET_CHILD_SUBREAPER). The init's status is for the end.
static void reap_others(void)
{
    siginfo_t found;

    for (;;) {
        found.si_pid = 0;
        if (waitid(P_ALL, 0, &found, WEXITED | WNOHANG | WNOWAIT) < 0 || found.si_pid == 0 ||
            found.si_pid == us.pid)
            return;
        waitpid(found.si_pid, NULL, 0);
    }
}

static void act_on_signals(void)
{
    struct signalfd_siginfo found;

    while (read(us.signals, &found, sizeof found) == sizeof found) {
        if (found.ssi_signo == SIGCHLD)
            reap_others();
        else if (found.ssi_signo == SIGWINCH)
            resize();
        else if (found.ssi_signo != SIGPIPE || found.ssi_pid != (uint32_t)getpid())
            syscall(SYS_pidfd_send_signal, us.pidfd, (int)found.ssi_signo, NULL, 0);
    }
}

static bool says_ready(const char *text, size_t length)
{
    static const char WORDS[] = "READY=1";
    const size_t size = sizeof WORDS - 1;

    for (size_t at = 0; at + size <= length; at++)
        if (memcmp(text + at, WORDS, size) == 0 && (at == 0 || text[at - 1] == '\n') &&
            (at + size == length || text[at + size] == '\n'))
            return true;
    return false;
}

// sd_notify(3): it is we whom the manager has started. A failure is nobody's: the container runs.
static void tell_manager(void)
{
    char text[sizeof "MAINPID=\nREADY=1\n" + 10] = "MAINPID=";

    stpcpy(box_decimal(text + strlen(text), (uint32_t)getpid()), "\nREADY=1\n");
    if (send(us.manager, text, strlen(text), MSG_NOSIGNAL) < 0)
        return;
}

// A descriptor that comes along is never ours: there is no room for one.
static void listen_for_ready(void)
{
    char text[4096];
    ssize_t length;

    for (int count = 0; count < QUEUE; count++) {
        length = recv(us.ready, text, sizeof text, MSG_DONTWAIT);
        if (length < 0)
            return;
        if (says_ready(text, (size_t)length)) {
            tell_manager();
            return;
        }
    }
}

static void wait_for_end(void)
{
    struct pollfd polled[COUNT] = {
        [SIGNALS] = {.fd = us.signals, .events = POLLIN},
        [END] = {.fd = us.pidfd, .events = POLLIN},
        [READY] = {.fd = us.ready, .events = POLLIN},
    };

    while (!polled[END].revents) {
        const bool waits = us.taken < us.length; // nothing is taken before it is handed on

        polled[SHOWN] = (struct pollfd){us.master, waits ? POLLIN | POLLOUT : POLLIN, 0};
        polled[TYPED] =
            (struct pollfd){waits || us.ended || us.master < 0 ? -1 : STDIN_FILENO, POLLIN, 0};
        if (poll(polled, COUNT, -1) < 0)
            continue; // EINTR: a debugger
        if (polled[SIGNALS].revents)
            act_on_signals();
        if (polled[READY].revents)
            listen_for_ready();
        if (polled[SHOWN].revents & ~POLLOUT)
            show();
        if (us.master >= 0 && polled[SHOWN].revents)
            feed();
        if (us.master >= 0 && polled[TYPED].revents)
            type();
    }
    // What the container had printed before it ended.
    polled[SHOWN].fd = us.master;
    polled[SHOWN].events = POLLIN;
    while (us.master >= 0 && poll(&polled[SHOWN], 1, 0) > 0 && show())
        ;
}

static int number(const char *word)
{
    return (int)strtol(word, NULL, 10);
}

int waiter(int argc, char **argv, int (*verb)(int argc, char **argv))
{
    const uint64_t held = ~OURS;
    int status = 0, code = EXIT_SUCCESS;

    if (argc < WAITER_WORDS)
        return EXIT_FAILURE;
    us.pid = number(argv[1]);
    us.pidfd = number(argv[2]);
    us.master = number(argv[3]);
    us.ready = number(argv[4]);
    us.manager = number(argv[5]);
    for (int at = 2; at <= 5; at++)
        if (number(argv[at]) >= 0)
            fcntl(number(argv[at]), F_SETFD, FD_CLOEXEC);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &held, NULL, sizeof held);
    us.signals = (int)syscall(SYS_signalfd4, -1, &held, sizeof held, SFD_CLOEXEC | SFD_NONBLOCK);
    begin_terminal();
    wait_for_end();
    end_terminal();
    // Before it is reaped: so long no other process has its pid, by which a container is known that
    // somebody has made in the meantime under the same id.
    if (argc > WAITER_WORDS)
        code = verb(argc - WAITER_WORDS, argv + WAITER_WORDS);
    while (waitpid(us.pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (code != EXIT_SUCCESS && number(argv[6]))
        return EXIT_FAILURE;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
