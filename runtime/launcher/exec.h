// SPDX-License-Identifier: Apache-2.0
// exec of a process of a known shape.

#ifndef PYRUN_EXEC_H
#define PYRUN_EXEC_H

#include "words.h"

// The exit code; FAST_PYTHON when it is Python's, for which all that was made is undone. `box` has
// the container, with its lock, which is given back.
int exec_box(const struct words *words);

#endif
