/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs that say what a process is given: identity, rights, limits, descriptors, terminal. */
#include "payload.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

void do_env(void)
{
    for (char **entry = environ; *entry; entry++)
        puts(*entry);
}

void do_print(void)
{
    puts(word[0]);
}

void do_hostname(void)
{
    char name[256] = "";
    if (gethostname(name, sizeof name - 1) < 0)
        failed();
    puts(name);
}

void do_domainname(void)
{
    char name[256] = "";
    if (getdomainname(name, sizeof name - 1) < 0)
        failed();
    puts(name);
}

/* One line a set: NAME HEX. By system calls, so that no procfs is needed. */
void do_caps(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    unsigned long bounding = 0;
    unsigned long ambient = 0;
    if (syscall(SYS_capget, &header, data) < 0) {
        failed();
        return;
    }
    for (unsigned long i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++) {
        bounding |= (unsigned long)prctl(PR_CAPBSET_READ, i, 0, 0, 0) << i;
        ambient |= (unsigned long)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0) << i;
    }
    printf("effective %lx\n", data[0].effective | (unsigned long)data[1].effective << 32);
    printf("permitted %lx\n", data[0].permitted | (unsigned long)data[1].permitted << 32);
    printf("inheritable %lx\n", data[0].inheritable | (unsigned long)data[1].inheritable << 32);
    printf("bounding %lx\nambient %lx\n", bounding, ambient);
}

/* UID GID GROUP... */
void do_id(void)
{
    gid_t groups[64];
    int count = getgroups(64, groups);
    printf("%u %u", getuid(), getgid());
    for (int i = 0; i < count; i++)
        printf(" %u", groups[i]);
    puts("");
}

void do_umask(void)
{
    mode_t old = umask(0);
    umask(old);
    printf("%04o\n", old);
}

void do_cwd(void)
{
    char path[4096];
    if (syscall(SYS_getcwd, path, sizeof path) < 0)
        failed();
    else
        puts(path);
}

/* A resource by its number: SOFT HARD, -1 for no limit */
void do_rlimit(void)
{
    struct rlimit limit;
    if (getrlimit((__rlimit_resource_t)number(0), &limit) < 0) {
        failed();
        return;
    }
    printf("%ld %ld\n", (long)limit.rlim_cur, (long)limit.rlim_max);
}

void do_nnp(void)
{
    printf("%d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
}

/* A field of /proc/self/status, such as Seccomp or SigIgn */
void do_status(void)
{
    char line[256];
    size_t length = strlen(word[0]);
    FILE *file = fopen("/proc/self/status", "re");
    if (!file) {
        failed();
        return;
    }
    while (fgets(line, sizeof line, file))
        if (strncmp(line, word[0], length) == 0 && line[length] == ':') {
            char *value = line + length + 1;
            while (isspace((unsigned char)*value))
                value++;
            fputs(value, stdout);
        }
    fclose(file);
}

/* Open descriptors with what they lead to; none of it by opening one. */
void do_fds(void)
{
    char path[32];
    for (int fd = 0; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0) {
            printf("%d ", fd);
            snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
            show_link(path);
        }
}

void do_isatty(void)
{
    puts(isatty((int)number(0)) ? "yes" : "no");
}

void do_ttyname(void)
{
    const char *name = ttyname((int)number(0));
    if (name)
        puts(name);
    else
        failed();
}

/* ROWS COLUMNS of the terminal at stdin */
void do_winsize(void)
{
    struct winsize size;
    if (ioctl(0, TIOCGWINSZ, &size) < 0)
        failed();
    else
        printf("%u %u\n", size.ws_row, size.ws_col);
}

void do_ns(void)
{
    char path[64];
    const char *kinds[] = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        printf("%s ", kinds[i]);
        snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i]);
        show_link(path);
    }
}

/* PID PPID PGID SID, and the foreground group of the terminal if there is one */
void do_pids(void)
{
    printf("%d %d %d %d %d\n", getpid(), getppid(), getpgrp(), getsid(0), tcgetpgrp(0));
}

/* The session keyring as keyctl_describe(3) has it: type;uid;gid;permissions;name */
void do_keyring(void)
{
    char text[256] = "";
    long size =
        syscall(SYS_keyctl, KEYCTL_DESCRIBE, KEY_SPEC_SESSION_KEYRING, text, sizeof text - 1);
    if (size < 0)
        failed();
    else
        puts(text);
}

/* "up" or "down", and the names of the other interfaces */
void do_network(void)
{
    struct if_nameindex *all = if_nameindex();
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (!all || fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0) {
        failed();
        return;
    }
    printf("lo %s\n", request.ifr_flags & IFF_UP ? "up" : "down");
    for (struct if_nameindex *entry = all; entry->if_name; entry++)
        if (strcmp(entry->if_name, "lo") != 0)
            puts(entry->if_name);
    if_freenameindex(all);
    close(fd);
}

static void show_address(const struct sockaddr *address, const struct sockaddr *mask)
{
    char text[2][INET6_ADDRSTRLEN];
    const struct sockaddr *both[] = {address, mask};
    for (int i = 0; i < 2; i++) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)both[i];
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)both[i];
        const void *bytes = &v4->sin_addr;
        if (address->sa_family == AF_INET6)
            bytes = &v6->sin6_addr;
        else if (address->sa_family != AF_INET)
            return;
        inet_ntop(address->sa_family, bytes, text[i], sizeof text[i]);
    }
    if (strncmp(text[0], "fe80:", 5) != 0)
        printf("%s %s\n", text[0], text[1]);
}

/* "up" or "down" and the MTU of an interface; its addresses but the IPv6 one of the link, each with
 * its netmask */
void do_interface(void)
{
    struct ifreq request = {0};
    struct ifaddrs *all;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    strncpy(request.ifr_name, word[0], sizeof request.ifr_name - 1);
    if (fd < 0 || getifaddrs(&all) < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0) {
        failed();
        return;
    }
    fputs(request.ifr_flags & IFF_UP ? "up" : "down", stdout);
    ioctl(fd, SIOCGIFMTU, &request);
    printf(" %d\n", request.ifr_mtu);
    for (struct ifaddrs *entry = all; entry; entry = entry->ifa_next)
        if (entry->ifa_addr && strcmp(entry->ifa_name, word[0]) == 0)
            show_address(entry->ifa_addr, entry->ifa_netmask);
    freeifaddrs(all);
    close(fd);
}

/* Seconds of a clock by its number */
void do_clock(void)
{
    struct timespec now;
    if (clock_gettime((clockid_t)number(0), &now) < 0)
        failed();
    else
        printf("%ld\n", (long)now.tv_sec);
}

void do_signals(void)
{
    sigset_t blocked;
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    for (int i = 1; i < 65; i++) {
        struct sigaction action;
        if (sigaction(i, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            printf("ignored %d\n", i);
        if (sigismember(&blocked, i) == 1)
            printf("blocked %d\n", i);
    }
}
