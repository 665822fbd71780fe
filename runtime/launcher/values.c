// SPDX-License-Identifier: Apache-2.0
// What is this container's own, and not of its shape.

#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "creation.h"

void value(enum template_value name, const char *text)
{
    us.template.value[name] = text;
    us.template.length[name] = strlen(text);
}

static char *padded(char *out, uint32_t number, uint32_t unit)
{
    for (; unit; unit /= 10)
        *out++ = (char)('0' + number / unit % 10);
    return out;
}

// As creation.timestamp.
static bool tell_time(char *out)
{
    struct timespec now;
    struct tm parts;

    if (clock_gettime(CLOCK_REALTIME, &now) < 0 || !gmtime_r(&now.tv_sec, &parts))
        return false;
    out = padded(out, (uint32_t)parts.tm_year + 1900, 1000);
    *out++ = '-';
    out = padded(out, (uint32_t)parts.tm_mon + 1, 10);
    *out++ = '-';
    out = padded(out, (uint32_t)parts.tm_mday, 10);
    *out++ = 'T';
    out = padded(out, (uint32_t)parts.tm_hour, 10);
    *out++ = ':';
    out = padded(out, (uint32_t)parts.tm_min, 10);
    *out++ = ':';
    out = padded(out, (uint32_t)parts.tm_sec, 10);
    *out++ = '.';
    stpcpy(padded(out, (uint32_t)now.tv_nsec, 100000000), "Z");
    return true;
}

// As host.standard_streams.
static bool tell_streams(char *out)
{
    struct stat found;

    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fstat(fd, &found) < 0)
            return false;
        out = stpcpy(out, fd == STDIN_FILENO ? "[[" : ",[");
        *(out = box_decimal(out, found.st_dev)) = ',';
        out = stpcpy(box_decimal(out + 1, found.st_ino), "]");
    }
    stpcpy(out, "]");
    return true;
}

bool value_is_plain(const char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~' || *text == '"' || *text == '\\')
            return false;
    return true;
}

static bool find_bundle(void)
{
    const char *asked = us.words->bundle;

    if (!asked || strcmp(asked, ".") == 0) {
        if (!getcwd(us.bundle, sizeof us.bundle))
            return false;
    } else {
        if (strlen(asked) >= sizeof us.bundle)
            return false;
        stpcpy(us.bundle, asked);
    }
    value(VALUE_BUNDLE, us.bundle);
    return template_is_path(us.bundle, strlen(us.bundle)) && value_is_plain(us.bundle);
}

bool values_find(void)
{
    if (!find_bundle() || !tell_streams(us.stdio) || !tell_time(us.created))
        return false;
    box_decimal(us.umask_text, us.umask);
    value(VALUE_ID, us.words->id);
    value(VALUE_CREATED, us.created);
    value(VALUE_UMASK, us.umask_text);
    value(VALUE_STDIO, us.stdio);
    return true;
}
