// SPDX-License-Identifier: Apache-2.0
// A container as the launcher sees it: its folder, the file `fast` in it, and its init.

#ifndef PYRUN_BOX_H
#define PYRUN_BOX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

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

#define BOX_ROOT "/run/pyrun" // the folder of all containers, where no other is asked for

// The folder of all containers, which `create` needs alone.
enum answer box_open_root(const struct words *words);

// YES: its folder is open, and private. NO: there is none.
enum answer box_open(const struct words *words);

// A whole small file. The length, which is less than `size`; -1 with errno, as for a longer one.
// Of an open one, which is closed by it.
ssize_t box_read_open(int fd, char *out, size_t size);
ssize_t box_read(int folder, const char *path, char *out, size_t size);

// Of a regular file, to which links may lead; of nothing else, for a pipe could be read only once.
ssize_t box_read_regular(const char *path, char *out, size_t size);

// CRC-32, as zlib's.
uint32_t box_sum(const void *data, size_t size);

// Whether it is this one, of FAST_BOOT_ID characters.
bool box_is_boot(const char *boot_id);

// Where a process that is no zombie has the time of its start: field 22 of proc_pid_stat(5).
enum answer box_started(pid_t pid, uint64_t *out);

// As init.has_begun: what was the executor has become a program, and was not killed before that.
bool box_has_begun(pid_t pid);

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
char *box_decimal(char *out, uint64_t number);

#endif
