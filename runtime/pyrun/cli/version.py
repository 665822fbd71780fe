# SPDX-License-Identifier: Apache-2.0
"""What `pyrun --version` prints: lines that Docker, podman and containerd take apart."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from pyrun import __version__

SPEC_VERSION = "1.3.0"


def version_text(argv0: str) -> str:
    """The lines of --version, for a program called as `argv0`.

    Docker takes the last line with the word "version" for the name and the number, so no line but
    the first may have it. containerd's client knows no other program than runc: called by that
    name (a symlink), pyrun answers to it.
    """
    name = "runc" if argv0.rpartition("/")[2] == "runc" else "pyrun"
    lines = [f"{name} version {__version__}"]
    commit = _commit()
    if commit:
        lines.append(f"commit: {commit}")
    lines.append(f"spec: {SPEC_VERSION}")
    lines.append(f"python: {'.'.join(map(str, sys.version_info[:3]))}")
    library = _libseccomp()
    if library:
        lines.append(f"libseccomp: {library}")
    return "\n".join(lines) + "\n"


def _commit() -> str:
    """The commit that was built, as the build has noted it; "" when it has not."""
    return str(getattr(_optional("pyrun._commit"), "COMMIT", ""))


def _libseccomp() -> str:
    """The libseccomp in use, "" when the binding was not built."""
    binding = _optional("pyrun.kernel.libseccomp")
    return str(binding.version()) if binding else ""


def _optional(name: str) -> Any:
    """A module that the build makes, or that rests on such a one; None when it is not there."""
    try:
        return import_module(name)
    except ImportError:
        return None
