/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs that never end by themselves: what lives through a checkpoint goes on with the next number.
 */
#include "payload.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void pause_shortly(void)
{
    struct timespec time = {0, 10000000};
    nanosleep(&time, NULL);
}

static void say(long count)
{
    printf("%ld\n", count);
    fflush(stdout);
    pause_shortly();
}

/* 1, 2, 3, … a line each */
void do_count(void)
{
    for (long count = 1;; count++)
        say(count);
}

static void echo_all(int fd)
{
    char data[64];
    ssize_t size;
    while ((size = read(fd, data, sizeof data)) > 0)
        if (write(fd, data, (size_t)size) != size)
            return;
}

/* Each number once it has come back through the connection; an error ends it */
static void count_through(int fd)
{
    for (long count = 1;; count++) {
        long answer = 0;
        if (write(fd, &count, sizeof count) != sizeof count ||
            recv(fd, &answer, sizeof answer, MSG_WAITALL) != sizeof answer || answer != count) {
            failed();
            return;
        }
        say(count);
    }
}

static struct sockaddr_in local(long port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

/* PORT: counts through a TCP connection to a server at this port; without one, of its own */
void do_count_tcp(void)
{
    struct sockaddr_in address = local(number(0));
    socklen_t size = sizeof address;
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (number(0) == 0) {
        int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (bind(server, (struct sockaddr *)&address, size) < 0 || listen(server, 1) < 0 ||
            getsockname(server, (struct sockaddr *)&address, &size) < 0)
            failed();
        fflush(stdout);
        if (fork() == 0) {
            echo_all(accept4(server, NULL, NULL, SOCK_CLOEXEC));
            _exit(0);
        }
        close(server);
    }
    if (connect(client, (struct sockaddr *)&address, size) < 0)
        failed();
    else
        count_through(client);
}

/* Through a pair of pipes, and a child at their other ends */
void do_count_piped(void)
{
    int there[2];
    int back[2];
    if (pipe(there) < 0 || pipe(back) < 0) {
        failed();
        return;
    }
    fflush(stdout);
    if (fork() == 0) {
        char data[64];
        ssize_t size;
        while ((size = read(there[0], data, sizeof data)) > 0)
            if (write(back[1], data, (size_t)size) != size)
                break;
        _exit(0);
    }
    for (long count = 1;; count++) {
        long answer = 0;
        if (write(there[1], &count, sizeof count) != sizeof count ||
            read(back[0], &answer, sizeof answer) != sizeof answer || answer != count) {
            failed();
            return;
        }
        say(count);
    }
}

/* PATH lock|remove: counts with a lock on a file, or on one whose name is gone, written to it as
 * well */
void do_count_file(void)
{
    int fd = open(word[0], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 ||
        (strcmp(word[1], "lock") == 0 ? flock(fd, LOCK_EX | LOCK_NB) : unlink(word[0])) < 0) {
        failed();
        return;
    }
    for (long count = 1;; count++) {
        if (pwrite(fd, &count, sizeof count, 0) != sizeof count) {
            failed();
            return;
        }
        say(count);
    }
}

/* PATH: sends each number to a datagram socket that somebody else has there */
void do_count_sent(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    strncpy(address.sun_path, word[0], sizeof address.sun_path - 1);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        failed();
        return;
    }
    for (long count = 1;; count++) {
        if (send(fd, &count, sizeof count, 0) != sizeof count) {
            failed();
            return;
        }
        say(count);
    }
}

/* PORT: listens there and accepts nobody */
void do_count_listening(void)
{
    struct sockaddr_in address = local(number(0));
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    if (setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(server, (struct sockaddr *)&address, sizeof address) < 0 || listen(server, 1) < 0)
        failed();
    else
        do_count();
}

/* PATH: "held" if somebody has a lock on the file */
void do_locked(void)
{
    int fd = open(word[0], O_RDWR | O_CLOEXEC);
    puts(flock(fd, LOCK_EX | LOCK_NB) < 0 ? "held" : "free");
    close(fd);
}

/* PATH: until there is such a file */
void do_await(void)
{
    while (access(word[0], F_OK) < 0)
        pause_shortly();
    puts("ok");
}
