// SPDX-License-Identifier: Apache-2.0
// The kernel's own floor: what is left of each verb when nobody reads a config, keeps a state or
// makes a cgroup. New pid, net, ipc, uts, mount and cgroup namespaces, the default mounts, nodes
// and masks, pivot_root, execve. It checks its system calls and nothing else: never use it on what
// you do not trust.
//
//   floor run ROOTFS PROGRAM [ARGUMENT...]          until it ends; its exit code
//   floor create FOLDER ROOTFS PROGRAM [ARG...]     FOLDER is made; FOLDER/pid is the init's
//   floor exec FOLDER PROGRAM [ARG...]              beside the init, until it ends; its exit code
//   floor start|state|delete FOLDER
//   floor kill FOLDER SIGNAL
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAMESPACES (CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS)
#define PLAIN (MS_NOSUID | MS_NOEXEC | MS_NODEV)

static void must(bool done, const char *what)
{
    if (done)
        return;
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    _exit(125);
}

struct place {
    const char *type, *target;
    unsigned long flags;
    const char *data;
};

// The mounts of the default config.json, in its order.
static const struct place mounts[] = {
    {"proc", "proc", 0, NULL},
    {"tmpfs", "dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"},
    {"devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"},
    {"tmpfs", "dev/shm", PLAIN, "mode=1777,size=65536k"},
    {"mqueue", "dev/mqueue", PLAIN, NULL},
    {"sysfs", "sys", PLAIN | MS_RDONLY, NULL},
    {"tmpfs", "sys/fs/cgroup", PLAIN | MS_RELATIME, "mode=755"},
};

static const struct {
    const char *path;
    unsigned minor;
} nodes[] = {{"dev/null", 3}, {"dev/zero", 5},   {"dev/full", 7},
             {"dev/tty", 0},  {"dev/random", 8}, {"dev/urandom", 9}};

static const char *const links[][2] = {{"/proc/self/fd", "dev/fd"},
                                       {"/proc/self/fd/0", "dev/stdin"},
                                       {"/proc/self/fd/1", "dev/stdout"},
                                       {"/proc/self/fd/2", "dev/stderr"},
                                       {"pts/ptmx", "dev/ptmx"}};

static const char *const masked[] = {"proc/acpi",        "proc/kcore",         "proc/keys",
                                     "proc/scsi",        "proc/latency_stats", "proc/timer_list",
                                     "proc/timer_stats", "proc/sched_debug",   "sys/firmware"};

static const char *const readonly[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys",
                                       "proc/sysrq-trigger"};

static void mask(void)
{
    struct stat found;

    for (size_t i = 0; i < sizeof readonly / sizeof *readonly; i++)
        if (mount(readonly[i], readonly[i], NULL, MS_BIND | MS_REC, NULL) == 0)
            must(mount(NULL, readonly[i], NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | PLAIN, NULL) ==
                     0,
                 readonly[i]);
    for (size_t i = 0; i < sizeof masked / sizeof *masked; i++) {
        if (stat(masked[i], &found) < 0)
            continue;
        if (S_ISDIR(found.st_mode))
            must(mount("tmpfs", masked[i], "tmpfs", MS_RDONLY, NULL) == 0, masked[i]);
        else
            must(mount("dev/null", masked[i], NULL, MS_BIND, NULL) == 0, masked[i]);
    }
}

static void enter(const char *rootfs)
{
    must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "private");
    must(mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL) == 0 && chdir(rootfs) == 0, rootfs);
    for (size_t i = 0; i < sizeof mounts / sizeof *mounts; i++) {
        const struct place *place = &mounts[i];
        must(mkdir(place->target, 0755) == 0 || errno == EEXIST, place->target);
        must(mount(place->type, place->target, place->type, place->flags, place->data) == 0,
             place->target);
    }
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        dev_t device = makedev(nodes[i].minor ? 1 : 5, nodes[i].minor);
        must(mknod(nodes[i].path, S_IFCHR | 0666, device) == 0, nodes[i].path);
    }
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        must(symlink(links[i][0], links[i][1]) == 0, links[i][1]);
    mask();
    must(mount(NULL, ".", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) == 0, "read-only root");
    must(syscall(SYS_pivot_root, ".", ".") == 0 && umount2(".", MNT_DETACH) == 0 && chdir("/") == 0,
         "pivot_root");
    must(sethostname("runc", 4) == 0, "sethostname");
}

// The init: waits at `fifo` where there is one, having said so on `ready`.
static void become(const char *rootfs, char **program, int fifo, int ready)
{
    static char *environment[] = {"PATH=/bin:/usr/bin", NULL};
    char byte = 0;

    enter(rootfs);
    if (fifo >= 0) {
        must(write(ready, &byte, 1) == 1, "ready");
        must(read(fifo, &byte, 1) == 1, "fifo");
    }
    execve(program[0], program, environment);
    must(false, program[0]);
}

static pid_t spawn(const char *rootfs, char **program, int fifo, int ready)
{
    struct clone_args args = {.flags = NAMESPACES, .exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &args, sizeof args);

    must(pid >= 0, "clone3");
    if (pid == 0)
        become(rootfs, program, fifo, ready);
    return (pid_t)pid;
}

static int run(char **words)
{
    int status;
    pid_t pid = spawn(words[0], words + 1, -1, -1);

    must(waitpid(pid, &status, 0) == pid, "waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int create(const char *folder, char **words)
{
    char byte, text[16];
    int ready[2];

    must(mkdir(folder, 0700) == 0 && chdir(folder) == 0 && mkfifo("fifo", 0600) == 0, folder);
    int fifo = open("fifo", O_RDWR | O_CLOEXEC);
    must(fifo >= 0 && pipe2(ready, O_CLOEXEC) == 0, "fifo");
    pid_t pid = spawn(words[0], words + 1, fifo, ready[1]);
    close(ready[1]);
    must(read(ready[0], &byte, 1) == 1, "the init");
    int file = open("pid", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int size = snprintf(text, sizeof text, "%d", (int)pid);
    must(file >= 0 && write(file, text, (size_t)size) == size, "pid");
    return EXIT_SUCCESS;
}

static int recorded(char *text, size_t room)
{
    int file = open("pid", O_RDONLY | O_CLOEXEC);
    ssize_t size = file < 0 ? -1 : read(file, text, room - 1);

    must(size > 0, "pid");
    text[size] = '\0';
    return (int)strtol(text, NULL, 10);
}

static int start(void)
{
    int fifo = open("fifo", O_WRONLY | O_NONBLOCK | O_CLOEXEC);

    must(fifo >= 0 && write(fifo, "0", 1) == 1 && unlink("fifo") == 0, "fifo");
    return EXIT_SUCCESS;
}

static int state(void)
{
    char text[16], path[32];

    snprintf(path, sizeof path, "/proc/%d/stat", recorded(text, sizeof text));
    must(access(path, F_OK) == 0, path);
    puts(text);
    return EXIT_SUCCESS;
}

static int join(char **program)
{
    static char *environment[] = {"PATH=/bin:/usr/bin", NULL};
    char text[16];
    int status;
    int init = (int)syscall(SYS_pidfd_open, recorded(text, sizeof text), 0);

    must(init >= 0 && setns(init, NAMESPACES) == 0, "setns");
    pid_t pid = fork();
    if (pid == 0) {
        execve(program[0], program, environment);
        must(false, program[0]);
    }
    must(pid > 0 && waitpid(pid, &status, 0) == pid, "waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int remove_all(const char *folder)
{
    must(unlink("pid") == 0, "pid");
    must(unlink("fifo") == 0 || errno == ENOENT, "fifo");
    must(rmdir(folder) == 0, folder);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    char text[16];
    const char *verb = argc > 2 ? argv[1] : "";

    if (strcmp(verb, "run") == 0 && argc > 3)
        return run(argv + 2);
    if (strcmp(verb, "create") == 0 && argc > 4)
        return create(argv[2], argv + 3);
    if (*verb == '\0' || chdir(argv[2]) < 0) {
        fputs("floor: run|create|start|exec|state|kill|delete FOLDER ...\n", stderr);
        return 125;
    }
    if (strcmp(verb, "start") == 0)
        return start();
    if (strcmp(verb, "exec") == 0 && argc > 3)
        return join(argv + 3);
    if (strcmp(verb, "state") == 0)
        return state();
    if (strcmp(verb, "kill") == 0 && argc > 3)
        return kill(recorded(text, sizeof text), (int)strtol(argv[3], NULL, 10)) < 0;
    return remove_all(argv[2]);
}
