/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel that does nothing: the executor's calls come here, and the fuzzer's input says how each
 * of them goes. It knows which descriptors are open, and what the runtime was told. */
#ifndef MODEL_H
#define MODEL_H

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "plan.h"

#define MODEL_RUNTIME 3 /* the descriptor of the runtime's socket */
#define MODEL_FDS 1100

struct model {
    const uint8_t *at, *end; /* answers that are left: none is success, and nothing more to read */
    const char *plan;
    size_t size;
    uint32_t count;   /* of operations */
    uint32_t donated; /* descriptors */
    int tolerant;     /* an operation may fail, and what it had opened is nobody's then */
    int times;        /* whether it is asked how long it all takes */
    int stage;        /* of what the runtime sends */
    int told;         /* FAILED, or that and evidence: 1, 2 */
    int deaf;         /* the runtime has died, or cannot be told */
    int child;        /* this is what a hook runs in */
    int swept;        /* close_range(2) has closed what is in slots, which do not hear of it */
    int point;        /* of the last SYNC: at odd ones a descriptor is waited for; -1: none */
    int unmounts;
    long clock;
    jmp_buf over;
};

extern struct model model;

/* Something about the executor that may never be. */
#define MODEL_HOLDS(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum what { FILE_THERE, FOLDER, PROC, PTMX, NULL_DEVICE, PIPE, RUNTIME, PLAN, TIMES, OTHER };

/* Whether a call fails, with errno: one byte of the input. result() is 0, or -1. */
int fails(void);
int result(void);

/* What the kernel reads and writes, so that a sanitizer sees what is not there. */
void touch(const void *bytes, size_t size);
void read_string(const char *text);
void put(void *bytes, size_t size);

/* A new descriptor; it is close-on-exec, or a container could come to it (CVE-2024-21626). */
int give(enum what what, int closes);
int copy_to(int from, int to);
enum what what_of(int fd);
int is_open(int fd);
int is_folder(int fd); /* also AT_FDCWD */
int sweep(unsigned first, unsigned last);

/* What is at a path; and the two ends of a fork, of which `hook` is one for a hook. */
enum what model_what(const char *path, int flags);
pid_t model_forked(int hook);

/* The end of the process: by whatever way, and by exit_group(2), for which there is a reason. */
void over(void);
void quit_model(void);

/* The next byte of the input, 0 at its end. */
uint8_t model_byte(void);

/* Descriptors as they are when the executor begins. */
void model_begin(void);

/* What was mapped is given back. */
void model_end(void);

#endif
