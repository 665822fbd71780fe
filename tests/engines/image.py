# SPDX-License-Identifier: Apache-2.0
"""An image made here, of a static busybox and a few files: no registry has to be asked. One archive
has the forms of an OCI layout and of `docker save`, so every engine takes it."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NAME = "localhost/box:latest"
USER = "1000:1000"  # of its user `box`
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nbox:x:1000:1000:box:/srv/box:/bin/sh\n",
    "etc/group": "root:x:0:\nbox:x:1000:\nextra:x:2000:box\n",
    "etc/os-release": "NAME=box\n",
    "srv/box/note": "a note\n",
}
FOLDERS = ("bin", "data", "dev", "etc", "proc", "root", "run", "srv", "srv/box", "sys", "tmp")
CONFIG = {
    "Env": ["PATH=/bin", "MADE_BY=image"],
    "WorkingDir": "/",
}


def busybox() -> str:
    """The static program that is the image."""
    found = shutil.which("busybox", path="/usr/local/bin:/usr/bin:/bin")
    assert found, "no busybox"
    return found


def layer() -> bytes:
    """The root file system as a tar."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for folder in FOLDERS:
            _add(archive, folder, kind=tarfile.DIRTYPE, mode=0o1777 if folder == "tmp" else 0o755)
        _add(archive, "bin/busybox", Path(busybox()).read_bytes(), mode=0o755)
        listed = subprocess.run([busybox(), "--list"], check=True, capture_output=True, text=True)
        for applet in sorted(set(listed.stdout.split()) - {"busybox"}):
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
        for path, text in FILES.items():
            _add(archive, path, text.encode())
    return stream.getvalue()


def _add(
    archive: tarfile.TarFile,
    path: str,
    content: bytes = b"",
    *,
    kind: bytes = tarfile.REGTYPE,
    mode: int = 0o644,
) -> None:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode, entry.size = kind, mode, len(content)
    if path.startswith("srv/box"):
        entry.uid = entry.gid = 1000
    archive.addfile(entry, io.BytesIO(content))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _encode(value: Any) -> bytes:
    return json.dumps(value).encode()


def write(path: Path, name: str = NAME, command: Sequence[str] = ("sh",)) -> Path:
    """The image as an archive at this path; `command` is run where none is said."""
    root = layer()
    config = _encode(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {**CONFIG, "Cmd": list(command)},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_digest(root)}"]},
        }
    )
    oci = "application/vnd.oci.image"

    def blob(kind: str, content: bytes) -> dict[str, Any]:
        media = f"{oci}.{kind}"
        return {"mediaType": media, "digest": f"sha256:{_digest(content)}", "size": len(content)}

    manifest = _encode(
        {
            "schemaVersion": 2,
            "mediaType": f"{oci}.manifest.v1+json",
            "config": blob("config.v1+json", config),
            "layers": [blob("layer.v1.tar", root)],
        }
    )
    names = {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name}
    entry = {**blob("manifest.v1+json", manifest), "annotations": names}
    paths = [f"blobs/sha256/{_digest(content)}" for content in (config, root)]
    with tarfile.open(path, "w") as archive:
        for content in (root, config, manifest):
            _add(archive, f"blobs/sha256/{_digest(content)}", content)
        _add(archive, "oci-layout", _encode({"imageLayoutVersion": "1.0.0"}))
        _add(archive, "index.json", _encode({"schemaVersion": 2, "manifests": [entry]}))
        _add(
            archive,
            "manifest.json",
            _encode([{"Config": paths[0], "RepoTags": [name], "Layers": paths[1:]}]),
        )
    return path
