/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs that try what a process may be kept from. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "payload.h"

/* "bind PORT" or "connect PORT", of 127.0.0.1 */
void do_tcp(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)number(1))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int (*call)(int, const struct sockaddr *, socklen_t) = connect;
    if (strcmp(word[0], "bind") == 0)
        call = bind;
    done(call(fd, (struct sockaddr *)&address, sizeof address));
    close(fd);
}

/* Connects to the abstract socket NAME */
void do_abstract(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(word[0]);
    memcpy(address.sun_path + 1, word[0], length);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    done(connect(fd, (struct sockaddr *)&address, size));
    close(fd);
}

/* kill(2): PID NUMBER */
void do_kill(void)
{
    done(kill((pid_t)number(0), (int)number(1)));
}

/* Executes PROGRAM with the rest as its arguments, in a child without stdout: how it ended */
void do_execute(void)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        close(STDOUT_FILENO);
        execv(word[0], word);
        _exit(errno);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    int code = WEXITSTATUS(status);
    if (code)
        printf("error: %s\n", strerrorname_np(code));
    else
        puts("ok");
}

/* rename(2): FROM TO */
void do_rename(void)
{
    done(rename(word[0], word[1]));
}
