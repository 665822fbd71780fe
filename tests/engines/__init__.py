# SPDX-License-Identifier: Apache-2.0
"""Engines with pyrun for their runtime, on hosts of their own."""
