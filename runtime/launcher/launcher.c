// SPDX-License-Identifier: Apache-2.0
// The `pyrun` of the PATH: finds the Python it was installed with and becomes it. It knows where
// that Python and the package are, relative to itself, and nothing else: no option is read here.
// The verbs of an ordinary container that need no Python are fast.c's, which is asked first.
//
// It depends on neither the environment (an engine may pass none) nor the working directory (a
// bundle, whose files are not ours: `-I` keeps them out of the module path).

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fast.h"

// -I: no PYTHON* variable, no user site, no working directory in the module path. -S: no `site`,
// which costs 3 ms; BOOT adds the one folder that matters. -B: an install is never written to.
// utf8: paths and ids are UTF-8 whatever the locale is, and no locale file is read.
#define PYTHON_OPTIONS "-I", "-S", "-B", "-X", "utf8", "-c", BOOT

// argv of Python: '-c', the package's folder, the name we were called by, our arguments. _exit:
// main has flushed, and taking the interpreter down in good order costs a millisecond for nothing.
//
// The pack (pyrun/pack.py) spares the search for sixty modules; an install may be without one.
#define BOOT                                                                                       \
    "import marshal, posix, sys\n"                                                                 \
    "folder = sys.argv[1]\n"                                                                       \
    "sys.path.append(folder)\n"                                                                    \
    "del sys.argv[:2]\n"                                                                           \
    "try:\n"                                                                                       \
    " with open(folder + '/pyrun/pyrun.pack', 'rb', 0) as file:\n"                                 \
    "  data = memoryview(file.readall())\n"                                                        \
    "except FileNotFoundError:\n"                                                                  \
    " pass\n"                                                                                      \
    "else:\n"                                                                                      \
    " scope = {'__name__': 'pyrun.pack'}\n"                                                        \
    " codes = data[4 + int.from_bytes(data[:4], 'little'):]\n"                                     \
    " table = marshal.loads(data[4:])\n"                                                           \
    " exec(marshal.loads(codes[table['pyrun.pack'][1]:]), scope)\n"                                \
    " scope['install'](folder, table, codes)\n"                                                    \
    "from pyrun.__main__ import main\n"                                                            \
    "posix._exit(main(sys.argv))\n"

#define PACKAGES "/lib/python" PYTHON_VERSION "/site-packages"

static void say(const char *text)
{
    // Nobody is left to tell when this fails.
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return;
}

static int fail(const char *what, const char *path, int error)
{
    say("pyrun: ");
    say(what);
    say(path);
    say(": ");
    say(strerror(error));
    say("\n");
    return EXIT_FAILURE;
}

// A runtime started with a closed fd 0, 1 or 2 would get its state file or a socket there, and a
// message for the user would be written into it.
static bool hold_standard_fds(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            return false;
    return true;
}

// Cuts `path` before its last component. False when it has none.
static bool cut(char *path)
{
    char *slash = strrchr(path, '/');

    if (!slash)
        return false;
    *slash = '\0';
    return true;
}

// Writes dir + tail into `out`, of PATH_MAX bytes. False when they don't fit.
static bool join(char *out, const char *dir, const char *tail)
{
    size_t head = strlen(dir);
    size_t rest = strlen(tail) + 1;

    if (head + rest > PATH_MAX)
        return false;
    // The terminator comes with the tail. NOLINTNEXTLINE(bugprone-not-null-terminated-result)
    memcpy(out, dir, head);
    memcpy(out + head, tail, rest);
    return true;
}

// The interpreter and the package's folder, from where this binary lies: <prefix>/bin/pyrun. The
// kernel has followed symlinks already, so a link to it from anywhere works.
static bool locate(char *python, char *packages)
{
    char prefix[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", prefix, sizeof prefix - 1);

    if (length <= 0)
        return false;
    prefix[length] = '\0';
    if (!cut(prefix) || !join(python, prefix, "/python3") || !cut(prefix) ||
        !join(packages, prefix, PACKAGES)) {
        errno = ENAMETOOLONG;
        return false;
    }
    return true;
}

static const char *name_of(const char *argv0)
{
    const char *slash = argv0 ? strrchr(argv0, '/') : NULL;

    if (slash)
        return slash + 1;
    return argv0 ? argv0 : "pyrun";
}

int main(int argc, char **argv)
{
    static char python[PATH_MAX], packages[PATH_MAX];
    const char *options[] = {PYTHON_OPTIONS};
    size_t fixed = sizeof options / sizeof *options;
    size_t given = argc > 1 ? (size_t)argc - 1 : 0;
    const char **args;
    int code, error;

    if (!hold_standard_fds())
        return EXIT_FAILURE; // no fd to complain on
    code = fast_verb(argc, argv);
    if (code != FAST_PYTHON)
        return code;
    if (!locate(python, packages))
        return fail("cannot find its own place in ", "/proc/self/exe", errno);
    args = calloc(fixed + given + 4, sizeof *args); // + python, packages, name and the final NULL
    if (!args)
        return fail("cannot start ", python, errno);
    args[0] = python;
    memcpy(args + 1, options, sizeof options);
    args[fixed + 1] = packages;
    args[fixed + 2] = name_of(argc > 0 ? argv[0] : NULL);
    memcpy(args + fixed + 3, argv + 1, given * sizeof *args);
    execve(python, (char **)args, environ);
    error = errno;
    free(args);
    return fail("cannot start its Python ", python, error);
}
