# SPDX-License-Identifier: Apache-2.0
"""Pure rules: from a config and facts about the host to the operations of a plan."""
