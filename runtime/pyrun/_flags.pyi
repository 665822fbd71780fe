# SPDX-License-Identifier: Apache-2.0
# What runtime/build/flags_module.py makes of the click commands.

from typing import TypeAlias

Kind: TypeAlias = str | dict[str, str]
Flags: TypeAlias = dict[str, tuple[str, Kind]]

BOOLS: dict[str, bool]
DEFAULTS: dict[str, object]
GLOBALS: Flags
VERBS: dict[str, tuple[Flags, dict[str, object], tuple[str, ...], int, bool, bool]]
