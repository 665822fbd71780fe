# SPDX-License-Identifier: Apache-2.0
"""linux.netDevices: moving devices of the host into the container's network namespace, and back if
the container's creation fails: rtnetlink(7), config-linux.md (Network Devices).

The kernel takes a device's addresses away when it moves; all else stays with it. Once the container
is created, nothing is moved any more: when its namespace ends, the kernel gives physical devices
back and destroys virtual ones. So it does after a create that was killed.
"""

from __future__ import annotations

import errno
import os
from _signal import SIG_BLOCK, SIG_SETMASK, SIGHUP, SIGINT, SIGTERM, pthread_sigmask
from _socket import AF_INET, AF_INET6

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from pyrun import launch, log
from pyrun.compile.net_device_names import TEMPLATE, inside
from pyrun.errors import Error, from_os, reason
from pyrun.linux import CLONE_NEWNET
from pyrun.schema_check import step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.types import Config

IFF_UP = 1
RT_SCOPE_UNIVERSE = 0
# linux/if_addr.h; the other flags are the kernel's own
IFA_F_NODAD, IFA_F_HOMEADDRESS, IFA_F_PERMANENT = 0x02, 0x10, 0x80
IFA_F_MANAGETEMPADDR, IFA_F_NOPREFIXROUTE, IFA_F_MCAUTOJOIN = 0x100, 0x200, 0x400
KEPT_FLAGS = (
    IFA_F_NODAD | IFA_F_HOMEADDRESS | IFA_F_MANAGETEMPADDR | IFA_F_NOPREFIXROUTE | IFA_F_MCAUTOJOIN
)
# Not IFA_LABEL, which holds a name; IFA_CACHEINFO says "for ever" here.
KEPT_ATTRIBUTES = {
    "address": "IFA_ADDRESS",  # the peer's, where there is one
    "local": "IFA_LOCAL",
    "broadcast": "IFA_BROADCAST",
    "rt_priority": "IFA_RT_PRIORITY",
}
HINTS = {
    errno.ENODEV: "it has to be in the network namespace of the runtime",
    errno.EINVAL: "some devices, as lo and bridges, belong to one namespace for ever",
    errno.EEXIST: "the network namespace has a device of that name",
    errno.EPERM: "moving it takes CAP_NET_ADMIN",
}


class Device:
    """One device: what it was on the host, and its number in the container. `name` is what the
    config calls it, which may be an alternative one."""

    __slots__ = ("addresses", "host_name", "index", "inner_index", "name", "up")

    def __init__(self, host: IPRoute, name: str) -> None:
        [link] = host.link("get", ifname=name)
        self.name = name
        self.host_name: str = link.get_attr("IFLA_IFNAME")
        self.index: int = link["index"]
        self.inner_index = 0
        self.up = bool(link["flags"] & IFF_UP)
        self.addresses = _permanent(host, self.index)


class Move:
    """The devices on their way into the network namespace of the process `pid`."""

    def __init__(self, pid: int) -> None:
        """Raises Error."""
        self.moved: list[Device] = []
        try:
            self.home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            self.namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            self.host = IPRoute()
            # A socket stays in the namespace in which it was made.
            launch.setns(self.namespace, CLONE_NEWNET)
            try:
                self.inner = IPRoute()
            finally:
                launch.setns(self.home, CLONE_NEWNET)
        except OSError as error:
            raise from_os(error, "open the network namespaces", "/linux/netDevices") from None

    def move(self, wanted: dict[str, Config]) -> None:
        """All devices, or none: nothing moves before all are found. Raises Error."""
        # Between the kernel's move and our record of it nobody shall interrupt us.
        held = pthread_sigmask(SIG_BLOCK, {SIGHUP, SIGINT, SIGTERM})
        try:
            found = [self._find(name, inside(name, entry)) for name, entry in wanted.items()]
            for device in found:
                self._move(device, inside(device.name, wanted[device.name]))
        finally:
            pthread_sigmask(SIG_SETMASK, held)

    def _find(self, name: str, new_name: str) -> Device:
        try:
            device = Device(self.host, name)
        except NetlinkError as error:
            raise _error(error.code, name, "look it up", HINTS.get(error.code, "")) from None
        if not new_name.endswith(TEMPLATE) and _has(self.inner, ifname=new_name):
            doing = f"call it {new_name} in the container"
            raise _error(errno.EEXIST, name, doing, HINTS[errno.EEXIST])
        return device

    def _move(self, device: Device, new_name: str) -> None:
        taken = {link["index"] for link in self.inner.get_links()}
        free = device.index if device.index not in taken else max(taken) + 1
        try:
            self._send(self.host, device, free, self.namespace, new_name)
        except NetlinkError as error:
            if not _has(self.host, index=device.index):
                # The kernel moves first and renames then: it is there, under its old name.
                self._record(device, free)
            doing = f"move it into the container as {new_name}"
            raise _error(error.code, device.name, doing, HINTS.get(error.code, "")) from None
        self._record(device, free)
        self._set_up(device)

    def _record(self, device: Device, index: int) -> None:
        device.inner_index = index
        self.moved.append(device)

    def _set_up(self, device: Device) -> None:
        doing = ""
        try:
            for address in device.addresses:
                doing = f"keep its address {_shown(address)}"
                _add(self.inner, device.inner_index, address)
            doing = "set it up"
            self.inner.link("set", index=device.inner_index, state="up")
        except NetlinkError as error:
            hint = "IPv6 may be disabled there" if error.code == errno.EACCES else ""
            raise _error(error.code, device.name, doing, hint) from None

    @staticmethod
    def _send(sender: IPRoute, device: Device, index: int, namespace: int, name: str) -> None:
        """Move and rename in one request, to a number by which we know it there."""
        source = device.inner_index or device.index
        attributes = {"net_ns_fd": namespace, "ifname": name, "IFLA_NEW_IFINDEX": index}
        sender.link("set", index=source, **attributes)

    def give_back(self) -> None:
        """The container comes to nothing: each device as it was. What fails is logged."""
        while self.moved:
            device = self.moved.pop()
            try:
                self._send(self.inner, device, device.index, self.home, device.host_name)
                for address in device.addresses:
                    _add(self.host, device.index, address)
                if device.up:
                    self.host.link("set", index=device.index, state="up")
            except NetlinkError as error:
                log.warning(str(_error(error.code, device.name, "move it back to the host")))

    def release(self) -> None:
        """Let go of the namespace: from now on the devices are its own affair."""
        self.moved.clear()
        self.inner.close()
        self.host.close()
        os.close(self.namespace)
        os.close(self.home)


def _permanent(host: IPRoute, index: int) -> list[Any]:
    """The addresses that move along, in the order in which to add them: the kernel puts a new one
    of IPv4 behind the others, and one of IPv6 before them."""
    found = [
        address
        for address in host.get_addr(index=index)
        if address["scope"] == RT_SCOPE_UNIVERSE and _flags(address) & IFA_F_PERMANENT
    ]
    newest_first = [address for address in found if address["family"] == AF_INET6]
    return [address for address in found if address["family"] == AF_INET] + newest_first[::-1]


def _has(place: IPRoute, **which: Any) -> bool:
    """Whether there is such a device."""
    try:
        return bool(place.link("get", **which))
    except NetlinkError as error:
        if error.code == errno.ENODEV:
            return False
        raise


def _flags(message: Any) -> int:
    """IFA_FLAGS has more bits than the header's octet, where the kernel sends it."""
    flags: int = message.get_attr("IFA_FLAGS") or message["flags"]
    return flags


def _shown(message: Any) -> str:
    address = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    return f"{address}/{message['prefixlen']}"


def _add(place: IPRoute, index: int, address: Any) -> None:
    """An address as it was, for the device with this number."""
    kept = {name: address.get_attr(nla) for name, nla in KEPT_ATTRIBUTES.items()}
    place.addr(
        "add",
        index=index,
        family=address["family"],
        prefixlen=address["prefixlen"],
        scope=address["scope"],
        flags=_flags(address) & KEPT_FLAGS,
        **{name: value for name, value in kept.items() if value is not None},
    )


def _error(number: int, name: str, doing: str, hint: str = "") -> Error:
    text = f"network device {name}: {doing}: {reason(number)}"
    return Error(text, f"/linux/netDevices{step(name)}", hint)
