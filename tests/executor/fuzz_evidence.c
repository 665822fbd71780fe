/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer: whatever a file begins with, its interpreter is a string within what was read. */
#include <stdlib.h>

#include "evidence.c" // NOLINT(bugprone-suspicious-include): what is tried is static there

int slot[PLAN_SLOTS];
const char *executable;

int open_at(int directory, const char *path, uint64_t flags, uint64_t resolve)
{
    (void)directory, (void)path, (void)flags, (void)resolve;
    return -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > sizeof content)
        size = sizeof content;
    memset(content, 'x', sizeof content);
    memcpy(content, data, size);
    const char *found = interpreter(size);
    if (found &&
        (found < content || found >= content + size || !memchr(found, 0, content + size - found)))
        abort();
    return 0;
}
