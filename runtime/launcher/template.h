// SPDX-License-Identifier: Apache-2.0
// What create has left for the next container of the same shape: the config as a pattern, and all
// that is made of it, with holes where the two differ. Written by runtime/pyrun/template.py, which
// decides what may be a hole; tests/unit/test_template.py holds the two together. exec leaves the
// same for the next process of its shape in a container of the same kind; its pattern is of
// exec.c's own making. Only the texts and lists that it needs are not empty then.
//
//     struct template_header
//     holes: for each its kind (HOLE_*), and the most characters it takes, as two u32
//     texts, in the order of enum template_text
//     checks: for each its kind (CHECK_*, u32), two numbers (u64), and a text
//     namespaces to join: their paths, a text each; the first slots of the plan stand for them
//     directories of the cgroup: a text each
//     writes to files of the cgroup: two texts each, path and value
//     strings of the plan: a text each
//     patches of the plan: two u32 each, where an offset goes, and of which string
//     the plan, without those strings
//     end of file
//
// A text is a number of pieces (u32) and the pieces: a u32 each that is the length of a literal,
// which follows, or VALUE plus the number of a value. Numbers are in the machine's order,
// unaligned.

#ifndef PYRUN_TEMPLATE_H
#define PYRUN_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEMPLATE_MAGIC "pyte"
#define TEMPLATE_VERSION 2U
#define TEMPLATE_FOLDER ".cache/create"
#define TEMPLATE_MOST 32 // files of a folder, named by their numbers
#define TEMPLATE_EXEC_FOLDER ".cache/exec"
#define TEMPLATE_LIMIT 0x100000U // bytes of a file, and of a config
#define TEMPLATE_VALUE 0x80000000U
#define TEMPLATE_HOLES 256
#define TEMPLATE_STRINGS 1024
#define TEMPLATE_JOINED 6

// Of a plan (runtime/executor/plan.h): where its header has the size of the blob, and ends.
#define TEMPLATE_PLAN_BLOB 24
#define TEMPLATE_PLAN_HEADER 32

#define TEMPLATE_RUN 1U      // its plan is that of `run`, which has no exec fifo
#define TEMPLATE_OWN 2U      // the cgroup lies below the caller's own
#define TEMPLATE_LATE 4U     // nothing in the plan up to READY depends on being in the cgroup
#define TEMPLATE_EXEC 8U     // its plan is that of `exec`
#define TEMPLATE_INTO 16U    // the process can be born in the container's first cgroup directory
#define TEMPLATE_KEYRING 32U // --no-new-keyring

// What a command line asks for; neither run nor exec: create.
#define TEMPLATE_KIND (TEMPLATE_RUN | TEMPLATE_EXEC | TEMPLATE_KEYRING)

// What may stand in a hole: printable ASCII without quotes and backslashes.
#define HOLE_TEXT 1U   // any
#define HOLE_PATH 2U   // an absolute path in its normal form, no name in which begins with a dot
#define HOLE_PLACE 3U  // the same, but not of /proc, /sys or /dev
#define HOLE_SOURCE 4U // as that, and names may begin with a dot

// What has to be so on this host, of the path that the text is.
#define CHECK_SAME 1U      // it has this device and inode
#define CHECK_UNCHANGED 2U // it has this inode and st_ctime in nanoseconds
#define CHECK_DIRECTORY 3U // it is a directory
#define CHECK_FILE 4U      // it is there, and is none
#define CHECK_ROOT 5U      // it is a directory, and no symbolic link leads there
#define CHECK_OTHER 6U     // it is none of the caller's namespaces

enum template_text {
    TEXT_CONFIG,
    TEXT_OWN,    // /proc/self/cgroup of who made this
    TEXT_PLACES, // the machine's name, and the lines of /proc/self/mountinfo that tell of cgroups
    TEXT_TITLE,  // argv[0] of the init
    TEXT_INTENT,
    TEXT_CREATING, // state.json as soon as there is a process
    TEXT_CREATED,  // state.json at the end
    TEXT_EXEC,
    TEXT_BEFORE, // three parts of what `state` prints
    TEXT_BETWEEN,
    TEXT_BEHIND,
    TEXT_FROZEN,
    TEXT_CPUSET,      // the cgroup's directory where cpuset is, or ""
    TEXT_SCORE,       // of oom_score_adj, or ""
    TEXT_CONTROLLERS, // of a directory in the unified hierarchy: its cgroup.controllers
    TEXT_DEVICES,     // the device filter for it: instructions of bpf(2), or ""
    TEXT_COUNT,
};

// What differs from container to container; the values of the holes follow.
enum template_value {
    VALUE_ID,
    VALUE_BUNDLE,
    VALUE_CREATED, // RFC 3339
    VALUE_UMASK,   // the caller's, in decimal
    VALUE_STDIO,   // JSON
    VALUE_PID,
    VALUE_STARTED,
    VALUE_HOLES,
};

struct template_header {
    char magic[4];
    uint32_t version;
    uint32_t build; // OPS_CHECKSUM
    uint32_t crc;   // CRC-32 (as zlib's) of everything behind it
    uint32_t size;  // of the file
    uint32_t flags;
    uint32_t fast; // the flags of `fast` (fast.h)
    uint32_t holes;
    uint32_t checks;
    uint32_t joined;
    uint32_t directories;
    uint32_t writes;
    uint32_t strings;
    uint32_t patches;
    uint32_t plan;         // its length
    char boot_id[36];      // without a NUL
    uint64_t namespaces;   // CLONE_NEW*
    uint64_t capabilities; // effective ones of who made this
    uint64_t pack[2];      // inode and st_ctime (ns) of the pyrun.pack of the pyrun that did
};

#define TEMPLATE_BEHIND_CRC (offsetof(struct template_header, crc) + sizeof(uint32_t))

_Static_assert(sizeof(struct template_header) == 128, "template_header has padding");

struct text {
    const char *at; // behind the number of pieces
    uint32_t pieces;
};

// A template in memory, since template_find(), and the values of this container.
struct template
{
    struct template_header header;
    struct text texts[TEXT_COUNT];
    const char *holes, *checks, *joined, *directories, *writes, *strings, *patches, *plan;
    const char *value[VALUE_HOLES + TEMPLATE_HOLES];
    size_t length[VALUE_HOLES + TEMPLATE_HOLES];
};

// Where templates are kept: files of a folder, numbered from 0 on.
struct template_place {
    int folder;
    const char *name; // before the number
    uint32_t most;
    uint32_t kind; // of TEMPLATE_KIND
};

// A template for this config, of which each hole holds what may stand there, and which is true of
// this host and this caller.
bool template_find(struct template *out, const struct template_place *place, const char *config,
                   size_t size);

// The text at *at, which moves behind it. What template_find() gave is whole.
struct text template_next(const char **at);

// Writes a text with its values, and a NUL, to `out`, which ends at `end`; where that NUL is, NULL
// when there is no room.
char *template_fill(const struct template *from, struct text text, char *out, const char *end);

// The plan, whole, at `out`: its length, 0 when there is no room.
size_t template_plan(const struct template *from, char *out, const char *end);

// An absolute path in its normal form, of at most `size` characters.
bool template_is_path(const char *path, size_t size);

#endif
