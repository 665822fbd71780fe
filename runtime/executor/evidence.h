/* SPDX-License-Identifier: Apache-2.0 */
/* What follows a failure's report. All numbers are in the machine's order.
 *
 *   fsconfig, copy_mode, fsmount         what the kernel says, a line each
 *   make_in_root, open_in_root           effective user and group (u32), and struct sighting with
 *   find_executable, execve              its texts, as many as there are
 */
#ifndef PYRUN_EVIDENCE_H
#define PYRUN_EVIDENCE_H

#include <stddef.h>
#include <stdint.h>

#include "plan.h"

#define SIGHTING_TEXT 256 /* bytes of a path, or of a content, at most */

struct sighting {
    int32_t number; /* errno of looking at it, or 0; then, mode is that of a link or 0 */
    uint32_t mode;
    uint32_t uid;
    uint32_t gid;
    uint32_t flags;           /* of its file system: statfs(2) */
    int32_t readable;         /* whether we may open it for reading */
    int32_t size;             /* in bytes */
    uint32_t capabilities[6]; /* struct vfs_ns_cap_data */
    uint16_t path;            /* the length of what follows: its path, */
    uint16_t content;         /* and the target of a link, or the begin of a file */
};

/* What there is to see for an operation that has just failed: bytes, of which it returns how many.
 * Opens and reads files, so a filter may end the process here. */
size_t evidence(const struct plan_op *op, const char **bytes);

#endif
