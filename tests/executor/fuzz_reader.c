/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer's entry to the plan reader: any bytes are refused, or are a plan that can be used. */
#include "walk_plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    walk_input(data, size);
    return 0;
}
