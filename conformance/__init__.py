# SPDX-License-Identifier: Apache-2.0
"""The conformance kit: the statements of the OCI runtime specification 1.3.0, and a check of each
that can be observed, for any runtime with the usual command line."""
