/* SPDX-License-Identifier: Apache-2.0 */
/* Takes plans, and gives the reader each of them with one thing wrong: a byte, a number of the
 * header, an operand, the length. Prints how many were refused and accepted. */
#include "walk_plan.h"

static const uint64_t numbers[] = {
    0,
    1,
    7,
    8,
    9,
    15,
    16,
    63,
    64,
    1023,
    1024,
    1025,
    4096,
    0x7fffffff,
    0x80000000,
    0xffffffff,
    1ULL << 32,
    1ULL << 61,
    (1ULL << 61) - 1,
    1ULL << 63,
    ~0ULL - 7,
    ~0ULL - 8,
    ~0ULL,
};
static const uint8_t masks[] = {0x01, 0x08, 0x80, 0xff};

static unsigned long refused, accepted;

static void try(const uint8_t *data, size_t size)
{
    if (walk_input(data, size))
        accepted++;
    else
        refused++;
}

static void each_byte(uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size; at++)
        for (size_t m = 0; m < sizeof masks; m++) {
            data[at] ^= masks[m];
            try(data, size);
            data[at] ^= masks[m];
        }
}

/* Every aligned word of `width` bytes, at whatever it may stand for: a count, an offset, a code. */
static void each_word(uint8_t *data, size_t size, size_t width, size_t blob_size)
{
    for (size_t at = 0; at + width <= size; at += width) {
        uint64_t before = 0;
        memcpy(&before, data + at, width);
        for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++) {
            memcpy(data + at, &numbers[n], width);
            try(data, size);
            uint64_t near = blob_size - numbers[n]; /* around the end of the blob */
            memcpy(data + at, &near, width);
            try(data, size);
        }
        memcpy(data + at, &before, width);
    }
}

int main(int argc, char **argv)
{
    static uint8_t data[1 << 16];
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        HOLDS(file);
        size_t size = fread(data, 1, sizeof data, file);
        fclose(file);
        HOLDS(size < sizeof data && walk_input(data, size));
        struct plan_header *header = (struct plan_header *)(void *)data;
        size_t blob_size = header->blob_size;
        HOLDS(!plan_check(data, (size_t)PLAN_MAX_SIZE + 1)); /* without a look at what it has not */
        header->blob_size = 0;
        try(data, size - blob_size);
        header->blob_size = blob_size;
        each_byte(data, size);
        each_word(data, size, sizeof(uint64_t), blob_size);
        each_word(data, size, sizeof(uint32_t), blob_size);
        accepted = 0; /* a plan may be changed into another; one of another length is none */
        for (size_t length = 0; length < size; length++)
            try(data, length);
        data[size] = 0;
        try(data, size + 1);
        HOLDS(accepted == 0);
    }
    printf("%lu refused\n", refused);
    return 0;
}
