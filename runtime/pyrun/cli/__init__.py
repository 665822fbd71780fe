# SPDX-License-Identifier: Apache-2.0
"""The command line: click defines it and explains it, a table made from that parses it fast."""
