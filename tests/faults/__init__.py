# SPDX-License-Identifier: Apache-2.0
"""Stopping a command line at its system calls, for whoever sweeps over them."""
