# SPDX-License-Identifier: Apache-2.0
"""pyrun: an OCI container runtime. A container is compiled to a plan, and the plan is executed."""

__version__ = "0.1.0"
