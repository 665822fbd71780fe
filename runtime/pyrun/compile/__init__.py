# SPDX-License-Identifier: Apache-2.0
"""The compiler: config and facts in, operations out. Pure: nothing here touches the world.

A rule is a generator `rule(config, facts)` of (JSON pointer, operation). There is one file for each
noun of the specification, and order.py puts the rules in the order of a container's life.
"""
