"""Asks this node's links who has the addresses of a module that is about to be applied, and whether they fit there."""

import asyncio
from collections.abc import Collection, Sequence

from agent.adapters import neighbours
from agent.adapters.marks import Marks
from agent.adapters.neighbours import AddressInUse
from agent.adapters.netlink import Assigned, Interface, Netlink, macs_of
from agent.adapters.placement import Placed, place
from manager.model.config import AddressConfig
from manager.model.errors import ConfigError, MirrorfarmError


async def stations(wanted: Sequence[AddressConfig], netlink: Netlink, marks: Marks) -> dict[str, str]:
    """Address to the station that answers for it, in words; those for which none does are left out.

    So are those that have no link here (:func:`unplaced`), or whose link cannot be asked now: the node that is to add
    one asks again.

    Raises:
        DefiniteFailure, IndefiniteFailure: the kernel could not be asked for its links.
    """
    interfaces, assigned = await netlink.interfaces(), await netlink.addresses()
    placed: list[Placed] = []
    for address in wanted:
        try:
            placed += place((address,), interfaces, assigned, marks)
        except ConfigError:
            continue
    own = macs_of(interfaces)
    asked = await asyncio.gather(*(_station(one, own) for one in placed))
    return {one.wanted.ip: found for one, found in zip(placed, asked, strict=True) if found}


async def unplaced(wanted: Sequence[AddressConfig], netlink: Netlink, marks: Marks) -> dict[str, str]:
    """Address to why it has no link to other machines here, in words; those that have one are left out.

    Raises:
        DefiniteFailure, IndefiniteFailure: the kernel could not be asked for its links.
    """
    interfaces, assigned = await netlink.interfaces(), await netlink.addresses()
    found: dict[str, str] = {}
    for address in wanted:
        try:
            (placed,) = place((address,), interfaces, assigned, marks)
        except ConfigError:
            found[address.ip] = (
                f"there is no interface {address.interface}"
                if address.interface
                else f"no address of a link is of the same subnet: {_own(interfaces, assigned, marks)}"
            )
        else:
            if placed.interface.loopback:
                found[address.ip] = f"{placed.interface.name} leads to no other machine"
    return found


def _own(interfaces: Sequence[Interface], assigned: Sequence[Assigned], marks: Marks) -> str:
    """The node's own addresses, as ip(8) shows them."""
    links = {i.index: i.name for i in interfaces if not i.loopback}
    own = [a for a in assigned if a.index in links and not a.address.is_link_local and not marks.ours(a)]
    shown = sorted(f"{a.address}/{a.prefix_length} on {links[a.index]}" for a in own)
    return ", ".join(shown) or "there is none"


async def _station(placed: Placed, own: Collection[bytes]) -> str:
    try:
        await neighbours.probe(placed.interface, placed.address, own)
    except AddressInUse as found:
        return f"{found.mac or 'a station that does not tell its MAC'} on {found.interface}"
    except MirrorfarmError:
        return ""
    return ""
