# SPDX-License-Identifier: Apache-2.0
"""The checks, a module for each subject; pytest collects their functions check_*."""
