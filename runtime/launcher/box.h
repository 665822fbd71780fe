// SPDX-License-Identifier: Apache-2.0
// A container as the launcher sees it: its folder, the file `fast` in it, and its init.

#ifndef PYRUN_BOX_H
#define PYRUN_BOX_H

#include <stdbool.h>
#include <stdint.h>

#include "fast.h"
#include "words.h"

enum answer { NO, YES, UNKNOWN };

// The one container of this process: the descriptors since box_open(), the rest since box_load().
struct box {
    int root, folder;
    struct fast_header header;
    const char *before, *between, *behind; // the text of `state`
    const char *frozen;                    // a path, or ""
    const char *cgroups;                   // the first; the others follow, each behind its NUL
};

extern struct box box;

// YES: its folder is open, and private. NO: there is none.
enum answer box_open(const struct words *words);

// Lets go of it, and of its lock.
void box_close(void);

// Whether a folder is there still, and the caller's alone.
bool box_is_private(int fd);

// Whether there is a file, it is whole, ours, of this build and boot, true still, and `verb`
// (FAST_*) is among what it is for.
bool box_load(uint32_t verb);

// As init.open_init: a zombie is dead, and so is another process by the same number.
enum answer box_lives(void);

// Frozen, or on its way there.
enum answer box_is_frozen(void);

// As log.open_log: a log that can't be written is an error, also of a verb that has nothing to say.
bool box_can_log(const char *path);

// Writes `number` in decimal, and a NUL; gives the place of the NUL.
char *box_decimal(char *out, uint32_t number);

#endif
