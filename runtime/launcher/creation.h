// SPDX-License-Identifier: Apache-2.0
// The one container that create.c makes, or the one process that exec.c brings into a container,
// and the parts of its making. Each part gives false when anything is not as it should be.

#ifndef PYRUN_CREATION_H
#define PYRUN_CREATION_H

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "box.h"
#include "child.h"
#include "template.h"
#include "words.h"

struct creation {
    const struct words *words;
    struct template template;
    struct child child;
    bool claimed;    // its folder is ours; of exec, the pid file
    uint32_t cgroup; // so many directories of its cgroup are there
    int place;       // of them that in the unified hierarchy, or -1
    mode_t umask;
    sigset_t mask;
    char created[40], umask_text[12], stdio[160], pid[12], started[24], bundle[PATH_MAX];
};

extern struct creation us;
extern char filled[2 * TEMPLATE_LIMIT]; // what a text or the plan is filled into

// What the template's texts have for this.
void value(enum template_value name, const char *text);

// Whether it stands in JSON as it is: printable, without quotes and backslashes.
bool value_is_plain(const char *text);

// All that is known before there is a process. false: there is something that is not plain.
bool values_find(void);

// A file of the folder, whole, under its name or not at all. `lasting`: it survives the machine,
// where that can be.
bool folder_put(const char *name, enum template_text text, bool lasting);

// The file for the verbs that follow, as shortcut.py packs it.
bool folder_put_fast(void);

// As teardown.write_pid_file; the path is absolute.
bool folder_put_pid(const char *path);

// The folder, with all that was put there.
bool folder_remove(void);

// One value into a file of the kernel's.
bool cgroup_write(const char *path, const char *text);

// Whether none of its directories is there. To be asked before the record: by that, whoever is in
// them is killed.
bool cgroup_is_free(void);

// Its directories, and their limits.
bool cgroup_make(void);

// What was made of it.
bool cgroup_remove(void);

// The process, into each of them.
bool cgroup_join(void);

// The process, into a directory of any hierarchy.
bool cgroup_enter(const char *directory);

#define POINT_READY 8 // of pyrun/sync.py
#define POINT_START 9

// False when the environment has what Python would heed.
bool process_is_quiet(void);

// From here on a signal that would interrupt us is told by process_serve().
void process_hold_signals(void);

// As it was for who comes after us; a signal that has come is for that one to explain.
void process_let_go(void);

// The executor, which waits for its plan; in the cgroup of this directory, or in ours (-1).
bool process_start(int into);

// Its place on the OOM killer's list.
bool process_score(void);

// The plan, filled, with these descriptors.
bool process_send_plan(const int *fds, size_t count);

// Until it is at this point, which stays unanswered; 0: until it has become the user's program.
// `became` is asked when another process has taken its place.
bool process_serve(int until, bool (*became)(void));

#endif
