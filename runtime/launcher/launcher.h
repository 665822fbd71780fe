// SPDX-License-Identifier: Apache-2.0
// What the other parts of the launcher ask of its main one.

#ifndef PYRUN_LAUNCHER_H
#define PYRUN_LAUNCHER_H

#include <stdbool.h>

// The path of a file of the package, into PATH_MAX bytes.
bool launcher_file(const char *name, char *out);

// A verb of a process that goes on behind it: its exit code.
int launcher_verb(int argc, char **argv);

#endif
