// SPDX-License-Identifier: Apache-2.0
// create and run of a container of a known shape.

#ifndef PYRUN_CREATE_H
#define PYRUN_CREATE_H

#include "words.h"

// The exit code; FAST_PYTHON when it is Python's, for which all that was made is undone. `box` has
// the folder of all containers.
int create_box(const struct words *words);

#endif
