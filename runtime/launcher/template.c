// SPDX-License-Identifier: Apache-2.0
// Finds the template for a config, and fills it. Nothing is made here, and nothing is decided:
// whatever is not as the template says is Python's.

#include "template.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "box.h"
#include "ops.gen.h"
#include "truth.h"

// ---- Reading it: each length is held against what is there. ----

static bool take(const char **at, const char *end, void *out, size_t size)
{
    if ((size_t)(end - *at) < size)
        return false;
    memcpy(out, *at, size);
    *at += size;
    return true;
}

static bool skip(const char **at, const char *end, size_t count, size_t size)
{
    if ((size_t)(end - *at) / size < count)
        return false;
    *at += count * size;
    return true;
}

static bool skip_texts(const char **at, const char *end, uint32_t count, uint32_t values)
{
    uint32_t pieces, piece;

    for (; count; count--) {
        if (!take(at, end, &pieces, sizeof pieces))
            return false;
        for (; pieces; pieces--) {
            if (!take(at, end, &piece, sizeof piece))
                return false;
            if (piece & TEMPLATE_VALUE ? (piece & ~TEMPLATE_VALUE) >= values
                                       : !skip(at, end, piece, 1))
                return false;
        }
    }
    return true;
}

struct text template_next(const char **at)
{
    struct text found;
    uint32_t piece;

    memcpy(&found.pieces, *at, sizeof found.pieces);
    *at = found.at = *at + sizeof found.pieces;
    for (uint32_t i = 0; i < found.pieces; i++) {
        memcpy(&piece, *at, sizeof piece);
        *at += sizeof piece + (piece & TEMPLATE_VALUE ? 0 : piece);
    }
    return found;
}

static bool read_checks(struct template *out, const char **at, const char *end, uint32_t values)
{
    out->checks = *at;
    for (uint32_t i = 0; i < out->header.checks; i++)
        if (!skip(at, end, 1, sizeof(uint32_t) + 2 * sizeof(uint64_t)) ||
            !skip_texts(at, end, 1, values))
            return false;
    return true;
}

static bool read_patches(struct template *out, const char **at, const char *end)
{
    uint32_t patch[2];

    out->patches = *at;
    for (uint32_t i = 0; i < out->header.patches; i++)
        if (!take(at, end, patch, sizeof patch) || patch[1] >= out->header.strings ||
            out->header.plan < sizeof(uint64_t) || patch[0] > out->header.plan - sizeof(uint64_t))
            return false;
    return true;
}

static bool read_template(struct template *out, const char *data, size_t size)
{
    const struct template_header *header = &out->header;
    const char *at = data, *end = data + size, *text;
    uint32_t values;

    if (!take(&at, end, &out->header, sizeof out->header) ||
        memcmp(header->magic, TEMPLATE_MAGIC, sizeof header->magic) != 0 ||
        header->version != TEMPLATE_VERSION || header->build != OPS_CHECKSUM ||
        header->size != size || header->holes > TEMPLATE_HOLES ||
        header->joined > TEMPLATE_JOINED || header->plan < TEMPLATE_PLAN_HEADER)
        return false;
    values = VALUE_HOLES + header->holes;
    out->holes = at;
    if (!skip(&at, end, header->holes, 2 * sizeof(uint32_t)))
        return false;
    text = at;
    if (!skip_texts(&at, end, TEXT_COUNT, values) || !read_checks(out, &at, end, values))
        return false;
    for (int i = 0; i < TEXT_COUNT; i++)
        out->texts[i] = template_next(&text);
    out->joined = at;
    if (!skip_texts(&at, end, header->joined, values))
        return false;
    out->directories = at;
    if (!skip_texts(&at, end, header->directories, values))
        return false;
    out->writes = at;
    if (header->writes > UINT32_MAX / 2 || !skip_texts(&at, end, 2 * header->writes, values))
        return false;
    out->strings = at;
    if (!skip_texts(&at, end, header->strings, values) || !read_patches(out, &at, end))
        return false;
    out->plan = at;
    return (size_t)(end - at) == header->plan;
}

// ---- Whether it is for this config. ----

// `hidden`: names may begin with a dot.
static bool is_normal(const char *path, size_t size, bool hidden)
{
    if (size < 2 || size >= PATH_MAX || path[0] != '/')
        return false;
    for (const char *at = path, *end = path + size, *next; at < end; at = next) {
        const char *name = at + 1;
        size_t length;

        next = memchr(name, '/', (size_t)(end - name));
        next = next ? next : end;
        length = (size_t)(next - name);
        if (length == 0 ||
            (*name == '.' && (!hidden || length == 1 || (length == 2 && name[1] == '.'))))
            return false;
    }
    return true;
}

bool template_is_path(const char *path, size_t size)
{
    return is_normal(path, size, false);
}

// What the compiler looks at in a path's beginning.
static bool is_special(const char *path, size_t size)
{
    static const char *const NAMES[] = {"/proc", "/sys", "/dev"};

    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        size_t length = strlen(NAMES[i]);

        if (size >= length && memcmp(path, NAMES[i], length) == 0 &&
            (size == length || path[length] == '/'))
            return true;
    }
    return false;
}

static bool fits(const struct template *from, uint32_t number, const char *value, size_t length)
{
    uint32_t hole[2]; // kind, length

    memcpy(hole, from->holes + number * sizeof hole, sizeof hole);
    if (length == 0 || length > hole[1])
        return false;
    if (hole[0] == HOLE_TEXT)
        return true;
    return is_normal(value, length, hole[0] == HOLE_SOURCE) &&
           (hole[0] == HOLE_PATH ||
            ((hole[0] == HOLE_PLACE || hole[0] == HOLE_SOURCE) && !is_special(value, length)));
}

static size_t hole_length(const char *at, const char *end)
{
    const char *stop = at;

    while (stop < end && *stop >= ' ' && *stop <= '~' && *stop != '"' && *stop != '\\')
        stop++;
    return (size_t)(stop - at);
}

static bool matches(struct template *out, const char *config, size_t size)
{
    struct text text = out->texts[TEXT_CONFIG];
    const char *end = config + size;
    uint32_t piece;

    for (uint32_t i = 0; i < text.pieces; i++) {
        memcpy(&piece, text.at, sizeof piece);
        text.at += sizeof piece;
        if (piece & TEMPLATE_VALUE) {
            const uint32_t number = piece & ~TEMPLATE_VALUE;
            const size_t length = hole_length(config, end);

            if (number < VALUE_HOLES || !fits(out, number - VALUE_HOLES, config, length))
                return false;
            out->value[number] = config;
            out->length[number] = length;
            config += length;
        } else {
            if ((size_t)(end - config) < piece || memcmp(config, text.at, piece) != 0)
                return false;
            config += piece;
            text.at += piece;
        }
    }
    return config == end;
}

// The one that was of use the longest ago makes room for the next (pyrun/template_file.py).
static bool note_use(int folder, const char *path)
{
    (void)utimensat(folder, path, NULL, AT_SYMLINK_NOFOLLOW); // it only costs time, if it fails
    return true;
}

bool template_find(struct template *out, const struct template_place *place, const char *config,
                   size_t size)
{
    static char data[TEMPLATE_LIMIT];
    char path[64];
    char *number = stpcpy(path, place->name);

    for (uint32_t i = 0; i < place->most; i++) {
        ssize_t length;

        box_decimal(number, i);
        length = box_read(place->folder, path, data, sizeof data);
        if (length < 0 && errno == ENOENT)
            return false; // they are numbered from 0 on
        if (length > 0 && read_template(out, data, (size_t)length) &&
            (out->header.flags & TEMPLATE_KIND) == place->kind && matches(out, config, size))
            return box_sum(data + TEMPLATE_BEHIND_CRC, (size_t)length - TEMPLATE_BEHIND_CRC) ==
                       out->header.crc &&
                   truth(out) && note_use(place->folder, path);
    }
    return false;
}

// ---- Filling it. ----

char *template_fill(const struct template *from, struct text text, char *out, const char *end)
{
    uint32_t piece;

    for (uint32_t i = 0; i < text.pieces; i++) {
        const char *bytes = text.at + sizeof piece;
        size_t length;

        memcpy(&piece, text.at, sizeof piece);
        length = piece;
        text.at = bytes;
        if (piece & TEMPLATE_VALUE) {
            bytes = from->value[piece & ~TEMPLATE_VALUE];
            length = from->length[piece & ~TEMPLATE_VALUE];
        } else {
            text.at += length;
        }
        if (!bytes || (size_t)(end - out) <= length)
            return NULL;
        memcpy(out, bytes, length);
        out += length;
    }
    if (out == end)
        return NULL;
    *out = '\0';
    return out;
}

size_t template_plan(const struct template *from, char *out, const char *end)
{
    const struct template_header *header = &from->header;
    const char *strings = from->strings, *patch = from->patches;
    uint64_t blob; // where the next string goes: an offset in the blob
    uint64_t place[TEMPLATE_STRINGS];
    uint32_t target[2];
    char *at = out + header->plan;

    if ((size_t)(end - out) < header->plan || header->strings > TEMPLATE_STRINGS)
        return 0;
    memcpy(out, from->plan, header->plan);
    memcpy(&blob, out + TEMPLATE_PLAN_BLOB, sizeof blob);
    for (uint32_t i = 0; i < header->strings; i++) {
        char *stop = template_fill(from, template_next(&strings), at, end);

        if (!stop)
            return 0;
        place[i] = blob;
        blob += (uint64_t)(stop + 1 - at);
        at = stop + 1;
    }
    memcpy(out + TEMPLATE_PLAN_BLOB, &blob, sizeof blob);
    for (uint32_t i = 0; i < header->patches; i++, patch += sizeof target) {
        memcpy(target, patch, sizeof target);
        memcpy(out + target[0], &place[target[1]], sizeof *place);
    }
    return (size_t)(at - out);
}
