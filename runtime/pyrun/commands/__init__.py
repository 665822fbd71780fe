# SPDX-License-Identifier: Apache-2.0
"""The verbs, one module each: `run(options)` returns the exit code."""
