// SPDX-License-Identifier: Apache-2.0
// What `run`, `exec` and `restore` become in the foreground, when all is done but waiting: a
// process of a few pages instead of an interpreter. runtime/pyrun/waiter.py starts it.

#ifndef PYRUN_WAITER_H
#define PYRUN_WAITER_H

// The name by which it is called, and its words, all numbers: the pid, a pidfd of the same, the
// terminal's master, the socket at which the container tells that it is ready, the one at which our
// own manager is told, each or -1, and whether a failure of what is done at the end is ours. What
// follows is the command line of that, or nothing. All signals are blocked, and have been since
// before the program could run.
#define WAITER_NAME "pyrun:wait"
#define WAITER_WORDS 7

// Waits for the end, forwards signals and the terminal until then, has `verb` carry out the rest of
// the command line, reaps, and gives the exit code: 128+n for one that signal n has killed.
int waiter(int argc, char **argv, int (*verb)(int argc, char **argv));

#endif
