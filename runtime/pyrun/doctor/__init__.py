# SPDX-License-Identifier: Apache-2.0
"""What a host offers to containers and what it lacks. Loaded by `pyrun doctor` alone."""
