// SPDX-License-Identifier: Apache-2.0
// Runs a WebAssembly module with WASI, by the library of the wasmtime package: the program of a
// container whose handler is wasm (pyrun/handlers/wasm.py). It runs inside, as the container's
// user, after everything that confines the container; what it has of the host are the files it is
// made of.
//
//     run-wasm MODULE [ARGUMENT...]
//
// The library is loaded by its name, so that nothing of it is needed where this is built. The exit
// code is the module's, 134 for a trap (as of abort(3)), 126 or 127 where it can't be run at all.

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIBRARY "_libwasmtime.so"
#define CANNOT 126
#define NOT_FOUND 127
#define TRAPPED 134

struct bytes {
    size_t size;
    char *data;
};

struct function {
    uint64_t store;
    void *index;
};

// What is used of wasmtime's C API, as wasmtime.h and wasi.h have it since version 50.
#define FUNCTIONS(F)                                                                               \
    F(void *, wasm_engine_new, (void))                                                             \
    F(void *, wasmtime_wat2wasm, (const char *text, size_t size, struct bytes *out))               \
    F(void *, wasmtime_module_new, (void *engine, const void *code, size_t size, void **out))      \
    F(void *, wasmtime_store_new, (void *engine, void *data, void *finalizer))                     \
    F(void *, wasmtime_store_context, (void *store))                                               \
    F(void *, wasi_config_new, (void))                                                             \
    F(bool, wasi_config_set_argv, (void *wasi, size_t count, char **argv))                         \
    F(void, wasi_config_inherit_env, (void *wasi))                                                 \
    F(void, wasi_config_inherit_stdin, (void *wasi))                                               \
    F(void, wasi_config_inherit_stdout, (void *wasi))                                              \
    F(void, wasi_config_inherit_stderr, (void *wasi))                                              \
    F(bool, wasi_config_preopen_dir,                                                               \
      (void *wasi, const char *path, const char *guest, bool writable))                            \
    F(void *, wasmtime_context_set_wasi, (void *context, void *wasi))                              \
    F(void *, wasmtime_linker_new, (void *engine))                                                 \
    F(void *, wasmtime_linker_define_wasi, (void *linker))                                         \
    F(void *, wasmtime_linker_module,                                                              \
      (void *linker, void *context, const char *name, size_t size, void *module))                  \
    F(void *, wasmtime_linker_get_default,                                                         \
      (void *linker, void *context, const char *name, size_t size, struct function *out))          \
    F(void *, wasmtime_func_call,                                                                  \
      (void *context, struct function *function, void *arguments, size_t argument_count,           \
       void *results, size_t result_count, void **trap))                                           \
    F(bool, wasmtime_error_exit_status, (void *error, int *status))                                \
    F(void, wasmtime_error_message, (void *error, struct bytes *out))                              \
    F(void, wasm_trap_message, (void *trap, struct bytes *out))

// NOLINTBEGIN(bugprone-macro-parentheses): they make declarations and assignments.
#define DECLARE(result, name, arguments) static result(*name) arguments;
FUNCTIONS(DECLARE)
#undef DECLARE
// NOLINTEND(bugprone-macro-parentheses)

__attribute__((noreturn, format(printf, 2, 3))) static void fail(int code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs("wasm: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(code);
}

static void check(const char *doing, void *error)
{
    struct bytes text;

    if (!error)
        return;
    wasmtime_error_message(error, &text);
    fail(CANNOT, "%s: %.*s", doing, (int)text.size, text.data);
}

static void load_library(void)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

    if (!library)
        fail(CANNOT, "%s", dlerror());
        // NOLINTBEGIN(bugprone-macro-parentheses): as above.
#define LOAD(result, name, arguments)                                                              \
    *(void **)&name = dlsym(library, #name);                                                       \
    if (!name)                                                                                     \
        fail(CANNOT, "%s: another version than the one that is needed", dlerror());
    FUNCTIONS(LOAD)
#undef LOAD
    // NOLINTEND(bugprone-macro-parentheses)
}

static struct bytes map_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    struct bytes found;

    if (fd < 0 || fstat(fd, &status) < 0)
        fail(errno == ENOENT || errno == ENOTDIR ? NOT_FOUND : CANNOT, "%s: %s", path,
             strerror(errno));
    found.size = (size_t)status.st_size;
    if (!found.size)
        fail(CANNOT, "%s: it is empty", path);
    found.data = mmap(NULL, found.size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (found.data == MAP_FAILED)
        fail(CANNOT, "%s: %s", path, strerror(errno));
    close(fd);
    return found;
}

static void *compile(void *engine, const char *path)
{
    struct bytes code = map_file(path);
    void *module = NULL;

    if (code.size < 4 || memcmp(code.data, "\0asm", 4) != 0) { // the text form
        struct bytes binary = {0, NULL};

        check(path, wasmtime_wat2wasm(code.data, code.size, &binary));
        code = binary;
    }
    check(path, wasmtime_module_new(engine, code.data, code.size, &module));
    return module;
}

static void *wasi(int argc, char **argv)
{
    void *config = wasi_config_new();

    wasi_config_inherit_env(config);
    wasi_config_inherit_stdin(config);
    wasi_config_inherit_stdout(config);
    wasi_config_inherit_stderr(config);
    // The container's root and working directory: what it may do there, the container decides.
    if (!wasi_config_set_argv(config, (size_t)argc, argv) ||
        !wasi_config_preopen_dir(config, "/", "/", true) ||
        !wasi_config_preopen_dir(config, ".", ".", true))
        fail(CANNOT, "its arguments or directories can't be handed over");
    return config;
}

int main(int argc, char **argv)
{
    void *engine, *module, *context, *linker, *error, *trap = NULL;
    struct function start;
    struct bytes text;
    int status = 0;

    if (argc < 2)
        fail(CANNOT, "no module is named");
    load_library();
    engine = wasm_engine_new();
    module = compile(engine, argv[1]);
    context = wasmtime_store_context(wasmtime_store_new(engine, NULL, NULL));
    check("WASI", wasmtime_context_set_wasi(context, wasi(argc - 1, argv + 1)));
    linker = wasmtime_linker_new(engine);
    check("WASI", wasmtime_linker_define_wasi(linker));
    check(argv[1], wasmtime_linker_module(linker, context, "", 0, module));
    check(argv[1], wasmtime_linker_get_default(linker, context, "", 0, &start));
    error = wasmtime_func_call(context, &start, NULL, 0, NULL, 0, &trap);
    if (error && wasmtime_error_exit_status(error, &status))
        return status;
    check(argv[1], error);
    if (!trap)
        return EXIT_SUCCESS;
    wasm_trap_message(trap, &text);
    fail(TRAPPED, "%s: %.*s", argv[1], (int)text.size, text.data);
}
