"""At which MAC this node is reached for each address of a farm: on links that have a carrier, a flicker left out."""

import asyncio
from collections.abc import Callable, Mapping

from agent.adapters.address_links import Links

FLICKER_S = 1.0
"""A link without a carrier counts as there for so long: a cable or switch port that comes back is no reason to move."""


class LinkMacs:
    """Of one module. On the event loop."""

    def __init__(self, changed: Callable[[Mapping[str, str]], None]) -> None:
        """``changed`` gets the MACs by address, at the first time and whenever they are others."""
        self._changed = changed
        self._links: Links = {}
        self._up_s: dict[str, float] = {}
        """Address to when its link was last known to have a carrier."""
        self._told: Mapping[str, str] | None = None
        self._again: asyncio.TimerHandle | None = None

    def linked(self, links: Links) -> None:
        """The links are these by now."""
        now_s = asyncio.get_running_loop().time()
        # What was up until this moment.
        self._up_s |= {address: now_s for address, link in self._links.items() if link.up}
        self._links = links
        self._look()

    def close(self) -> None:
        """Tell nothing any more."""
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def _look(self) -> None:
        self.close()
        loop = asyncio.get_running_loop()
        left_s = {
            address: self._up_s.get(address, -FLICKER_S) + FLICKER_S - loop.time()
            for address, link in self._links.items()
            if not link.up
        }
        macs = {a: link.mac.hex(":") for a, link in self._links.items() if link.mac and left_s.get(a, 1.0) > 0}
        waiting = [s for s in left_s.values() if s > 0]
        if waiting:
            self._again = loop.call_later(min(waiting), self._look)
        if macs != self._told:
            self._told = macs
            self._changed(macs)
