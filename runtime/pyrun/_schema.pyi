# SPDX-License-Identifier: Apache-2.0
# What runtime/build/schema_module.py makes of spec/config.schema.json.

from pyrun.types import Schema

CONFIG: Schema
DEFINITIONS: dict[str, Schema]
