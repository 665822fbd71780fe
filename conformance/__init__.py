# SPDX-License-Identifier: Apache-2.0
"""Checks of any OCI runtime by its command line, from outside and from inside its containers."""
