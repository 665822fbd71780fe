/* SPDX-License-Identifier: Apache-2.0 */
/* What runs in the containers of tests/life: says what it sees, in lines that a test can compare.
 *
 *   payload VERB [ARGUMENT...] [; VERB [ARGUMENT...]]...
 *
 * Each verb prints its answer and a record separator. A system call that fails is an answer too:
 * "error: ENOENT". The exit status is 0 unless a verb sets it. */
#include "payload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char **word; /* the arguments of the running verb, NULL after the last */

void failed(void)
{
    printf("error: %s\n", strerrorname_np(errno));
}

void done(long result)
{
    if (result < 0)
        failed();
    else
        puts("ok");
}

long number(int index)
{
    return word[0] && word[index] ? strtol(word[index], NULL, 0) : 0;
}

void show(const char *path)
{
    char buffer[1 << 16];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        failed();
        return;
    }
    ssize_t size;
    while ((size = read(fd, buffer, sizeof buffer)) > 0)
        fwrite(buffer, 1, (size_t)size, stdout);
    if (size < 0)
        failed();
    close(fd);
}

void show_link(const char *path)
{
    char target[4096];
    ssize_t size = readlink(path, target, sizeof target - 1);
    if (size < 0) {
        failed();
        return;
    }
    target[size] = 0;
    puts(target);
}

static int run(char **arguments)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } verbs[] = {
#define VERB(name, function) {name, do_##function},
        VERBS(VERB)
#undef VERB
    };
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verbs[i].name, arguments[0]) == 0) {
            word = arguments + 1;
            verbs[i].run();
            fflush(stdout);
            return 0;
        }
    fprintf(stderr, "payload: no verb %s\n", arguments[0]);
    return 1;
}

/* Runs the verbs that come on stdin, one a line with its arguments, until its end */
void do_obey(void)
{
    char line[4096];
    while (fgets(line, sizeof line, stdin)) {
        char *arguments[32] = {strtok(line, " \n")};
        for (size_t i = 1; i + 1 < sizeof arguments / sizeof *arguments && arguments[i - 1]; i++)
            arguments[i] = strtok(NULL, " \n");
        if (arguments[0] && run(arguments) == 0)
            puts("\036");
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    for (int i = 1, first = 1; i <= argc; i++) {
        if (i < argc && strcmp(argv[i], ";") != 0)
            continue;
        argv[i] = NULL;
        if (first < i && run(argv + first) != 0)
            return 64;
        puts("\036");
        fflush(stdout);
        first = i + 1;
    }
    return 0;
}
