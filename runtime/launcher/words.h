// SPDX-License-Identifier: Apache-2.0
// The command lines that fast.c, create.c and exec.c take: the plainest of each verb.

#ifndef PYRUN_WORDS_H
#define PYRUN_WORDS_H

#include <stdbool.h>

enum verb {
    VERB_NONE,
    VERB_START,
    VERB_STATE,
    VERB_KILL,
    VERB_DELETE,
    VERB_EXEC,
    VERB_CREATE,
    VERB_RUN,
};

struct words {
    enum verb verb;
    bool force;
    bool systemd; // the driver of cgroups
    bool json;    // in the log
    bool detach;
    bool no_subreaper;
    bool no_new_keyring;
    int signal;
    int init;           // the pid that its init had, or 0
    const char *root;   // NULL: the default
    const char *log;    // NULL: stderr
    const char *bundle; // NULL: where we are
    const char *pid_file;
    const char *process; // a file; NULL: `args` say what to run
    char **args;         // of the program, up to a NULL; or NULL
    const char *id;
};

// False for whatever is not plainly right, or not plain.
bool words_read(int argc, char **argv, struct words *out);

// Whether Python would take this path as it is: nothing in it that it would normalize or refuse.
bool words_plain_path(const char *path);

#endif
