# SPDX-License-Identifier: Apache-2.0
"""The handler wasm: process.args[0] is a WebAssembly module, run by the wasmtime package's library.

The container gets what that takes, each file as a read-only bind mount of its own: a small program
(runtime/handlers/wasm.c), the library, and the C library and loader that they are linked with. No
Python is in there.
"""

from __future__ import annotations

import ctypes
import os
import platform
from importlib.util import find_spec
from pathlib import Path

from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config

PROGRAM = "run-wasm"
LIBRARY = "_libwasmtime.so"
# What LIBRARY and PROGRAM are linked with.
SHARED = ("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "libgcc_s.so.1")
FOLDER = "pyrun-wasm"
OPTIONS = ["bind", "ro", "nosuid", "nodev"]


def handle(config: Config, bundle: str) -> Config:  # noqa: ARG001 - as every handler
    """See pyrun.handlers. Raises Error."""
    place = f"{_parent(config)}/{FOLDER}"
    files = {PROGRAM: str(Path(__file__).with_name(PROGRAM)), LIBRARY: _library(), **_shared()}
    loader = next(name for name in files if name.startswith("ld"))
    process = config["process"]
    args = [f"{place}/{loader}", "--library-path", place, f"{place}/{PROGRAM}", *process["args"]]
    binds = [
        {"destination": f"{place}/{name}", "type": "bind", "source": path, "options": OPTIONS}
        for name, path in files.items()
    ]
    return {
        **config,
        "process": {**process, "args": args},
        "mounts": [*(config.get("mounts") or []), *binds],
    }


def _parent(config: Config) -> str:
    """Where mount points leave nothing in the image: on a tmpfs of the container's."""
    for mount in config.get("mounts") or []:
        place: str = "/" + mount["destination"].strip("/")
        if mount.get("type") == "tmpfs" and place in ("/dev", "/run", "/tmp"):
            return place
    return ""


def _library() -> str:
    spec = find_spec("wasmtime")
    if spec is None or not spec.origin:
        raise Error("the package wasmtime is not installed", hint="pip install 'pyrun[wasm]'")
    machine = platform.machine()
    found = Path(spec.origin).parent / f"linux-{machine}" / LIBRARY
    if not found.is_file():
        raise Error(f"{found}: no such file: the package wasmtime has no library for {machine}")
    return str(found)


def _shared() -> dict[str, str]:
    """Name -> path of the loader and of each of SHARED: where our own process has found them."""
    for name in SHARED:
        try:
            ctypes.CDLL(name)
        except OSError as error:
            raise Error(f"{error}", hint="the package wasmtime needs the GNU C library") from None
    found = {}
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        path = line.split(maxsplit=5)[-1]
        name = os.path.basename(path)
        if path.startswith("/") and (name in SHARED or name.startswith(("ld-linux", "ld64"))):
            found[name] = path
    if len(found) != len(SHARED) + 1:
        lacking = ", ".join(sorted({*SHARED} - set(found))) or "the loader"
        raise Error(f"cannot find {lacking} among what this process has loaded")
    return found
