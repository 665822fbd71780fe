/* SPDX-License-Identifier: Apache-2.0 */
/* A verb that only opens. */
#include "payload.h"

#include <fcntl.h>
#include <unistd.h>

/* PATH r|w: nothing is read or written */
void do_open(void)
{
    int fd = open(word[0], (*word[1] == 'w' ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_CLOEXEC);
    done(fd);
    if (fd >= 0)
        close(fd);
}
