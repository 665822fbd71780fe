# SPDX-License-Identifier: Apache-2.0
"""Imports pyrun's modules from the one file that the build packed their bytecode into.

A module that the import system finds by itself costs ten system calls, and there are sixty on the
way to a container. The launcher reads the pack (runtime/build/pack.py draws it) and runs this
module first; nothing else knows of it, and without a pack the same modules are found in their
folders.
"""

from __future__ import annotations

import sys
from marshal import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType
    from typing import Any

# importlib's own halves, which every interpreter holds: `import importlib` would load more.
_bootstrap: Any = sys.modules["_frozen_importlib"]
_external: Any = sys.modules["_frozen_importlib_external"]


class Finder:
    """Finds what is in the pack, before any folder is looked at."""

    def __init__(self, folder: str, table: dict[str, tuple[str, int]], codes: memoryview) -> None:
        self.folder = folder
        self.table = table  # name: (file below `folder`, where its code begins; -1: an extension)
        self.codes = codes

    def find_spec(self, name: str, _path: object, _target: object = None) -> Any:
        """As importlib.abc.MetaPathFinder has it."""
        found = self.table.get(name)
        if found is None:
            return None
        path = f"{self.folder}/{found[0]}"
        if found[1] < 0:
            loader = _external.ExtensionFileLoader(name, path)
            return _external.spec_from_file_location(name, path, loader=loader)
        spec = _bootstrap.ModuleSpec(name, self, origin=path)
        if found[0].endswith("/__init__.py"):
            spec.submodule_search_locations = [path[: -len("/__init__.py")]]
        spec.has_location = True
        return spec

    def create_module(self, _spec: object) -> None:
        """An ordinary module."""

    def exec_module(self, module: ModuleType) -> None:
        """Runs its code."""
        code: CodeType = loads(self.codes[self.table[module.__name__][1] :])  # noqa: S302 - our own
        exec(code, module.__dict__)  # noqa: S102 - what an import is


def install(folder: str, table: dict[str, tuple[str, int]], codes: memoryview) -> None:
    """From now on what is in the pack comes from it; `folder` is the one that holds the package."""
    sys.meta_path.insert(0, Finder(folder, table, codes))
