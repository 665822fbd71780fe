/* SPDX-License-Identifier: Apache-2.0 */
/* Reads plans that the compiler has made, and fails at the first that the reader refuses.
 *
 *   accept_plan FILE...          a file: u64 length, plan, and so on */
#include "walk_plan.h"

int main(int argc, char **argv)
{
    long count = 0;
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rbe");
        uint64_t size;
        HOLDS(file);
        while (fread(&size, sizeof size, 1, file) == 1) {
            uint8_t *bytes = malloc(size);
            HOLDS(bytes && fread(bytes, 1, size, file) == size);
            HOLDS(walk_input(bytes, size));
            free(bytes);
            count++;
        }
        fclose(file);
    }
    printf("%ld plans\n", count);
    return 0;
}
