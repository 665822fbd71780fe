# SPDX-License-Identifier: Apache-2.0
"""What a container is, in ten seconds: one probe run on the host and in a container."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

MEMORY = 64 << 20  # bytes
PIDS = 32
UNLIMITED = 1 << 60  # cgroup v1 says "no limit" as a number near 2**63
CAPABILITIES = {5: "kill", 10: "net_bind_service", 29: "audit_write"}  # the default config's

# Run by the same busybox on both sides. One line an answer, "topic=value".
PROBE = r"""
export PATH=/bin
word() { sed -n "s/^$1:[[:space:]]*//p" /proc/self/status; }
echo "hostname=$(hostname)"
echo "own pid=$$"
echo "processes=$(ls /proc | grep -c '^[0-9]')"
echo "interfaces=$(ls /sys/class/net | tr '\n' ' ')"
echo "mounts=$(wc -l </proc/self/mounts)"
echo "root files=$(ls / | wc -l)"
own() { sed -n "s/^[0-9]*:\(.*,\)*$1\(,.*\)*:\(.*\)/\3/p" /proc/self/cgroup; }
limit() {
    v2=/sys/fs/cgroup v1=/sys/fs/cgroup/$2
    for file in "$v2$(own '')/$1" "$v1$(own "$2")/$3" "$v1/$3"; do
        [ ! -f "$file" ] || { cat "$file"; return; }
    done
    echo max
}
echo "memory=$(limit memory.max memory memory.limit_in_bytes)"
echo "pids=$(limit pids.max pids pids.max)"
echo "capabilities=$(word CapEff)"
echo "seccomp=$(word Seccomp)"
probe=/tmp/pyrun-demo.$$
touch $probe && chmod 777 $probe 2>/dev/null && echo "chmod=done" || echo "chmod=refused"
rm -f $probe
"""

LABELS = {
    "hostname": "hostname",
    "own pid": "pid of its shell",
    "processes": "processes it sees",
    "interfaces": "network interfaces",
    "mounts": "mounts",
    "root files": "entries of /",
    "memory": "memory limit",
    "pids": "process limit",
    "capabilities": "capabilities",
    "seccomp": "seccomp",
    "chmod": "the call chmod",
}


def make_rootfs(rootfs: Path) -> None:
    """A root folder of one static binary and a link for each command it knows."""
    found = shutil.which("busybox", path="/bin:/usr/bin:" + os.environ.get("PATH", ""))
    if found is None:
        sys.exit("demo: no busybox on this machine: run scripts/setup")
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp"):
        (rootfs / name).mkdir(parents=True)
    shutil.copy(found, rootfs / "bin/busybox")
    applets = subprocess.run([found, "--list"], check=True, capture_output=True, text=True).stdout
    for applet in applets.split():
        if applet != "busybox":
            (rootfs / "bin" / applet).symlink_to("busybox")


def edit(config: dict[str, Any]) -> None:
    """Makes the demo's container of the default one: a name, limits, and one forbidden call."""
    config["hostname"] = "box"
    config["root"]["readonly"] = True
    config["process"].update(terminal=False, args=["/bin/sh", "-c", PROBE])
    config["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"})
    linux = config["linux"]
    kinds = {namespace["type"] for namespace in linux["namespaces"]}
    for kind in ("pid", "network", "ipc", "mount", "uts", "cgroup"):
        if kind not in kinds:
            linux["namespaces"].append({"type": kind})
    linux["cgroupsPath"] = f"/pyrun-demo-{os.getpid()}"
    resources = linux.setdefault("resources", {})
    resources["memory"] = {"limit": MEMORY}
    resources["pids"] = {"limit": PIDS}
    linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}],
    }


def run_container(runtime: str, folder: Path) -> str:
    """What the probe says in a new container. The container is gone afterwards, come what may."""
    bundle = folder / "bundle"
    make_rootfs(bundle / "rootfs")
    subprocess.run([runtime, "spec", "--bundle", bundle], check=True)
    path = bundle / "config.json"
    config = json.loads(path.read_text())
    edit(config)
    path.write_text(json.dumps(config, indent=2))
    name = f"demo-{os.getpid()}"
    command = [runtime, "--root", str(folder / "state")]
    try:
        done = subprocess.run(
            [*command, "run", "--bundle", bundle, name],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
    finally:
        subprocess.run(
            [*command, "delete", "--force", name],
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    return done.stdout


def run_host(folder: Path) -> str:
    """What the probe says here, with the container's busybox."""
    busybox = folder / "bundle/rootfs/bin/busybox"
    probe = PROBE.replace("PATH=/bin", f"PATH={busybox.parent}")
    return subprocess.run(
        [busybox, "sh", "-c", probe], check=True, capture_output=True, text=True
    ).stdout


def in_words(topic: str, value: str) -> str:
    """An answer of the probe as a person reads it."""
    if topic in ("memory", "pids"):
        if not value.isdigit() or int(value) > UNLIMITED:
            return "none" if value != "?" else value
        return f"{int(value) >> 20} MiB" if topic == "memory" else value
    if topic == "capabilities":
        mask = int(value, 16)
        named = [word for bit, word in CAPABILITIES.items() if mask >> bit & 1]
        known = len(named) == mask.bit_count()
        return " ".join(named) if known and named else str(mask.bit_count())
    if topic == "seccomp":
        return {"0": "no filter", "2": "filtered"}.get(value, value)
    if topic == "interfaces":
        names = value.split()
        return " ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return value


def answers(text: str) -> dict[str, str]:
    """The probe's lines, by topic."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def table(host: dict[str, str], container: dict[str, str]) -> str:
    """Both sides' answers as aligned columns."""
    rows = [["", "the container sees", "the host sees"]]
    for topic, label in LABELS.items():
        sides = [in_words(topic, side.get(topic, "?").strip()) for side in (container, host)]
        rows.append([label, *sides])
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def main() -> None:
    """Runs the container and prints the table. The runtime's path is the only argument."""
    runtime = sys.argv[1]
    with tempfile.TemporaryDirectory(prefix="pyrun-demo-") as name:
        folder = Path(name)
        try:
            container = answers(run_container(runtime, folder))
        except subprocess.CalledProcessError as error:
            sys.exit(f"demo: {' '.join(map(str, error.cmd))}: exit code {error.returncode}")
        host = answers(run_host(folder))
    print(table(host, container))
    if container.keys() != LABELS.keys() or container["hostname"] != "box":
        sys.exit("demo: the container did not answer every question")


if __name__ == "__main__":
    main()
