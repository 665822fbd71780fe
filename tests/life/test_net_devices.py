# SPDX-License-Identifier: Apache-2.0
"""linux.netDevices: one end of a veth pair moves into the container, the other one stays."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from life.bundles import Bundle
from life.runtimes import Container, eventually
from needs import needs

pytestmark = [pytest.mark.pyrun_only("peers of this age move no devices"), needs("ip", "root")]

_numbers = itertools.count()
LASTING = ["192.0.2.7/24", "2001:db8::7/64", "2001:db8::8/64"]
UP = [
    "up 1400",
    "192.0.2.7 255.255.255.0",
    "2001:db8::7 ffff:ffff:ffff:ffff::",
    "2001:db8::8 ffff:ffff:ffff:ffff::",
]


def ip(*words: str, of: int = 0) -> str:
    """The output of ip(8), which must work; `of`: in the network namespace of this process."""
    place = ["nsenter", "--net", "--target", str(of)] if of else []
    done = subprocess.run([*place, "ip", *words], capture_output=True, text=True, check=True)
    return done.stdout


def devices(of: int = 0) -> dict[str, Any]:
    """The devices, with their addresses, by name."""
    return {entry["ifname"]: entry for entry in json.loads(ip("-json", "addr", of=of))}


def addresses(entry: Any) -> list[str]:
    """Of one device, but for those of the link."""
    return [f"{a['local']}/{a['prefixlen']}" for a in entry["addr_info"] if a["scope"] == "global"]


@pytest.fixture
def make_device() -> Iterator[Callable[[], str]]:
    """Devices with an MTU and addresses of their own, set up."""
    made: list[str] = []

    def make() -> str:
        name = f"pyr{os.getpid()}v{next(_numbers)}"
        made.append(f"{name}p")
        ip("link", "add", name, "mtu", "1400", "type", "veth", "peer", "name", made[-1])
        ip("link", "set", name, "up")
        ip("addr", "add", "192.0.2.7/24", "broadcast", "192.0.2.255", "dev", name)
        ip(
            "addr", "add", "198.51.100.1/24", "scope", "link", "dev", name
        )  # means nothing elsewhere
        passing = ("valid_lft", "900", "preferred_lft", "900")
        ip("addr", "add", "2001:db8::9/64", "dev", name, "nodad", *passing)
        ip("addr", "add", "2001:db8::8/64", "dev", name, "nodad")
        ip("addr", "add", "2001:db8::7/64", "dev", name, "nodad")
        return name

    yield make
    for name in made:
        subprocess.run(["ip", "link", "del", name], stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "link", "del", name[:-1]], stderr=subprocess.DEVNULL)


@pytest.fixture
def device(make_device: Callable[[], str]) -> str:
    """One of them."""
    return make_device()


@pytest.fixture
def other() -> Iterator[int]:
    """A process in a network namespace of its own: its pid."""
    process = subprocess.Popen(["unshare", "--net", "sleep", "100"])
    assert eventually(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "sleep\n")
    yield process.pid
    process.kill()
    process.wait()


def join(bundle: Bundle, path: str) -> None:
    """The container gets this network."""
    for entry in bundle.linux["namespaces"]:
        if entry["type"] == "network":
            entry["path"] = path


def test_moved(container: Container, bundle: Bundle, device: str) -> None:
    """Up, with its MTU and its permanent global addresses, and no longer the host's."""
    bundle.linux["netDevices"] = {device: {}}
    inside, names = container.ask(f"interface {device}", "network")
    assert inside.splitlines() == UP
    assert device in names.splitlines()
    assert device not in devices()


def test_renamed(container: Container, bundle: Bundle, make_device: Callable[[], str]) -> None:
    first, second = make_device(), make_device()
    bundle.linux["netDevices"] = {first: {"name": "eth0"}, second: {"name": "net%d"}}
    zero, net, names = container.ask("interface eth0", "interface net0", "network")
    assert zero.splitlines() == net.splitlines() == UP
    assert sorted(names.splitlines()) == ["eth0", "lo up", "net0"]


def test_broadcast_address(container: Container, bundle: Bundle, device: str, other: int) -> None:
    join(bundle, f"/proc/{other}/ns/net")
    bundle.linux["netDevices"] = {device: {"name": "eth0"}}
    container.started("sleep 100")
    entry = devices(of=other)["eth0"]
    assert entry["addr_info"][0]["broadcast"] == "192.0.2.255"
    assert addresses(entry) == LASTING


@pytest.mark.parametrize("kinds", [("user",), ("user", "time")])
def test_in_a_user_namespace(
    container: Container, bundle: Bundle, device: str, kinds: tuple[str, ...]
) -> None:
    bundle.map_ids()
    if "time" in kinds:  # by a first stage
        bundle.linux["namespaces"].append({"type": "time"})
        bundle.linux["timeOffsets"] = {"boottime": {"secs": 5}}
    bundle.linux["netDevices"] = {device: {}}
    assert container.ask(f"interface {device}")[0].splitlines()[0] == "up 1400"


def test_sysctl_of_a_moved_device(container: Container, bundle: Bundle, device: str) -> None:
    """By either separator: the other one is a dot of the name."""
    bundle.linux["netDevices"] = {device: {"name": "eth0.1"}}
    bundle.linux["sysctl"] = {
        "net/ipv4/conf/eth0.1/forwarding": "1",
        "net.ipv4.conf.eth0/1.rp_filter": "2",
    }
    place = "cat /proc/sys/net/ipv4/conf/eth0.1"
    assert container.ask(f"{place}/forwarding", f"{place}/rp_filter") == ["1", "2"]


def test_runtime_hooks_see_it(container: Container, bundle: Bundle, device: str) -> None:
    """The runtime environment is there when createRuntime hooks run (runtime.md, lifecycle)."""
    bundle.linux["netDevices"] = {device: {"name": "eth0"}}
    place = "nsenter -t $(sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/' | tr -d '\\n') -n"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"{place} ip link show eth0 >&2"]}
    bundle.config["hooks"] = {"createRuntime": [hook]}
    assert container.ask("print x") == ["x"]


def test_delete_leaves_it_to_the_namespace(
    container: Container, bundle: Bundle, device: str, other: int
) -> None:
    join(bundle, f"/proc/{other}/ns/net")
    bundle.linux["netDevices"] = {device: {"name": "eth0"}}
    container.started("sleep 100")
    assert container.delete("--force").code == 0
    assert "eth0" in devices(of=other)
    assert device not in devices()


def check_untouched(device: str) -> None:
    entry = devices()[device]
    assert addresses(entry)[:3] == LASTING
    assert entry["mtu"] == 1400
    assert "UP" in entry["flags"]


def test_missing(container: Container, bundle: Bundle, device: str) -> None:
    """Nothing moves unless everything can."""
    bundle.linux["netDevices"] = {device: {}, "nosuchdevice": {}}
    result = container.run("print x")
    assert result.code == 1
    assert "/linux/netDevices/nosuchdevice" in result.err
    assert "no such device" in result.err
    check_untouched(device)


def test_name_in_use(container: Container, bundle: Bundle, device: str, other: int) -> None:
    ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth1", of=other)
    join(bundle, f"/proc/{other}/ns/net")
    bundle.linux["netDevices"] = {device: {"name": "eth0"}}
    result = container.run("print x")
    assert result.code == 1
    assert device in result.err
    assert "file exists" in result.err
    check_untouched(device)


def test_another_name_in_use(container: Container, bundle: Bundle, device: str, other: int) -> None:
    """An alternative one."""
    ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth1", of=other)
    ip("link", "property", "add", "dev", "eth1", "altname", "uplink", of=other)
    join(bundle, f"/proc/{other}/ns/net")
    bundle.linux["netDevices"] = {device: {"name": "uplink"}}
    result = container.run("print x")
    assert result.code == 1
    assert "file exists" in result.err
    check_untouched(device)
    assert sorted(devices(of=other)) == ["eth0", "eth1", "lo"]


def test_its_own_other_name(container: Container, bundle: Bundle, device: str, other: int) -> None:
    """Which is in use: the kernel says so when the device is there already."""
    ip("link", "property", "add", "dev", device, "altname", f"{device}x")
    join(bundle, f"/proc/{other}/ns/net")
    bundle.linux["netDevices"] = {device: {"name": f"{device}x"}}
    result = container.run("print x")
    assert result.code == 1
    assert "file exists" in result.err
    check_untouched(device)
    assert sorted(devices(of=other)) == ["lo"]


def test_by_another_name(container: Container, bundle: Bundle, device: str) -> None:
    """After a failed create it has its own one."""
    ip("link", "property", "add", "dev", device, "altname", f"{device}x")
    bundle.linux["netDevices"] = {f"{device}x": {"name": "eth0"}}
    bundle.process["args"] = ["/nowhere"]
    assert "/nowhere" in container.run().err
    check_untouched(device)


def test_its_number_in_use(container: Container, bundle: Bundle, device: str, other: int) -> None:
    """In another namespace a device may have its number."""
    number = json.loads(ip("-json", "link", "show", device))[0]["ifindex"]
    for index in (number, number + 2):
        words = ["index", str(index), "name", f"x{index}", "type", "veth"]
        ip("link", "add", *words, of=other)
    join(bundle, f"/proc/{other}/ns/net")
    bundle.linux["netDevices"] = {device: {"name": "eth0"}}
    assert container.ask("interface eth0")[0].splitlines() == UP


def test_address_that_cannot_be_kept(
    container: Container, bundle: Bundle, device: str, other: int
) -> None:
    """An error, as all of them have to be."""
    switch = "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6"
    place = ["nsenter", "--net", "--target", str(other)]
    subprocess.run([*place, "sh", "-c", switch], check=True)
    join(bundle, f"/proc/{other}/ns/net")
    bundle.linux["netDevices"] = {device: {"name": "eth0"}}
    result = container.run("print x")
    assert result.code == 1
    assert "keep its address 2001:db8::8/64: permission denied: IPv6" in result.err
    check_untouched(device)


@pytest.mark.parametrize("joined", [True, False])
def test_given_back(
    container: Container, bundle: Bundle, device: str, other: int, joined: bool
) -> None:
    """A create that fails later leaves the host as it was."""
    if joined:
        join(bundle, f"/proc/{other}/ns/net")
    bundle.linux["netDevices"] = {device: {"name": "eth0"}}
    bundle.process["args"] = ["/nowhere"]
    result = container.run()
    assert result.code == 1
    assert "/nowhere" in result.err
    check_untouched(device)
    assert sorted(devices(of=other)) == ["lo"]


def test_of_one_namespace_for_ever(container: Container, bundle: Bundle) -> None:
    bundle.linux["netDevices"] = {"lo": {"name": "lo1"}}
    result = container.run("print x")
    assert result.code == 1
    assert "/linux/netDevices/lo" in result.err
    assert "invalid argument" in result.err


def test_into_the_network_of_the_host(container: Container, bundle: Bundle, device: str) -> None:
    join(bundle, "/proc/self/ns/net")
    bundle.linux["netDevices"] = {device: {"name": "eth0"}}
    result = container.run("print x")
    assert result.code == 1
    assert "network namespace of the host" in result.err
    check_untouched(device)
