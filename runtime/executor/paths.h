/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYRUN_PATHS_H
#define PYRUN_PATHS_H

#include <stdint.h>
#include <sys/types.h>

/* Closes without touching errno, and hands the result on. */
int closing(int fd, int result);

/* openat2(2), close-on-exec, tried again when it raced with a rename. */
int open_at(int directory, const char *path, uint64_t flags, uint64_t resolve);

/* The same, with `root` as the root: neither ".." nor any link leads out. */
int open_below(int root, const char *path, uint64_t flags, uint64_t resolve);

/* An O_PATH descriptor of what is there, made first where it is missing: directories on the way,
 * and an object of this mode last. A link that leads nowhere has its goal made, in the root. */
int make_below(int root, const char *path, mode_t mode, uint64_t resolve);

#endif
