# SPDX-License-Identifier: Apache-2.0
"""System calls that Python lacks, and the C libraries we use: one extension each, no policy."""
