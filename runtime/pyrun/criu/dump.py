# SPDX-License-Identifier: Apache-2.0
"""Saving a container: `checkpoint`, and the rounds before it (--pre-dump)."""

from __future__ import annotations

import os
from typing import Any

from pyrun import config as configs
from pyrun import host, init, log, state
from pyrun.cgroup import procs
from pyrun.compile import devices
from pyrun.criu import (
    abilities,
    descriptors,
    externals,
    faults,
    images,
    messages,
    mount_table,
    requests,
    yard,
)
from pyrun.criu.service import Service
from pyrun.errors import Error, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.criu.images import Directory
    from pyrun.state import Container
    from pyrun.types import Config, Options

LOG = "dump.log"
ADDRESS = "ADDRESS:PORT"


def dump(container: Container, opts: Options) -> None:
    """Make images of a container whose lock is held. Raises Error; it runs on then."""
    status = init.status(container)
    if status not in (init.RUNNING, init.PAUSED):
        raise Error(f"Container cannot be checkpointed in {status} state")
    _check(container, opts)
    intent = container.intent
    config = configs.load(intent["bundle"], intent["config"] or configs.NAME)
    config["annotations"] = intent["annotations"]  # which `create` has checked
    requests.check(config)
    requests.check_cgroup(config, intent["cgroup"])
    where, work = images.open_pair(opts, make=True)
    pid = container.state["init_process_pid"]
    request = messages.Request(type=messages.PRE_DUMP if opts["pre_dump"] else messages.DUMP)
    request.opts.CopyFrom(requests.options(opts, config, where, work, LOG))
    _say_how(request.opts, opts)
    request.opts.pid = pid
    request.opts.config_file = requests.config_file(config)
    names = _name_externals(request.opts, container, config, pid)
    found = descriptors.outside(pid, container)
    if found.terminal and requests.has_terminal(config):
        raise Error("a container with its own and another terminal can't be checkpointed")
    if found.terminal and not opts["shell_job"]:
        raise Error(
            "a container with a terminal of the host's can be checkpointed with --shell-job"
        )
    request.opts.external.extend(found.external)
    work.remove(LOG)
    if not opts["pre_dump"]:
        # First, for with --lazy-pages the container is restored before this one has been ended.
        where.write(images.DESCRIPTORS, found.streams)
        where.write(images.OURS, {**names, "notify": bool(intent.get("notify"))})
    with yard.made(container, links=True) as (place, _):
        if place:
            request.opts.cgroup_yard = place
        _converse(container, opts, request, (where, work))


def _check(container: Container, opts: Options) -> None:
    """What is known to fail, in better words. Raises Error."""
    if os.geteuid() != 0:
        raise Error("checkpoint: only root can: criu needs its rights")
    if container.intent.get("layers"):
        raise Error(
            "a container with a root made of layers can't be checkpointed",
            hint="its writable layer would be gone when it is restored",
        )
    if opts["parent_path"].startswith("/"):
        raise Error("--parent-path: must be relative to --image-path")
    if opts["pre_dump"] and opts["lazy_pages"]:
        raise Error("--pre-dump and --lazy-pages exclude each other")
    _status_fd(opts)
    flags = [flag for flag in abilities.FEATURES if opts[flag.replace("-", "_")]]
    lacking = abilities.features_lacking() if flags else {}
    for flag in flags:
        if flag in lacking:
            raise Error(f"--{flag}: not on this host: {lacking[flag]}")


def _say_how(found: Any, opts: Options) -> None:
    """The flags that `restore` has not."""
    for name in ("leave_running", "link_remap", "tcp_skip_in_flight"):
        if opts[name]:
            setattr(found, name, True)
    if opts["parent_path"]:
        found.parent_img = opts["parent_path"]
    if opts["parent_path"] or opts["pre_dump"]:
        found.track_mem = True
    if opts["page_server"]:
        address, colon, port = opts["page_server"].rpartition(":")
        if not (colon and address and port.isascii() and port.isdigit() and int(port) < 1 << 16):
            raise Error(f"--page-server {opts['page_server']}: must be {ADDRESS}")
        found.ps.address, found.ps.port = address.strip("[]"), int(port)


def _name_externals(found: Any, container: Container, config: Config, pid: int) -> dict[str, Any]:
    """What of the host's there is among its mounts and namespaces. What the names stand for:
    destinations of the config's, and `rbind`, the mounts below the sources of rbind mounts."""
    facts = {
        "bundle": container.intent["bundle"],
        "binds_devices": state.in_user_namespace() or devices.in_user_namespace(config),
    }
    facts["links"] = host.links(config, facts["bundle"])
    ours = mount_table.of("self")
    nested = externals.below_rbind(config, facts, ours)
    known = externals.of_config(config, facts, container.path)
    names = {"destinations": externals.destinations(known), "rbind": nested}
    known += externals.of_cgroups(container.intent["cgroup"], ours, pid)
    known = externals.with_nested(known, nested)
    for point, name in externals.name_mounts(mount_table.of(pid), known, ours):
        found.ext_mnt.add(key=point, val=name)
    for kind, name in requests.EXTERNAL.items():
        if requests.joined(config, kind):
            file = {"network": "net"}.get(kind, kind)
            inode = os.stat(f"/proc/{pid}/ns/{file}").st_ino
            found.external.append(f"{file}[{inode}]:{name}")
    record = container.intent["cgroup"]
    if "freezer" in record["paths"] or (record["layout"] == "v2" and record["paths"]):
        # Else CRIU stops one process after the other, while the others may fork.
        found.freeze_cgroup = record["paths"].get("freezer") or record["paths"][""]
    return names


def _converse(
    container: Container, opts: Options, request: Any, where: tuple[Directory, Directory]
) -> None:
    frozen = procs.frozen(container.intent["cgroup"])
    status_fd = _status_fd(opts)
    service = Service(where)
    try:
        response = service.ask(request, {"status-ready": lambda _pid, _fd: _tell(status_fd)})
    finally:
        service.end()
        if not frozen and procs.frozen(container.intent["cgroup"]):
            procs.thaw(container.intent["cgroup"])  # CRIU died
    if response is None or not response.success:
        raise faults.explain("checkpoint", response, where[1], LOG, abilities.lacking())


def _status_fd(opts: Options) -> int:
    """--status-fd as a number, -1 without one. Raises Error."""
    text = opts["status_fd"]
    if not text:
        return -1
    try:
        os.fstat(int(text))
    except (ValueError, OSError):
        raise Error(f"--status-fd {text}: no descriptor that is open") from None
    return int(text)


def _tell(fd: int) -> None:
    """--status-fd: lazy pages can be asked for now."""
    if fd < 0:
        return
    try:
        os.write(fd, b"\0")
        os.close(fd)
    except OSError as error:
        log.warning(f"--status-fd {fd}: {reason(error.errno or 0)}")
