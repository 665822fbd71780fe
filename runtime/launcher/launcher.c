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
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "box.h"
#include "fast.h"
#include "launcher.h"
#include "waiter.h"

// -I: no PYTHON* variable, no user site, no working directory in the module path. -S: no `site`,
// which costs 3 ms; BOOT adds the one folder that matters. -B: an install is never written to.
// utf8: paths and ids are UTF-8 whatever the locale is, and no locale file is read.
#define PYTHON_OPTIONS "-I", "-S", "-B", "-X", "utf8", "-c", BOOT

// argv of Python: '-c', the package's folder, the name we were called by, our arguments. An install
// may be without a pack (pyrun/pack.py).
#define BOOT                                                                                       \
    "import marshal, sys\n"                                                                        \
    "folder = sys.argv[1]\n"                                                                       \
    "sys.path.append(folder)\n"                                                                    \
    "del sys.argv[:2]\n"                                                                           \
    "try:\n"                                                                                       \
    " with open(folder + '/pyrun/pyrun.pack', 'rb', 0) as file:\n"                                 \
    "  pack = memoryview(file.readall())\n"                                                        \
    "except FileNotFoundError:\n"                                                                  \
    " from pyrun.__main__ import finish\n"                                                         \
    " finish(sys.argv)\n"                                                                          \
    "module = sys.modules['pyrun.pack'] = type(sys)('pyrun.pack')\n"                               \
    "exec(marshal.loads(pack[4:]), module.__dict__)\n"                                             \
    "module.boot(folder, pack)\n"

#define PACKAGES "/lib/python" PYTHON_VERSION "/site-packages"
// What we become where the build could make it: interpreter.c. Else it is Python as it is.
#define INTERPRETER "/pyrun/interpreter"

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

bool launcher_file(const char *name, char *out)
{
    static char python[PATH_MAX], packages[PATH_MAX], place[PATH_MAX];

    return locate(python, packages) && join(place, packages, "/pyrun/") && join(out, place, name);
}

static const char *name_of(const char *argv0)
{
    const char *slash = argv0 ? strrchr(argv0, '/') : NULL;

    if (slash)
        return slash + 1;
    return argv0 ? argv0 : "pyrun";
}

// Becomes `program`, with `fixed` words before ours; returns if it can't.
static void become(const char *program, const char *const *fixed, size_t count, int argc,
                   char **argv)
{
    size_t given = argc > 1 ? (size_t)argc - 1 : 0;
    const char **args = calloc(count + given + 3, sizeof *args); // + program, name, final NULL

    if (!args)
        return;
    args[0] = program;
    memcpy(args + 1, fixed, count * sizeof *args);
    args[count + 1] = name_of(argc > 0 ? argv[0] : NULL);
    memcpy(args + count + 2, argv + 1, given * sizeof *args);
    execve(program, (char **)args, environ);
    free(args);
}

// Becomes Python, or says why not.
static int python_verb(int argc, char **argv)
{
    static char python[PATH_MAX], packages[PATH_MAX], interpreter[PATH_MAX];

    if (!locate(python, packages) || !join(interpreter, packages, INTERPRETER))
        return fail("cannot find its own place in ", "/proc/self/exe", errno);
    signal(SIGCHLD, SIG_DFL); // ignored by the caller, our children could not be waited for
    const char *const plain[] = {PYTHON_OPTIONS, packages};
    become(interpreter, (const char *[]){packages}, 1, argc, argv);
    become(python, plain, sizeof plain / sizeof *plain, argc, argv);
    return fail("cannot start its Python ", python, errno);
}

int launcher_verb(int argc, char **argv)
{
    int code = fast_verb(argc, argv);
    int status;
    pid_t child;
    sigset_t none;

    if (code != FAST_PYTHON)
        return code;
    box_close(); // Python wants the lock
    child = fork();
    if (child == 0) {
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        _exit(python_verb(argc, argv));
    }
    if (child < 0)
        return fail("fork: cannot start ", argv[0], errno);
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return EXIT_FAILURE;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    int code;

    if (!hold_standard_fds())
        return EXIT_FAILURE; // no fd to complain on
    if (argc > 0 && strcmp(argv[0], WAITER_NAME) == 0)
        return waiter(argc, argv, launcher_verb);
    code = fast_verb(argc, argv);
    return code == FAST_PYTHON ? python_verb(argc, argv) : code;
}
