/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs of the payload share, and the list of them. */
#ifndef PAYLOAD_H
#define PAYLOAD_H

extern char **word; /* the arguments of the running verb, NULL after the last */

/* Answers that every verb may give. */
void failed(void);           /* "error: ENOENT", of errno */
void done(long result);      /* "ok", or failed() below 0 */
long number(int index);      /* an argument as a number, 0 without one */
void show(const char *path); /* a file's content */
void show_link(const char *path);

#define VERBS(VERB)                                                                                \
    VERB("cat", cat)                                                                               \
    VERB("mounts", mounts)                                                                         \
    VERB("env", env)                                                                               \
    VERB("print", print)                                                                           \
    VERB("stat", stat)                                                                             \
    VERB("readlink", readlink)                                                                     \
    VERB("ls", ls)                                                                                 \
    VERB("write", write)                                                                           \
    VERB("open", open)                                                                             \
    VERB("read", read_device)                                                                      \
    VERB("mkdir", mkdir)                                                                           \
    VERB("remove", remove)                                                                         \
    VERB("mknod", mknod)                                                                           \
    VERB("chmod", chmod)                                                                           \
    VERB("chown", chown)                                                                           \
    VERB("mount-tmpfs", mount_tmpfs)                                                               \
    VERB("hostname", hostname)                                                                     \
    VERB("domainname", domainname)                                                                 \
    VERB("caps", caps)                                                                             \
    VERB("id", id)                                                                                 \
    VERB("umask", umask)                                                                           \
    VERB("cwd", cwd)                                                                               \
    VERB("rlimit", rlimit)                                                                         \
    VERB("nnp", nnp)                                                                               \
    VERB("status", status)                                                                         \
    VERB("fds", fds)                                                                               \
    VERB("write-fd", write_fd)                                                                     \
    VERB("accept", accept)                                                                         \
    VERB("isatty", isatty)                                                                         \
    VERB("ttyname", ttyname)                                                                       \
    VERB("winsize", winsize)                                                                       \
    VERB("ns", ns)                                                                                 \
    VERB("pids", pids)                                                                             \
    VERB("syscall", syscall)                                                                       \
    VERB("keyring", keyring)                                                                       \
    VERB("hog", hog)                                                                               \
    VERB("hog-child", hog_child)                                                                   \
    VERB("forks", forks)                                                                           \
    VERB("spawn", spawn)                                                                           \
    VERB("exit", exit)                                                                             \
    VERB("kill-self", kill_self)                                                                   \
    VERB("die", die)                                                                               \
    VERB("sleep", sleep)                                                                           \
    VERB("trap", trap)                                                                             \
    VERB("echo", echo)                                                                             \
    VERB("network", network)                                                                       \
    VERB("interface", interface)                                                                   \
    VERB("clock", clock)                                                                           \
    VERB("burn", burn)                                                                             \
    VERB("hook", hook)                                                                             \
    VERB("notify", notify)                                                                         \
    VERB("barrier", barrier)                                                                       \
    VERB("orphan", orphan)                                                                         \
    VERB("signals", signals)                                                                       \
    VERB("scheduler", scheduler)                                                                   \
    VERB("ioprio", ioprio)                                                                         \
    VERB("mempolicy", mempolicy)                                                                   \
    VERB("machine", machine)                                                                       \
    VERB("obey", obey)                                                                             \
    VERB("count", count)                                                                           \
    VERB("count-tcp", count_tcp)                                                                   \
    VERB("count-piped", count_piped)                                                               \
    VERB("count-file", count_file)                                                                 \
    VERB("count-sent", count_sent)                                                                 \
    VERB("count-listening", count_listening)                                                       \
    VERB("locked", locked)                                                                         \
    VERB("await", await)                                                                           \
    VERB("tcp", tcp)                                                                               \
    VERB("abstract", abstract)                                                                     \
    VERB("kill", kill)                                                                             \
    VERB("execute", execute)                                                                       \
    VERB("rename", rename)                                                                         \
    VERB("hunt", hunt)

#define VERB(name, function) void do_##function(void);
VERBS(VERB)
#undef VERB

#endif
