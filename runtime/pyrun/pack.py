# SPDX-License-Identifier: Apache-2.0
"""Imports pyrun's modules from the one file that the build packed their bytecode into, and sets up
no more of the interpreter than they need.

A module that the import system finds by itself costs ten system calls, and there are seventy on the
way to a container. The launcher (runtime/launcher) runs this file's code first, from the pack
(runtime/build/pack.py draws it); nothing else knows of it, and without a pack the same modules are
found in their folders.

Under the launcher's own interpreter (runtime/launcher/interpreter.c) this begins when half of
Python is there: no codecs but UTF-8, no standard streams, no signals, no imports from folders.
Whatever is asked for beyond brings the other half first, but for one thing that can't: from Python
3.13 on, another codec, and a text that is no UTF-8 where it has to be ("strict" is a handler that
is looked up: PyCodec_LookupError), end in a segmentation fault. Such texts come by the command line
(boot()), by JSON (jsonscan.py), and from images and files into messages (log.py, evidence.py).
"""

from __future__ import annotations

import _imp
import builtins
import gc
import sys
from marshal import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, ModuleType
    from typing import Any

# importlib's own half, which every interpreter holds: `import importlib` would load more.
_bootstrap: Any = sys.modules["_frozen_importlib"]

# Built-in modules that work before the other half is there. One that does not may end the process.
EARLY = (
    "_abc", "_blake2", "_codecs", "_imp", "_io", "_json", "_posixsubprocess", "_socket", "_stat",
    "_struct", "_thread", "_warnings", "_weakref", "binascii", "builtins", "errno", "fcntl", "gc",
    "itertools", "marshal", "posix", "select", "sys", "termios", "time",
)  # fmt: skip
_whole = True
_later: list[Callable[[], None]] = []


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
            if name in sys.builtin_module_names and name not in EARLY:
                return _completed(name)
            return None
        path = found[0] if found[0][0] == "/" else f"{self.folder}/{found[0]}"
        spec = _bootstrap.ModuleSpec(name, self, origin=path)
        if found[0].endswith("/__init__.py"):
            spec.submodule_search_locations = [path[: -len("/__init__.py")]]
        return spec

    def create_module(self, spec: Any) -> ModuleType | None:
        """An ordinary module, or an extension's own."""
        if self.table[spec.name][1] >= 0:
            return None
        module: ModuleType = _imp.create_dynamic(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Runs its code."""
        assert module.__spec__ is not None
        module.__file__ = module.__spec__.origin
        place = self.table[module.__name__][1]
        if place < 0:
            _imp.exec_dynamic(module)
            return
        code: CodeType = loads(self.codes[place:])  # noqa: S302 - our own
        exec(code, module.__dict__)  # noqa: S102 - what an import is

    def load(self, verb: str) -> None:
        """All that a verb imports for certain: to look for each module by itself takes as long as
        to load it."""
        found = self.table.get(verb)
        if found is None:
            return
        modules = sys.modules
        for name, code in loads(self.codes[found[1] :]):  # noqa: S302 - our own
            if name in modules:
                continue
            if code is None:
                __import__(name)
                continue
            file = self.table[name][0]
            module: Any = type(sys)(name)
            module.__file__ = path = file if file[0] == "/" else f"{self.folder}/{file}"
            if path.endswith("/__init__.py"):
                module.__path__ = [path[: -len("/__init__.py")]]
            modules[name] = module
            exec(code, module.__dict__)  # noqa: S102 - what an import is
            parent, _, own = name.rpartition(".")
            if parent:
                setattr(modules[parent], own, module)


class Rest:
    """Stands behind all others: what nobody has found may be in a folder."""

    def find_spec(self, name: str, _path: object, _target: object = None) -> Any:
        """Finds little; with the other half comes who finds more, behind this one."""
        return _completed(name)


class Present:
    """Loads what is there: a module made twice forgets what was done with the first (_signal)."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def create_module(self, _spec: object) -> ModuleType:
        """The one that is there."""
        return self.module

    def exec_module(self, _module: ModuleType) -> None:
        """It is done."""


def _completed(name: str) -> Any:
    """complete(), which may have imported the very module that is looked for: its spec then."""
    complete()
    module = sys.modules.pop(name, None)  # as long as it is there, its own spec is taken
    return None if module is None else _bootstrap.ModuleSpec(name, Present(module))


def complete() -> None:
    """Have the other half of the interpreter set up, if it is not."""
    global _whole
    if _whole:
        return
    _whole = True  # first: it imports
    __import__("_interpreter").complete()
    gc.enable()
    for act in _later:
        act()


def is_whole() -> bool:
    """Whether all of Python is there."""
    return _whole


def later(act: Callable[[], None]) -> None:
    """Have this done when the other half has been set up."""
    _later.append(act)


def _open(*words: Any, **rest: Any) -> Any:
    """The built-in function is of the other half."""
    complete()
    return open(*words, **rest)


def boot(folder: str, pack: memoryview) -> None:
    """Runs pyrun: sys.argv is its command line, `folder` the one that holds the package. Never
    returns."""
    size = int.from_bytes(pack[:4], "little")
    rest = pack[4 + size :]
    size = int.from_bytes(rest[:4], "little")
    finder = Finder(folder, loads(rest[4:]), rest[4 + size :])  # noqa: S302 - our own
    sys.meta_path.insert(0, finder)
    global _whole
    if not hasattr(builtins, "open"):
        _whole = False
        builtins.open = _open
        sys.meta_path.append(Rest())
        gc.disable()  # what comes without the other half is over before there is garbage
    try:
        if not all(map(str.isascii, sys.argv)):
            complete()
        from pyrun import __main__
    except Exception as error:  # noqa: BLE001 - a file that can't be read: one line, always
        import posix

        text = str(error).replace("\n", "\\n")
        posix.write(2, f"pyrun: the package can't be loaded: {text}\n".encode())
        posix._exit(1)
    __main__.load = finder.load
    __main__.finish(sys.argv)
