"""Holds a farm's addresses on this node, without answering for them, for as long as its core wants it."""

import asyncio
from collections.abc import Callable

import structlog

from agent.adapters.held_addresses import HeldAddresses
from agent.core.farm import events
from agent.runtime.tasks import OnFatal, Tasks
from manager.model.errors import MirrorfarmError
from manager.time_limit import time_limit

_WORK, _KEEP = "hold", "keep"
KEEP_S = 5.0
"""So often it is looked at whether they are still there."""
PAUSE_S = 0.1
"""At the least between two looks, each of which lists all links: where containers begin these come by hundreds."""

Event = events.AddressesHeld | events.HoldFailed | events.AddressesReleased


class HoldingHand:
    """One module's addresses on the loopback."""

    def __init__(self, module: str, held: HeldAddresses, give: Callable[[Event], None], on_fatal: OnFatal) -> None:
        self._held = held
        self._give = give
        self._tasks = Tasks(on_fatal)
        self._look = asyncio.Event()
        self._log = structlog.get_logger().bind(module=module)

    def hold(self) -> None:
        """Answered by AddressesHeld or HoldFailed."""
        self._tasks.start(_WORK, self._hold())

    def release(self) -> None:
        """Answered by AddressesReleased."""
        self._tasks.start(_WORK, self._release())

    def look(self) -> None:
        """Some link is another: one that has just come answers for what is held, until it is told to keep silent."""
        self._look.set()

    async def kill(self) -> None:
        """Release them; answers nothing."""
        await self._tasks.cancel()
        await self._let_go()

    async def close(self) -> None:
        """Leave them as they are."""
        await self._tasks.cancel()

    async def _hold(self) -> None:
        try:
            new = await self._held.hold()
        except MirrorfarmError as failure:
            self._log.error("address.refused", error=str(failure))
            self._give(events.HoldFailed(str(failure)))
            return
        self._log.info("address.held", added=new)
        self._tasks.start(_KEEP, self._keep())
        self._give(events.AddressesHeld())

    async def _keep(self) -> None:
        while True:
            try:
                async with time_limit(KEEP_S):
                    await self._look.wait()
            except TimeoutError:
                pass
            self._look.clear()
            try:
                again = await self._held.keep()
            except MirrorfarmError as failure:
                self._log.warning("address.unkept", error=str(failure))
            else:
                if again:
                    self._log.warning("address.restored", addresses=again)
            await asyncio.sleep(PAUSE_S)

    async def _release(self) -> None:
        await self._tasks.cancel(_KEEP)
        await self._let_go()
        self._give(events.AddressesReleased())

    async def _let_go(self) -> None:
        try:
            reset = await self._held.release()
        except MirrorfarmError as failure:
            self._log.error("address.left", error=str(failure))
        else:
            self._log.info("address.released", connections_reset=reset)
