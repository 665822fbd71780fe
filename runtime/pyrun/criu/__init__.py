# SPDX-License-Identifier: Apache-2.0
"""Checkpoints by CRIU: what is asked of it, and what pyrun does around it. docs/checkpoint.md."""
