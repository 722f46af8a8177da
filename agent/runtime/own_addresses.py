"""At which addresses the other nodes find this one, where agent.toml does not say: of its interfaces that are up.

An interface may come up, and be given its address, when the agent runs already (hotplug, DHCP, a tunnel).
"""

import asyncio
import ipaddress
import re
from collections.abc import Callable
from typing import Final

import structlog

from agent.adapters.marks import Marks
from agent.adapters.netlink import Netlink

AGAIN_S = 1.0
_OF_CONTAINERS: Final = re.compile(
    r"docker\d+|br-[0-9a-f]{12}|docker_gwbridge|podman\d+|cni\d+|cni-podman\d+|virbr\d+|lxcbr\d+|lxdbr\d+|incusbr\d+"
)
"""Bridges that Docker, Podman, Kubernetes, libvirt and LXC make for what runs on this machine alone. Each machine has
the same address there, so that another node would find itself at it."""


async def own_addresses(netlink: Netlink, marks: Marks) -> tuple[str, ...]:
    """Those that there are now, of IPv4 first; loopback, link-local, containers', virtual and unfit ones left out.

    Raises:
        DefiniteFailure, IndefiniteFailure: the kernel cannot be asked.
    """
    interfaces = await netlink.interfaces()
    up = {i.index for i in interfaces if i.up and not i.loopback and not _OF_CONTAINERS.fullmatch(i.name)}
    found = [
        a.address
        for a in await netlink.addresses()
        if a.index in up and not (marks.ours(a) or a.unfit or a.address.is_link_local or a.address.is_loopback)
    ]
    ordered = sorted(found, key=lambda a: (a.version, found.index(a)))
    return tuple(str(ipaddress.ip_address(a)) for a in ordered)


async def first_addresses(netlink: Netlink, marks: Marks) -> tuple[str, ...]:
    """As :func:`own_addresses`, once there is one: a machine may start its agent before its network.

    Raises:
        DefiniteFailure, IndefiniteFailure: the kernel cannot be asked.
    """
    log, told = structlog.get_logger(), False
    while not (found := await own_addresses(netlink, marks)):
        if not told:
            told = True
            log.warning("addresses.awaited", reason="no interface that is up has an address, and agent.toml names none")
        await asyncio.sleep(AGAIN_S)
    return found


class OwnAddresses:
    """Where this node is to be found, while it runs; what has changed is registered.

    The first of those at its start stays the first: there its replicators are looked for, and it is probed. So it stays
    registered when it is gone, and it is said that only a restart gives this node another one.
    """

    def __init__(
        self,
        netlink: Netlink,
        marks: Marks,
        first: tuple[str, ...],
        on_change: Callable[[tuple[str, ...]], None],
    ) -> None:
        """``first``: as they are registered, at least one. ``on_change``: given those to be registered from now on."""
        self._netlink = netlink
        self._marks = marks
        self._registered = first
        self._on_change = on_change
        self._gone = False

    async def now(self) -> tuple[str, ...]:
        """As :func:`own_addresses`."""
        found, (first, *_) = await own_addresses(self._netlink, self._marks), self._registered
        self._tell(first, gone=first not in found)
        wanted = (first, *(address for address in found if address != first))
        # Without any it is the network that is away, not this node that has moved.
        if found and wanted != self._registered:
            self._registered = wanted
            structlog.get_logger().info("addresses.changed", addresses=wanted)
            self._on_change(wanted)
        return found

    def _tell(self, address: str, *, gone: bool) -> None:
        if gone is self._gone:
            return
        self._gone = gone
        if gone:
            structlog.get_logger().warning("address.gone", address=address, means=_MEANS, remedy=_REMEDY)
        else:
            structlog.get_logger().info("address.returned", address=address)


_MEANS = "the other nodes look for this node's mirrors there, and probe its farms there, as long as this agent runs"
_REMEDY = "if it does not come back: restart the agent, or name addresses that stay as network.addresses in agent.toml"
