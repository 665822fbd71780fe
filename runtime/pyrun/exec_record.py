# SPDX-License-Identifier: Apache-2.0
"""What `exec` has to know of a container: left by `create`, for the bundle may change or be gone by
then. A process that joins gets the confinement of the container as it was made.

The file is one line of JSON, and behind it the program of the seccomp filter. The JSON has
`process` (but for what it ran), `linux` (what of it is for every process), the annotations that
pyrun acts upon, `facts` (what the compiler was told) and the length of the filter. Containers with
the same file are of the same kind, for templates (exec_template_file.py).
"""

from __future__ import annotations

import os

from pyrun import jsonscan
from pyrun.errors import Error, from_os
from pyrun.state import EXEC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.state import Container
    from pyrun.types import Config, Facts

LINUX = ("uidMappings", "gidMappings", "personality", "memoryPolicy", "intelRdt")
FACTS = ("no_new_keyring", "seccomp_flags")
AGENT = ("listenerPath", "listenerMetadata")


def leave(container: Container, config: Config, facts: Facts) -> None:
    """Write it. Raises Error."""
    container.replace(EXEC, content(config, facts))


def content(config: Config, facts: Facts) -> bytes:
    """The file."""
    from pyrun.prepare import ACTING_ANNOTATIONS  # by whom all this was loaded

    notes = config.get("annotations") or {}
    linux = config.get("linux") or {}
    # Also an empty one: intelRdt says by that that there is a group of the container's own.
    kept = {name: linux[name] for name in LINUX if name in linux}
    profile = linux.get("seccomp") or {}
    if any(profile.get(name) for name in AGENT):
        kept["seccomp"] = {name: profile[name] for name in AGENT if profile.get(name)}
    record = {
        "process": {name: value for name, value in config["process"].items() if name != "args"},
        "linux": kept,
        "annotations": {key: notes[key] for key in notes if key.startswith(ACTING_ANNOTATIONS)},
        "facts": {name: facts[name] for name in FACTS},
        "filter": len(facts["seccomp"]),
    }
    program: bytes = facts["seccomp"]
    return jsonscan.dumps(record).encode() + b"\n" + program


def read(container: Container) -> tuple[Config, bytes]:
    """What the JSON says, and the filter's program. Raises Error."""
    path = f"{container.path}/{EXEC}"
    text, program = raw(container)
    value = jsonscan.loads(text, path)
    if not isinstance(value, dict) or value.get("filter") != len(program):
        raise Error(f"{path}: damaged")
    return value, program


def raw(container: Container) -> tuple[bytes, bytes]:
    """The line of JSON and the filter's program. Raises Error."""
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        fd = os.open(EXEC, flags, dir_fd=container.fd)
        try:
            data = os.read(fd, os.fstat(fd).st_size)  # replaced whole, so it does not grow
        finally:
            os.close(fd)
    except OSError as error:
        raise from_os(error, f"read {container.path}/{EXEC}") from None
    text, _, program = data.partition(b"\n")
    return text, program
