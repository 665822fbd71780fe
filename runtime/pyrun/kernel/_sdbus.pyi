# SPDX-License-Identifier: Apache-2.0
# What cffi makes of build_sdbus.py; the C compiler has checked the types.
from typing import Any

ffi: Any
lib: Any
