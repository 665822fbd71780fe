# SPDX-License-Identifier: Apache-2.0
"""Rules that hold for every file of the tree."""
