# SPDX-License-Identifier: Apache-2.0
"""The shape of a config: what may differ from container to container, and marks in its place. The
same of a process that `exec` brings in."""

from __future__ import annotations

from _json import scanstring
from _struct import pack

from pyrun.compile import donations, mount_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from pyrun.types import Config

MOST_HOLES = 256
LONGEST = 4096  # characters of an ordinary hole
HOST_NAME = 64  # of utsname: uname(2)
TEXT, PATH, PLACE, SOURCE = 1, 2, 3, 4
ID, BUNDLE, CREATED, UMASK, STDIO, PID, STARTED, HOLES = range(8)
VALUE = 0x8000_0000

# What the compiler looks at in the beginning of a path.
SPECIAL = ("/proc", "/sys", "/dev")
# Variables of the container that the compiler looks into.
INSPECTED = ("PATH", "HOME", "LISTEN_PID", "LISTEN_FDS")
NO_STRINGS = (UMASK, STDIO, PID, STARTED)  # in JSON: the quotes belong to the mark


class UnfitError(Exception):
    """Why there is no template."""


def mark(value: int, path: bool = False) -> str:
    """What stands for a value while the config is compiled: only letters and digits."""
    return f"/QzPath{value:03}Zq" if path else f"QzText{value:03}Zq"


def is_path(text: str, hidden: bool = False) -> bool:
    """Absolute, and in its normal form; no name in it begins with a dot, but for `hidden` ones."""
    names = text.split("/")
    if names[0] or len(text) >= LONGEST:
        return False
    return all(
        name and (name[0] != "." or (hidden and name not in (".", ".."))) for name in names[1:]
    )


def is_plain(text: str) -> bool:
    """Whether it stands in JSON as it is."""
    return text.isascii() and text.isprintable() and '"' not in text and "\\" not in text


def strings(text: str) -> dict[tuple[str | int, ...], tuple[int, int]]:
    """Where each string of a JSON text is, without its quotes: {path: (begin, end)}; `text` is
    well-formed."""
    found: dict[tuple[str | int, ...], tuple[int, int]] = {}

    def skip(at: int) -> int:
        while text[at] in " \t\r\n":
            at += 1
        return at

    def members(at: int, path: tuple[str | int, ...], stop: str) -> int:
        at, index = skip(at + 1), 0
        while text[at] != stop:
            key: str | int = index
            if stop == "}":
                key, at = scanstring(text, at + 1)
                at = skip(at) + 1
            at = skip(value(at, (*path, key)))
            index += 1
            if text[at] == ",":
                at = skip(at + 1)
        return at + 1

    def value(at: int, path: tuple[str | int, ...]) -> int:
        at = skip(at)
        if text[at] == '"':
            end: int = scanstring(text, at + 1)[1]
            found[path] = at + 1, end - 1
            return end
        if text[at] in "{[":
            return members(at, path, "}" if text[at] == "{" else "]")
        while at < len(text) and text[at] not in ",]} \t\r\n":
            at += 1
        return at

    value(0, ())
    return found


def holes(config: Config) -> list[tuple[tuple[str | int, ...], int, int, int]]:
    """The strings that the compiler places and does not look into: (path, characters before the
    hole, its kind, the most that it may take)."""
    found: list[tuple[tuple[str | int, ...], int, int, int]] = [
        ((name,), 0, TEXT, HOST_NAME) for name in ("hostname", "domainname")
    ]
    found += process_holes(config["process"], ("process",))
    found += [(("annotations", key), 0, TEXT, LONGEST) for key in config.get("annotations") or {}]
    found += [(path, 0, PLACE, LONGEST) for path in (("linux", "cgroupsPath"), ("root", "path"))]
    found += [
        (("linux", "namespaces", i, "path"), 0, PATH, LONGEST)
        for i in range(len(donations.namespaces(config)))
    ]
    found += [
        (("mounts", i, "source"), 0, SOURCE, LONGEST)
        for i, mount in enumerate(config.get("mounts") or [])
        if mount_options.is_bind(mount)
    ]
    return found


def process_holes(
    process: Config, place: tuple[str, ...] = ()
) -> list[tuple[tuple[str | int, ...], int, int, int]]:
    """The same of a process, which is at `place`."""
    found: list[tuple[tuple[str | int, ...], int, int, int]] = [
        ((*place, "args", i), 0, TEXT, LONGEST) for i in range(1, len(process.get("args") or ()))
    ]
    names = [entry.partition("=")[0] for entry in process.get("env") or []]
    found += [
        ((*place, "env", i), len(name) + 1, TEXT, LONGEST)
        for i, name in enumerate(names)
        if name not in INSPECTED and names.count(name) == 1
    ]
    return found


def fits(text: str, kind: int, most: int) -> bool:
    """As template.c sees it."""
    if not text or len(text) > most or not is_plain(text):
        return False
    special = any(text == name or text.startswith(f"{name}/") for name in SPECIAL)
    return kind == TEXT or (is_path(text, kind == SOURCE) and (kind == PATH or not special))


class Shape:
    """A text with marks for what may differ."""

    def __init__(self, text: str, places: Iterable[tuple[int, int, int, int]]) -> None:
        """`places` of holes: (begin, end, kind, the most that it may take) each."""
        self.kinds: list[tuple[int, int]] = []
        self.values: dict[str, str] = {}  # mark: what this container has there
        cuts = []
        for begin, end, kind, most in places:
            if fits(text[begin:end], kind, most) and len(self.kinds) < MOST_HOLES:
                cuts.append((begin, end, self._hole(kind, most, text[begin:end])))
        self.text = ""
        at = 0
        for begin, end, name in sorted(cuts):
            self.text += text[at:begin] + name
            at = end
        self.text += text[at:]

    def _hole(self, kind: int, most: int, value: str) -> str:
        name = mark(HOLES + len(self.kinds), path=kind != TEXT)
        self.kinds.append((kind, most))
        self.values[name] = value
        return name

    def fill(self, made: Any) -> Any:
        """What was made of marks, with the values of this container."""
        if isinstance(made, str):
            for name, value in self.values.items():
                if name in made:
                    made = made.replace(name, value)
            return made
        if isinstance(made, dict):
            return {self.fill(key): self.fill(value) for key, value in made.items()}
        if isinstance(made, list | tuple):
            return type(made)(self.fill(item) for item in made)
        return made


def places(
    text: str, wanted: Iterable[tuple[tuple[str | int, ...], int, int, int]], offset: int = 0
) -> list[tuple[int, int, int, int]]:
    """Where these holes are in a JSON text, for Shape; `offset` is what comes before it."""
    spans = strings(text)
    found = [(*spans[hole[0]], *hole[1:]) for hole in wanted if hole[0] in spans]
    return [
        (offset + begin + before, offset + end, kind, most)
        for begin, end, before, kind, most in found
    ]


def text_of(data: bytes) -> bytes:
    """A text of the file: literals, and values where there are marks."""
    pieces = []
    at = 0
    for begin, end, value in _marks(data):
        if begin > at:
            pieces.append(pack("=I", begin - at) + data[at:begin])
        pieces.append(pack("=I", VALUE | value))
        at = end
    if data[at:]:
        pieces.append(pack("=I", len(data) - at) + data[at:])
    return pack("=I", len(pieces)) + b"".join(pieces)


def _marks(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(begin, end, value) of each."""
    at = data.find(b"Qz")
    while at >= 0:
        kind, number, end = data[at : at + 6], data[at + 6 : at + 9], at + 11
        if number.isdigit() and data[at + 9 : end] == b"Zq":
            value = int(number)
            if kind == b"QzText":
                quoted = value in NO_STRINGS and data[at - 1 : at] == b'"' == data[end : end + 1]
                yield at - quoted, end + quoted, value
            elif kind == b"QzPath" and data[at - 1 : at] == b"/":
                yield at - 1, end, value
        at = data.find(b"Qz", at + 2)


def is_marked(text: str) -> bool:
    """Whether there is a hole in it."""
    return "QzText" in text or "/QzPath" in text
