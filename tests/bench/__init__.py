# SPDX-License-Identifier: Apache-2.0
"""The benchmark: what it compares, and what becomes of it."""
