"""At which addresses the other nodes find this one, where agent.toml does not say: of its interfaces that are up.

An interface may come up, and be given its address, when the agent runs already (hotplug, DHCP, a tunnel).
"""

import asyncio
import ipaddress

import structlog

from agent.adapters.marks import Marks
from agent.adapters.netlink import Netlink

AGAIN_S = 1.0


async def own_addresses(netlink: Netlink, marks: Marks) -> tuple[str, ...]:
    """Those that there are now, of IPv4 first; loopback, link-local and virtual ones left out.

    Raises:
        DefiniteFailure, IndefiniteFailure: the kernel cannot be asked.
    """
    up = {i.index for i in await netlink.interfaces() if i.up and not i.loopback}
    found = [
        a.address
        for a in await netlink.addresses()
        if a.index in up and not marks.ours(a) and not a.address.is_link_local and not a.address.is_loopback
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
