# SPDX-License-Identifier: Apache-2.0
"""What Python cannot ask of the kernel or of a C library by itself: one cffi module a library."""
