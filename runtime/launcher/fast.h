// SPDX-License-Identifier: Apache-2.0
// The file `fast` that create leaves in a container's folder, for verbs that need no Python. Packed
// by runtime/pyrun/shortcut.py, read by fast.c; tests/unit/test_shortcut.py holds the two together.
//
//     struct fast_header
//     strings, each with its NUL:
//         the text of `state`, before the pid
//         the same, between pid and status
//         the same, behind the status
//         the path of the file that says whether the cgroup is frozen, or ""
//         the directories of the cgroup, as many as the header says, each once
//     end of file
//
// Numbers are in the machine's order and without padding. The file is a copy of what intent.json
// and state.json say, so it counts only while those two are the files that it was made from.

#ifndef PYRUN_FAST_H
#define PYRUN_FAST_H

#include <stdint.h>

#define FAST_MAGIC "pyfa"
#define FAST_VERSION 1U
#define FAST_LIMIT 65536U // bytes of the whole file; a container that needs more has none
#define FAST_BOOT_ID 36   // characters

// The verbs that are ordinary for this container: what Python would do is what fast.c does.
#define FAST_START 1U     // no poststart hooks, and nobody to be told that it is ready
#define FAST_DELETE 2U    // no poststop hooks, no layer, and the cgroup is directories alone
#define FAST_KILL 4U      // with its init every process of the container ends
#define FAST_STATE 8U     // always
#define FAST_LEGACY 0x10U // not a verb: the frozen file is v1's freezer.state

struct fast_seen {
    uint64_t inode;
    uint64_t size;
    int64_t changed; // st_mtime in nanoseconds
};

struct fast_header {
    char magic[4];
    uint32_t version;
    uint32_t build; // OPS_CHECKSUM
    uint32_t crc;   // CRC-32 (as zlib's) of everything behind it
    uint32_t size;  // of the file
    uint32_t flags;
    int32_t pid;
    uint32_t cgroups;
    uint64_t started; // of the init: field 22 of proc_pid_stat(5)
    struct fast_seen intent;
    struct fast_seen state;
    char boot_id[40]; // FAST_BOOT_ID characters and NULs
};

_Static_assert(sizeof(struct fast_header) == 128, "fast_header has padding");

#define FAST_PYTHON (-1)

// Carries out the command line, if it is an ordinary one, and gives the exit code; FAST_PYTHON when
// it is Python's, which is found out before anything was changed (or what was changed so far, in
// delete, is what Python would have done first).
int fast_verb(int argc, char **argv);

#endif
