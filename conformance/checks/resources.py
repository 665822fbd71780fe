# SPDX-License-Identifier: Apache-2.0
"""config-linux.md: the limits of linux.resources, as files of the cgroup show them on v1
and v2."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from conformance import host, leftovers
from conformance.case import Case
from conformance.container import Container
from conformance.plugin import check, each

MIB = 1 << 20


class File(NamedTuple):
    """What a file of a cgroup must say."""

    controller: str
    name: str
    value: str


class Limit(NamedTuple):
    """A part of resources, and where it is seen on v1 and on v2 (None: that version has nothing
    like it)."""

    resources: dict[str, Any]
    v1: File | None
    v2: File | None
    write: bool = False  # whether the kernel of the host may not take it


def _cpu(**settings: int | str) -> dict[str, Any]:
    return {"cpu": settings}


def _memory(**settings: int | bool) -> dict[str, Any]:
    return {"memory": settings}


LIMITS = {
    "memory": Limit(
        _memory(limit=64 * MIB),
        File("memory", "memory.limit_in_bytes", f"{64 * MIB}"),
        File("memory", "memory.max", f"{64 * MIB}"),
    ),
    "memory.limit": Limit(
        _memory(limit=96 * MIB),
        File("memory", "memory.limit_in_bytes", f"{96 * MIB}"),
        File("memory", "memory.max", f"{96 * MIB}"),
    ),
    "memory.reservation": Limit(
        _memory(reservation=32 * MIB),
        File("memory", "memory.soft_limit_in_bytes", f"{32 * MIB}"),
        File("memory", "memory.low", f"{32 * MIB}"),
    ),
    "memory.swap": Limit(
        _memory(limit=64 * MIB, swap=96 * MIB),
        File("memory", "memory.memsw.limit_in_bytes", f"{96 * MIB}"),
        File("memory", "memory.swap.max", f"{32 * MIB}"),
    ),
    "memory.kernel": Limit(
        _memory(kernel=64 * MIB),
        File("memory", "memory.kmem.limit_in_bytes", f"{64 * MIB}"),
        None,
        write=True,
    ),
    "memory.kernelTCP": Limit(
        _memory(kernelTCP=64 * MIB),
        File("memory", "memory.kmem.tcp.limit_in_bytes", f"{64 * MIB}"),
        None,
    ),
    "memory.swappiness": Limit(
        _memory(swappiness=35), File("memory", "memory.swappiness", "35"), None
    ),
    "memory.disableOOMKiller": Limit(
        _memory(limit=64 * MIB, disableOOMKiller=True),
        File("memory", "memory.oom_control", "oom_kill_disable 1"),
        None,
    ),
    "cpu": Limit(
        _cpu(shares=512), File("cpu", "cpu.shares", "512"), File("cpu", "cpu.weight", "!100")
    ),
    "cpu.shares": Limit(
        _cpu(shares=300), File("cpu", "cpu.shares", "300"), File("cpu", "cpu.weight", "!100")
    ),
    "cpu.quota": Limit(
        _cpu(quota=40000),
        File("cpu", "cpu.cfs_quota_us", "40000"),
        File("cpu", "cpu.max", "40000 100000"),
    ),
    "cpu.burst": Limit(
        _cpu(quota=50000, burst=20000),
        File("cpu", "cpu.cfs_burst_us", "20000"),
        File("cpu", "cpu.max.burst", "20000"),
    ),
    "cpu.period": Limit(
        _cpu(quota=30000, period=60000),
        File("cpu", "cpu.cfs_period_us", "60000"),
        File("cpu", "cpu.max", "30000 60000"),
    ),
    "cpu.cpus": Limit(
        _cpu(cpus="0"), File("cpuset", "cpuset.cpus", "0"), File("cpuset", "cpuset.cpus", "0")
    ),
    "cpu.mems": Limit(
        _cpu(mems="0"), File("cpuset", "cpuset.mems", "0"), File("cpuset", "cpuset.mems", "0")
    ),
    "cpu.idle": Limit(_cpu(idle=1), File("cpu", "cpu.idle", "1"), File("cpu", "cpu.idle", "1")),
    "pids": Limit(
        {"pids": {"limit": 123}}, File("pids", "pids.max", "123"), File("pids", "pids.max", "123")
    ),
    "pids.limit": Limit(
        {"pids": {"limit": 77}}, File("pids", "pids.max", "77"), File("pids", "pids.max", "77")
    ),
    "network.classID": Limit(
        {"network": {"classID": 0x100001}}, File("net_cls", "net_cls.classid", f"{0x100001}"), None
    ),
    "network": Limit(
        {"network": {"classID": 0x100002}}, File("net_cls", "net_cls.classid", f"{0x100002}"), None
    ),
    "blockIO": Limit(
        {"blockIO": {"weight": 300}},
        File("blkio", "blkio.bfq.weight", "300"),
        File("io", "io.bfq.weight", "300"),
    ),
    "blockIO.weight": Limit(
        {"blockIO": {"weight": 200}},
        File("blkio", "blkio.bfq.weight", "200"),
        File("io", "io.bfq.weight", "200"),
    ),
    "blockIO.leafWeight": Limit(
        {"blockIO": {"leafWeight": 200}}, File("blkio", "blkio.leaf_weight", "200"), None
    ),
}
for _name in ("", ".name", ".priority"):
    LIMITS[f"network.priorities{_name}"] = Limit(
        {"network": {"priorities": [{"name": "lo", "priority": 5}]}},
        File("net_prio", "net_prio.ifpriomap", "lo 5"), None)  # fmt: skip
for _name in ("realtimeRuntime", "realtimePeriod"):
    LIMITS[f"cpu.{_name}"] = Limit(
        _cpu(realtimeRuntime=1000, realtimePeriod=500000),
        File("cpu", "cpu.rt_runtime_us" if "Runtime" in _name else "cpu.rt_period_us",
             "1000" if "Runtime" in _name else "500000"), None)  # fmt: skip


def seen_in(case: Case, box: Container, limit: Limit) -> tuple[Path, str, str]:
    """The file of a created container's cgroup where a limit is seen, its content, and what must be
    in it. Skips where the host or its cgroup version has no such file."""
    probe = limit.v1 or limit.v2
    assert probe is not None
    try:
        version, folder = host.cgroup(box.pid, probe.controller)
        file = limit.v1 if version == "v1" else limit.v2
        if file is not None and file.controller != probe.controller:
            version, folder = host.cgroup(box.pid, file.controller)
    except LookupError as error:
        case.skip(str(error))
        raise
    if file is None:
        case.skip(f"cgroup {version} has nothing like it")
        raise AssertionError
    path = folder / file.name
    if not path.exists():
        case.skip(f"the kernel has no {file.name}")
    return path, path.read_text().strip(), file.value


def kernel_has(case: Case, file: File | None, write: bool = False) -> None:
    """Skips where a new cgroup of v1 has no such file, or does not take the value. What v2 has is
    seen when there is a container."""
    place = leftovers.hierarchies().get(file.controller) if file else None
    if file is None or place is None:
        return
    path = place / leftovers.parent() / f"probe-{case.folder.name}" / file.name
    path.parent.mkdir(parents=True)
    try:
        if not path.exists():
            case.skip(f"the kernel has no {file.name}")
        if write:
            path.write_text(file.value)
            if file.value not in path.read_text():
                case.skip(f"the kernel passes over {file.name}")
    except OSError as error:
        case.skip(f"the kernel refuses {file.value} in {file.name}: {error.strerror}")
    finally:
        path.parent.rmdir()


def allow_real_time(case: Case) -> None:
    """The cgroups of these checks may have real-time tasks, where the kernel counts their time."""
    if place := leftovers.hierarchies().get("cpu"):
        path = place / leftovers.parent() / "cpu.rt_runtime_us"
        path.parent.mkdir(exist_ok=True)
        if path.exists():
            path.write_text("20000")


def _host_has(case: Case, limit: Limit) -> None:
    """Skips where no hierarchy has the controller."""
    v1 = limit.v1 and limit.v1.controller in leftovers.hierarchies()
    v2 = limit.v2 and limit.v2.controller in host.unified_controllers()
    if not v1 and not v2 and limit.v1:
        case.skip(f"the host has no cgroup controller {limit.v1.controller}")


def _several_nodes(case: Case) -> None:
    """Skips where node 0 is what every cgroup has."""
    online = Path("/sys/devices/system/node/online")
    if not online.exists() or online.read_text().strip() == "0":
        case.skip("the host has one memory node")


@each({f"config-linux.{name}": row for name, row in LIMITS.items()}, may_refuse=True)
def check_limit(case: Case, row: Limit) -> None:
    """As a created container's cgroup has it."""
    if "mems" in row.resources.get("cpu", {}):
        _several_nodes(case)
    _host_has(case, row)
    kernel_has(case, row.v1, row.write)
    if "realtimeRuntime" in row.resources.get("cpu", {}):
        allow_real_time(case)
    case.box.config["linux"]["resources"].update(row.resources)
    path, seen, wanted = seen_in(case, case.box.created(), row)
    what = f"{path.name} with {row.resources}"
    if wanted.startswith("!"):
        case.require(what, f"not {wanted[1:]}", seen, seen != wanted[1:])
    else:
        case.require(what, wanted, seen, wanted in seen.splitlines() or seen == f"default {wanted}")


@check("config-linux.pids.limit-zero", needs=("controller:pids",))
def check_pids_zero(case: Case) -> None:
    """No child can be made."""
    case.box.config["linux"]["resources"]["pids"] = {"limit": 0}
    case.expect("children that could be made", ["0"], case.box.ask("forks 3"))


@each({"config-linux.cpu.quota-burst": None, "config-linux.cpu.burst-quota": None},
      needs=("controller:cpu",))  # fmt: skip
def check_burst_above_quota(case: Case, row: None) -> None:
    """20 ms of quota, 30 ms of burst."""
    kernel_has(case, File("cpu", "cpu.cfs_burst_us", ""))
    case.box.config["linux"]["resources"].update(_cpu(quota=20000, burst=30000))
    case.refused(case.box, "create with a burst above quota")


def disk(case: Case) -> tuple[int, int]:
    """The numbers of a block device of the host, as the block layer knows them."""
    for path in sorted(Path("/sys/block").iterdir()):
        if (path / "dev").exists() and (path / "queue").is_dir():
            major, minor = (path / "dev").read_text().split(":")
            return int(major), int(minor)
    case.skip("the host has no block device")
    raise AssertionError


WEIGHT = {"config-linux.blockIO.weightDevice": "weight",
          "config-linux.blockIO.weightDevice.major-minor": "weight",
          "config-linux.blockIO.weightDevice.weight": "weight",
          "config-linux.blockIO.weightDevice.leafWeight": "leafWeight"}  # fmt: skip


@each(WEIGHT, may_refuse=True)
def check_weight_device(case: Case, row: str) -> None:
    """A line for the device."""
    major, minor = disk(case)
    name = "blkio.bfq.weight_device" if row == "weight" else "blkio.leaf_weight_device"
    v2 = File("io", "io.bfq.weight", f"{major}:{minor} 250") if row == "weight" else None
    entry = {"major": major, "minor": minor, row: 250}
    limit = Limit({"blockIO": {"weightDevice": [entry]}},
                  File("blkio", name, f"{major}:{minor} 250"), v2, write=True)  # fmt: skip
    check_limit(case, limit)


THROTTLE = {
    "throttleBps": {"throttleReadBpsDevice": ("read_bps_device", "rbps"),
                    "throttleWriteBpsDevice": ("write_bps_device", "wbps")},
    "throttleIOPS": {"throttleReadIOPSDevice": ("read_iops_device", "riops"),
                     "throttleWriteIOPSDevice": ("write_iops_device", "wiops")},
}  # fmt: skip


@each({f"config-linux.blockIO.{name}{end}": row for name, row in THROTTLE.items()
       for end in ("", ".major-minor", ".rate")}, may_refuse=True)  # fmt: skip
def check_throttle(case: Case, row: dict[str, tuple[str, str]]) -> None:
    """Of a device of the host: reading and writing."""
    major, minor = disk(case)
    rates = dict(zip(row, (654321, 765432), strict=True))
    case.box.config["linux"]["resources"]["blockIO"] = {
        name: [{"major": major, "minor": minor, "rate": rate}] for name, rate in rates.items()
    }
    box = case.box.created()
    for name, (v1, v2) in row.items():
        line = f"{major}:{minor} {rates[name]}"
        limit = Limit({}, File("blkio", f"blkio.throttle.{v1}", line), File("io", "io.max", v2))
        path, seen, wanted = seen_in(case, box, limit)
        wanted = f"{v2}={rates[name]}" if path.name == "io.max" else line
        case.contains(f"{path.name} with {name}", wanted, seen)


@check("config-linux.blockIO.weightDevice-one")
def check_weight_device_empty(case: Case) -> None:
    """A device and nothing more."""
    major, minor = disk(case)
    case.box.config["linux"]["resources"]["blockIO"] = {
        "weightDevice": [{"major": major, "minor": minor}]
    }
    case.refused(case.box, "create with a weightDevice of no weight")


HUGE = {"config-linux.hugepageLimits": None, "config-linux.hugepageLimits.pageSize": None,
        "config-linux.hugepageLimits.limit": None}  # fmt: skip


@each(HUGE, needs=("controller:hugetlb",), may_refuse=True)
def check_huge_pages(case: Case, row: None) -> None:
    """Of the first size that the kernel has: of reservations where it can, else of usage."""
    sizes = sorted(Path("/sys/kernel/mm/hugepages").iterdir())
    kib = int(sizes[0].name.removeprefix("hugepages-").removesuffix("kB"))
    size = f"{kib >> 20}GB" if kib >> 20 else f"{kib >> 10}MB" if kib >> 10 else f"{kib}KB"
    limit = 4 * kib * 1024
    case.box.config["linux"]["resources"]["hugepageLimits"] = [{"pageSize": size, "limit": limit}]
    version, folder = host.cgroup(case.box.created().pid, "hugetlb")
    end = "limit_in_bytes" if version == "v1" else "max"
    path = folder / f"hugetlb.{size}.rsvd.{end}"
    if not path.exists():
        path = folder / f"hugetlb.{size}.{end}"
    case.expect(f"{path.name}", f"{limit}", path.read_text().strip())


RDMA = {"config-linux.rdma": None, "config-linux.rdma.hcaHandles": None,
        "config-linux.rdma.hcaObjects": None}  # fmt: skip


@each(RDMA, needs=("controller:rdma",), may_refuse=True)
def check_rdma(case: Case, row: None) -> None:
    """Of the first device that the host has."""
    devices = sorted(Path("/sys/class/infiniband").glob("*"))
    if not devices:
        case.skip("the host has no RDMA device")
    name = devices[0].name
    case.box.config["linux"]["resources"]["rdma"] = {name: {"hcaHandles": 3, "hcaObjects": 1000}}
    _, folder = host.cgroup(case.box.created().pid, "rdma")
    case.contains(
        "rdma.max", f"{name} hca_handle=3 hca_object=1000", (folder / "rdma.max").read_text()
    )


@check("config-linux.rdma-one")
def check_rdma_empty(case: Case) -> None:
    """A device and nothing more."""
    case.box.config["linux"]["resources"]["rdma"] = {"mlx5_1": {}}
    case.refused(case.box, "create with an rdma device and no limit")


@each(
    {"config-linux.unified": None, "config-linux.unified.controllers": None},
    needs=("no-v1", "controller:memory", "controller:pids"),
)
def check_unified(case: Case, row: None) -> None:
    """memory.high and pids.max, of a cgroup whose parent is new."""
    case.box.config["linux"]["resources"]["unified"] = {
        "memory.high": f"{64 * MIB}", "pids.max": "99"}  # fmt: skip
    _, folder = host.cgroup(case.box.created().pid, "")
    seen = [(folder / name).read_text().strip() for name in ("memory.high", "pids.max")]
    case.expect("memory.high and pids.max", [f"{64 * MIB}", "99"], seen)


@check("config-linux.unified.unknown", needs=("no-v1",))
def check_unified_unknown(case: Case) -> None:
    """A core file, that belongs to no controller; a file that is not there is an error."""
    case.box.config["linux"]["resources"]["unified"] = {"cgroup.max.descendants": "17"}
    _, folder = host.cgroup(case.box.created().pid, "")
    seen = (folder / "cgroup.max.descendants").read_text().strip()
    case.expect("cgroup.max.descendants", "17", seen)
    other = case.new()
    other.config["linux"]["resources"]["unified"] = {"memory.conformance": "17"}
    case.refused(other, "create with a file that is not there")


@check("config-linux.unified.missing", needs=("no-v1",))
def check_unified_missing(case: Case) -> None:
    """A controller of no kernel."""
    case.box.config["linux"]["resources"]["unified"] = {"nonsense.max": "1"}
    case.refused(case.box, "create with a controller that is not there")


@check("config-linux.unified.convert-error", needs=("no-v1",))
def check_unified_convert(case: Case) -> None:
    """classID has nothing like it on v2."""
    case.box.config["linux"]["resources"]["network"] = {"classID": 0x100001}
    case.refused(case.box, "create with classID on cgroup v2")
