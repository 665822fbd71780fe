// SPDX-License-Identifier: Apache-2.0

#ifndef PYRUN_TRUTH_H
#define PYRUN_TRUTH_H

#include <stdbool.h>

#include "template.h"

// Whether the template, filled with the values of this container, is true here and now.
bool truth(const struct template *from);

#endif
