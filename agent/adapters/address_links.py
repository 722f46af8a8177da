"""Which link each address of a module is on by now: its index, its MAC, whether it has a carrier.

The link is where an address belongs (:mod:`agent.adapters.placement`), not where it is: only one node of a farm has it
there.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence

from agent.adapters.links import LinkWatch
from agent.adapters.marks import Marks
from agent.adapters.netlink import Interface, Netlink
from agent.adapters.placement import place
from manager.model.config import AddressConfig
from manager.model.errors import ConfigError, MirrorfarmError
from manager.time_limit import time_limit

AGAIN_S = 1.0
"""After a look that failed."""
LOOK_S = 5.0
"""So often it is looked at in any case: of an address of the node's own that comes to a link nothing is told."""

Links = Mapping[str, Interface]
"""Address to its link; without those that have none."""


class AddressLinks:
    """The links of one module's addresses."""

    def __init__(self, wanted: Sequence[AddressConfig], netlink: Netlink, links: LinkWatch, marks: Marks) -> None:
        self._wanted = tuple(wanted)
        self._netlink = netlink
        self._links = links
        self._marks = marks

    async def find(self) -> Links:
        """As they are now.

        Raises:
            DefiniteFailure, IndefiniteFailure: the kernel could not be asked.
        """
        interfaces, assigned = await self._netlink.interfaces(), await self._netlink.addresses()
        found = {}
        for wanted in self._wanted:
            try:
                (placed,) = place((wanted,), interfaces, assigned, self._marks)
            except ConfigError:
                continue  # It is left out: whoever wants to use the address is told why it has none.
            found[wanted.ip] = placed.interface
        return found

    async def follow(
        self,
        changed: Callable[[Links], None],
        on_trouble: Callable[[MirrorfarmError], None],
        stirred: Callable[[], None],
    ) -> None:
        """Calls ``changed`` with the links as they are, and again with each other state of them, until cancelled.

        ``on_trouble`` is told when they cannot be looked at; it is tried again until they can. ``stirred`` is called
        when something of any link of this machine may be another, also of one that none of the addresses is on.
        """
        look = asyncio.Event()

        def wake() -> None:
            stirred()
            look.set()

        self._links.watch(wake)
        try:
            known: Links | None = None
            while True:
                look.clear()  # Before the look: what changes during it is looked at anew.
                try:
                    found = await self.find()
                except MirrorfarmError as failure:
                    on_trouble(failure)
                    await asyncio.sleep(AGAIN_S)
                    continue
                if found != known:
                    known = found
                    changed(found)
                with contextlib.suppress(TimeoutError):
                    async with time_limit(LOOK_S):
                        await look.wait()
        finally:
            self._links.unwatch(wake)
