// SPDX-License-Identifier: Apache-2.0
// Reads an ordinary command line of create, run, exec, start, state, kill or delete. The grammar is
// pyrun/cli/hot.py's, cut down to what engines say; the rest, and every mistake, is left to it.

#include "words.h"

#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define ID_MAX 255
#define SIGNAL_MAX 64

static const struct {
    const char *name;
    int number;
} SIGNALS[] = {
    {"HUP", SIGHUP},   {"INT", SIGINT},   {"QUIT", SIGQUIT}, {"ABRT", SIGABRT}, {"KILL", SIGKILL},
    {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"PIPE", SIGPIPE}, {"ALRM", SIGALRM}, {"TERM", SIGTERM},
    {"CHLD", SIGCHLD}, {"CONT", SIGCONT}, {"STOP", SIGSTOP}, {"TSTP", SIGTSTP}, {"WINCH", SIGWINCH},
};

static const struct {
    const char *name;
    enum verb verb;
} VERBS[] = {
    {"start", VERB_START}, {"state", VERB_STATE},   {"kill", VERB_KILL}, {"delete", VERB_DELETE},
    {"exec", VERB_EXEC},   {"create", VERB_CREATE}, {"run", VERB_RUN},
};

// -1: not one of the plain ones.
static int signal_number(const char *word)
{
    size_t length = strlen(word);

    if (length >= 1 && length <= 2 && strspn(word, "0123456789") == length) {
        int number = word[0] - '0';

        if (length == 2)
            number = 10 * number + word[1] - '0';
        return number <= SIGNAL_MAX ? number : -1;
    }
    if (strncmp(word, "SIG", 3) == 0)
        word += 3;
    for (size_t i = 0; i < sizeof SIGNALS / sizeof *SIGNALS; i++)
        if (strcmp(word, SIGNALS[i].name) == 0)
            return SIGNALS[i].number;
    return -1;
}

// As state.check_id.
static bool is_id(const char *word)
{
    size_t length = strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                 "0123456789_+.-");

    return length > 0 && length <= ID_MAX && word[length] == '\0' && strcmp(word, ".") != 0 &&
           strcmp(word, "..") != 0;
}

bool words_plain_path(const char *path)
{
    size_t length = strlen(path);

    // With a slash behind it open(2) would follow a link; "." and ".." mean something else once
    // os.path.abspath has taken them out.
    return length > 0 && length < PATH_MAX && path[0] != '.' && path[length - 1] != '/' &&
           !strstr(path, "/.");
}

// The value of the flag `name` in `word` (without its dashes), or behind it in argv[*at + 1]. NULL
// when the word is another, or has none.
static const char *value_of(const char *name, const char *word, char *next, int *at)
{
    size_t length = strlen(name);

    if (strncmp(word, name, length) != 0)
        return NULL;
    if (word[length] == '=')
        return word + length + 1;
    if (word[length] != '\0' || !next)
        return NULL;
    *at += 1;
    return next;
}

// Of what create and run have in common, and run alone.
static bool read_creation(const char *word, char *next, int *at, struct words *out)
{
    const char *value;

    if ((value = value_of("bundle", word, next, at)) || (value = value_of("b", word, next, at)))
        return *(out->bundle = value) != '\0';
    if ((value = value_of("pid-file", word, next, at)))
        return *(out->pid_file = value) != '\0';
    if (strcmp(word, "no-new-keyring") == 0)
        return out->no_new_keyring = true;
    if (out->verb != VERB_RUN)
        return false;
    if (strcmp(word, "detach") == 0 || strcmp(word, "d") == 0)
        return out->detach = true;
    return out->no_subreaper = strcmp(word, "no-subreaper") == 0;
}

static bool read_exec(const char *word, char *next, int *at, struct words *out)
{
    const char *value;

    if (strcmp(word, "detach") == 0 || strcmp(word, "d") == 0)
        return out->detach = true;
    if ((value = value_of("pid-file", word, next, at)))
        return *(out->pid_file = value) != '\0';
    if ((value = value_of("process", word, next, at)) || (value = value_of("p", word, next, at)))
        return *(out->process = value) != '\0';
    return false;
}

// A count as hot.py takes it: nothing but digits, fewer than ten. 0: not one.
static int pid_of(const char *word)
{
    size_t length = strlen(word);

    return length < 10 && strspn(word, "0123456789") == length ? (int)strtol(word, NULL, 10) : 0;
}

// One dash or two before any name, a value behind `=` or in the next word (argv ends with a NULL).
static bool read_flag(char **argv, int *at, struct words *out)
{
    const char *word = argv[*at] + (argv[*at][1] == '-' ? 2 : 1);
    char *next = argv[*at + 1];
    const char *value;

    if (out->verb == VERB_DELETE && (strcmp(word, "force") == 0 || strcmp(word, "f") == 0)) {
        out->force = true;
        return true;
    }
    if (out->verb == VERB_DELETE && (value = value_of("init", word, next, at)))
        return (out->init = pid_of(value)) > 0;
    if (strcmp(word, "systemd-cgroup") == 0)
        return out->systemd = true;
    if ((value = value_of("log-format", word, next, at)))
        return (out->json = strcmp(value, "json") == 0) || strcmp(value, "text") == 0;
    if ((value = value_of("root", word, next, at)))
        return words_plain_path(out->root = value);
    if ((value = value_of("log", word, next, at)))
        return words_plain_path(out->log = value);
    if (out->verb == VERB_EXEC)
        return read_exec(word, next, at, out);
    return (out->verb == VERB_CREATE || out->verb == VERB_RUN) &&
           read_creation(word, next, at, out);
}

static bool read_word(const char *word, int positional, struct words *out)
{
    if (out->verb == VERB_NONE) {
        for (size_t i = 0; i < sizeof VERBS / sizeof *VERBS; i++)
            if (strcmp(word, VERBS[i].name) == 0)
                out->verb = VERBS[i].verb;
        return out->verb != VERB_NONE;
    }
    if (positional == 0) {
        out->id = word;
        return is_id(word);
    }
    if (positional == 1 && out->verb == VERB_KILL)
        return (out->signal = signal_number(word)) >= 0;
    return false;
}

bool words_read(int argc, char **argv, struct words *out)
{
    int positionals = -1; // the verb is none

    *out = (struct words){.signal = SIGTERM};
    for (int at = 1; at < argc; at++) {
        if (argv[at][0] == '-') {
            if (!read_flag(argv, &at, out))
                return false;
        } else if (!read_word(argv[at], positionals++, out)) {
            return false;
        } else if (out->verb == VERB_EXEC && out->id) {
            out->args = argv + at + 1; // what comes behind is none of ours
            break;
        }
    }
    // A dash there may be for us, or a mistake: exec_process.wanted.
    return out->id && (out->verb != VERB_EXEC ||
                       (out->process ? !*out->args : *out->args && **out->args != '-'));
}
