// SPDX-License-Identifier: Apache-2.0
// Python, made for short errands: the interpreter that the launcher becomes, with the package's
// bytecode at hand and no more of itself set up than the verbs of every day need.
//
//   interpreter PACKAGES NAME [ARGUMENTS...]      PACKAGES: the folder that holds `pyrun`
//
// Its settings are those of `python3 -I -S -B -X utf8`. Setting up the second half of an
// interpreter (codecs, the standard streams, imports from folders, signals) takes longer than the
// first: it is left out until something asks for it (PyConfig._init_main, "multi-phase
// initialization" of the C API's manual). pyrun/pack.py decides when, and calls complete().

#include <Python.h>

#include <fcntl.h>
#include <limits.h>
#include <marshal.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static PyObject *complete(PyObject *module, PyObject *nothing)
{
    (void)module;
    (void)nothing;
    PyStatus status = _Py_InitializeMain();
    if (PyStatus_Exception(status))
        Py_ExitStatusException(status);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"complete", complete, METH_NOARGS, "Set up the second half of the interpreter."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_interpreter", NULL, -1, functions, NULL, NULL, NULL, NULL,
};

static PyObject *make_module(void)
{
    return PyModule_Create(&definition);
}

_Noreturn static void fail(const char *what)
{
    if (write(STDERR_FILENO, "pyrun: ", 7) < 0 || write(STDERR_FILENO, what, strlen(what)) < 0 ||
        write(STDERR_FILENO, "\n", 1) < 0)
        _exit(EXIT_FAILURE);
    _exit(EXIT_FAILURE);
}

static void check(PyStatus status)
{
    if (PyStatus_Exception(status))
        fail(status.err_msg ? status.err_msg : "cannot start Python");
}

static void set(PyConfig *config, wchar_t **member, const char *text)
{
    check(PyConfig_SetBytesString(config, member, text));
}

// Where Python looks for its library and is: what it would find out by asking twenty times whether
// a file is there.
static void set_places(PyConfig *config, const char *packages)
{
    const char *const search[] = {PYTHON_LIBRARY, PYTHON_LIBRARY "/lib-dynload", packages};
    for (size_t i = 0; i < sizeof search / sizeof *search; i++) {
        wchar_t *path = Py_DecodeLocale(search[i], NULL);
        if (!path)
            fail("out of memory");
        check(PyWideStringList_Append(&config->module_search_paths, path));
        PyMem_RawFree(path);
    }
    config->module_search_paths_set = 1;
    set(config, &config->program_name, PYTHON);
    set(config, &config->executable, PYTHON);
    set(config, &config->base_executable, PYTHON);
    set(config, &config->prefix, PYTHON_PREFIX);
    set(config, &config->exec_prefix, PYTHON_PREFIX);
    set(config, &config->base_prefix, PYTHON_PREFIX);
    set(config, &config->base_exec_prefix, PYTHON_PREFIX);
    set(config, &config->stdlib_dir, PYTHON_LIBRARY);
}

static void begin(const char *packages, int argc, char **argv)
{
    PyPreConfig before;
    PyConfig config;
    PyPreConfig_InitIsolatedConfig(&before);
    before.utf8_mode = 1;
    check(Py_PreInitialize(&before));
    if (PyImport_AppendInittab("_interpreter", make_module) < 0)
        fail("out of memory");
    PyConfig_InitIsolatedConfig(&config);
    config.site_import = 0;
    config.write_bytecode = 0;
    config.install_signal_handlers = 1;
    config.pathconfig_warnings = 0;
    config.parse_argv = 0;
    config._init_main = 0;
    set_places(&config, packages);
    check(PyConfig_SetBytesArgv(&config, argc, argv));
    check(Py_InitializeFromConfig(&config));
    PyConfig_Clear(&config);
}

// The pack, which stays as long as the process does and is read as far as it is needed; NULL if
// there is none, or if it is none.
static PyObject *open_pack(const char *packages)
{
    char path[PATH_MAX];
    struct stat status;
    int length = snprintf(path, sizeof path, "%s/pyrun/pyrun.pack", packages);
    if (length >= (int)sizeof path)
        return NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    bool whole = fstat(fd, &status) == 0 && status.st_size > (off_t)sizeof(uint32_t);
    size_t size = whole ? (size_t)status.st_size : 0;
    void *pack = whole ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    close(fd);
    return pack == MAP_FAILED ? NULL : PyMemoryView_FromMemory(pack, (Py_ssize_t)size, PyBUF_READ);
}

static PyObject *arguments(int argc, char **argv)
{
    PyObject *words = PyList_New(argc);
    for (int i = 0; words && i < argc; i++) {
        PyObject *word = PyUnicode_DecodeFSDefault(argv[i]);
        if (!word)
            return NULL;
        PyList_SET_ITEM(words, i, word);
    }
    return words;
}

// The first thing in the pack is the code of pyrun/pack.py, behind its size. It knows the rest.
static PyObject *run(const char *packages, PyObject *pack)
{
    const Py_buffer *buffer = PyMemoryView_GET_BUFFER(pack);
    const char *bytes = buffer->buf;
    uint32_t size;
    memcpy(&size, bytes, sizeof size);
    if ((Py_ssize_t)(size + sizeof size) > buffer->len)
        fail("pyrun.pack is damaged: install pyrun again");
    PyObject *code = PyMarshal_ReadObjectFromString(bytes + sizeof size, (Py_ssize_t)size);
    PyObject *module = PyImport_AddModule("pyrun.pack");
    PyObject *folder = PyUnicode_DecodeFSDefault(packages);
    if (!code || !module || !folder)
        return NULL;
    PyObject *scope = PyModule_GetDict(module);
    if (PyDict_SetItemString(scope, "__builtins__", PyEval_GetBuiltins()) < 0 ||
        !PyEval_EvalCode(code, scope, scope))
        return NULL;
    return PyObject_CallFunctionObjArgs(PyDict_GetItemString(scope, "boot"), folder, pack, NULL);
}

// An install without a pack: all of Python, which finds the package by itself.
static PyObject *run_unpacked(PyObject *words)
{
    check(_Py_InitializeMain());
    PyObject *module =
        PySys_SetObject("argv", words) < 0 ? NULL : PyImport_ImportModule("pyrun.__main__");
    return module ? PyObject_CallMethod(module, "finish", "O", words) : NULL;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        fail("the interpreter is for the launcher alone");
    // As Python has them, whose own set-up of signals is in the second half.
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    begin(argv[1], argc - 2, argv + 2);
    PyObject *words = arguments(argc - 2, argv + 2);
    if (!words || PySys_SetObject("argv", words) < 0)
        fail("out of memory");
    PyObject *pack = open_pack(argv[1]);
    // Neither returns, unless the package itself is broken.
    if (!(pack ? run(argv[1], pack) : run_unpacked(words)))
        PyErr_Print();
    fail("internal error: the package can't be loaded");
}
