"""Asks this node's links who has the addresses of a module that is about to be applied."""

import asyncio
from collections.abc import Sequence

from agent.adapters import neighbours
from agent.adapters.marks import Marks
from agent.adapters.neighbours import AddressInUse
from agent.adapters.netlink import Netlink
from agent.adapters.placement import Placed, place
from manager.model.config import AddressConfig
from manager.model.errors import ConfigError, MirrorfarmError


async def stations(wanted: Sequence[AddressConfig], netlink: Netlink, marks: Marks) -> dict[str, str]:
    """Address to the station that answers for it, in words; those for which none does are left out.

    So are those that have no link here, or whose link cannot be asked now: the node that is to add one asks again.

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
    asked = await asyncio.gather(*(_station(one) for one in placed))
    return {one.wanted.ip: found for one, found in zip(placed, asked, strict=True) if found}


async def _station(placed: Placed) -> str:
    try:
        await neighbours.probe(placed.interface, placed.address)
    except AddressInUse as found:
        return f"{found.mac or 'a station that does not tell its MAC'} on {found.interface}"
    except MirrorfarmError:
        return ""
    return ""
