/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer: whatever stands on the command line, in the file `fast` or in a template, what the
 * launcher takes of it lies within it, and is what its grammar allows. The first byte says which of
 * the three it is. */
// NOLINTBEGIN(bugprone-suspicious-include): what is tried is static there
#include "box.c"
#include "template.c"
#include "words.c"
// NOLINTEND(bugprone-suspicious-include)

#define WORDS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void claim(bool holds)
{
    if (!holds)
        abort();
}

static void try_words(char *text, size_t size)
{
    char *argv[WORDS_MAX + 1] = {"pyrun"};
    struct words words;
    int argc = 1;

    for (char *at = text; at < text + size && argc < WORDS_MAX; at += strlen(at) + 1)
        argv[argc++] = at;
    if (!words_read(argc, argv, &words))
        return;
    claim(words.verb != VERB_NONE && words.id && is_id(words.id));
    claim(!strchr(words.id, '/') && words.id[0] != '\0' && strlen(words.id) <= ID_MAX);
    claim(!words.root || words_plain_path(words.root));
    claim(!words.log || words_plain_path(words.log));
    claim(words.signal >= 0 && words.signal <= SIGNAL_MAX);
    claim(words.init >= 0 && (words.init == 0 || words.verb == VERB_DELETE));
    claim(!words.force || words.verb == VERB_DELETE);
    claim(!words.args == (words.verb != VERB_EXEC));
    claim(!words.args || !words.process == !!*words.args);
    claim(!words.process || words.verb == VERB_EXEC);
}

static void try_strings(const char *text, size_t size)
{
    const char *at = text;

    if (size < 1)
        return;
    box.header.cgroups = (unsigned char)text[0];
    if (!find_strings(text + 1, text + size))
        return;
    at = text + 1;
    claim(box.before == at);
    for (uint32_t i = 0; i < 4 + box.header.cgroups; i++)
        at += strlen(at) + 1;
    claim(at == text + size);
}

/* Whatever is so on a host. */
bool truth(const struct template *from)
{
    return from->header.size > 0;
}

/* A template is believed to be as long as it says, and of this build: that is the CRC's affair. The
 * config is what is behind the first quarter of it. */
static void try_template(char *text, size_t size)
{
    static struct template found;
    static char out[1 << 16];
    struct template_header header;
    const char *at;
    size_t length;

    if (size < sizeof header)
        return;
    memcpy(&header, text, sizeof header);
    memcpy(header.magic, TEMPLATE_MAGIC, sizeof header.magic);
    header.version = TEMPLATE_VERSION;
    header.build = OPS_CHECKSUM;
    header.size = (uint32_t)size;
    memcpy(text, &header, sizeof header);
    found = (struct template){0};
    if (!read_template(&found, text, size))
        return;
    (void)matches(&found, text + size / 4, size - size / 4);
    for (int value = 0; value < VALUE_HOLES; value++) {
        found.value[value] = "a value";
        found.length[value] = strlen(found.value[value]);
    }
    for (int i = 0; i < TEXT_COUNT; i++) {
        char *stop = template_fill(&found, found.texts[i], out, out + sizeof out);

        claim(!stop || (stop < out + sizeof out && *stop == '\0'));
    }
    at = found.directories;
    for (uint32_t i = 0; i < found.header.directories; i++)
        (void)template_fill(&found, template_next(&at), out, out + sizeof out);
    claim(at == found.writes);
    length = template_plan(&found, out, out + sizeof out);
    claim(length <= sizeof out && (!length || length >= found.header.plan));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    /* A block of its own: what reads beyond its end is found out. */
    char *text = malloc(size);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    if (data[0] & 1)
        try_words(text, size);
    else if (data[0] & 2)
        try_template(text, size - 1);
    else if (size > 1)
        try_strings(text, size - 1);
    free(text);
    return 0;
}
