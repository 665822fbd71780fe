# SPDX-License-Identifier: Apache-2.0
"""Names for shapes, for the type checker alone: imported only under TYPE_CHECKING."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

# A decoded config.json, or a part of it. Checked by pyrun.schema_check before anyone looks inside.
Config: TypeAlias = dict[str, Any]
# Command-line options of one verb, global flags included, by long name with "_" for "-".
Options: TypeAlias = dict[str, Any]
# What the host and the caller are like, gathered once (pyrun.host).
Facts: TypeAlias = dict[str, Any]
# One operation: its name, its operands, and one errno to ignore (0 = none).
Operand: TypeAlias = int | str | bytes | list[str] | None
Op: TypeAlias = tuple[str, tuple[Operand, ...], int]
# What a rule of the compiler yields: the JSON pointer that asked for the operation, and it.
Step: TypeAlias = tuple[str, Op]
Steps: TypeAlias = Iterator[Step]
# (JSON pointer, what is wrong there)
Problem: TypeAlias = tuple[str, str]
# One node of a JSON Schema whose $refs are resolved (pyrun._schema).
Schema: TypeAlias = dict[str, Any]
