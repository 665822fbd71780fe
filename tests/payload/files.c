/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs that look at files, or try to change them. */
#include "payload.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

void do_cat(void)
{
    show(word[0]);
}

void do_mounts(void)
{
    show("/proc/self/mountinfo");
}

/* TYPE MODE UID GID MAJOR:MINOR SIZE */
void do_stat(void)
{
    struct stat s;
    if (lstat(word[0], &s) < 0) {
        failed();
        return;
    }
    const char *types = "?pc?d?b?-?l?s???";
    printf("%c %04o %u %u %u:%u %ld\n", types[s.st_mode >> 12 & 15], s.st_mode & 07777U, s.st_uid,
           s.st_gid, major(s.st_rdev), minor(s.st_rdev), (long)s.st_size);
}

void do_readlink(void)
{
    show_link(word[0]);
}

static int is_name(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

void do_ls(void)
{
    struct dirent **entries;
    int count = scandir(word[0], &entries, is_name, alphasort);
    if (count < 0)
        failed();
    for (int i = 0; i < count; i++) {
        puts(entries[i]->d_name);
        free(entries[i]);
    }
    if (count >= 0)
        free((void *)entries);
}

/* PATH TEXT: appends, makes the file if it has to */
void do_write(void)
{
    int fd = open(word[0], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0) {
        failed();
        return;
    }
    done(write(fd, word[1], strlen(word[1])));
    close(fd);
}

void do_read_device(void)
{
    char byte;
    int fd = open(word[0], O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    done(fd < 0 ? -1 : read(fd, &byte, 1));
    if (fd >= 0)
        close(fd);
}

void do_mkdir(void)
{
    done(mkdir(word[0], 0777));
}

void do_remove(void)
{
    done(remove(word[0]));
}

void do_mknod(void)
{
    done(mknod(word[0], S_IFCHR | 0600, makedev((unsigned)number(1), (unsigned)number(2))));
}

void do_chmod(void)
{
    done(chmod(word[0], (mode_t)number(1)));
}

void do_chown(void)
{
    done(chown(word[0], (uid_t)number(1), (gid_t)number(2)));
}

void do_mount_tmpfs(void)
{
    done(mount("tmpfs", word[0], "tmpfs", 0, NULL));
}
