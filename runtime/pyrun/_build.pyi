# SPDX-License-Identifier: Apache-2.0
# What runtime/build/ops_header.py makes of ops.py.

CHECKSUM: int
CODES: dict[str, int]
