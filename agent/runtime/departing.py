"""The agent's last steps, once nothing of a module is left here: in which order, and how long each may take.

Whoever waits for an answer has to wait no longer; the other nodes, who wait for this one's lease, do not wait for that.
"""

from collections.abc import Awaitable, Callable

import structlog

from agent.runtime.lease_keeper import LeaseKeeper
from manager.model.errors import MirrorfarmError
from manager.time_limit import time_limit

CLOSE_S = 5.0


async def depart(keeper: LeaseKeeper, close_doors: Callable[[], Awaitable[None]]) -> None:
    """Give the lease back, and then up what is asked at the doors: a call may take its time until it has ended.

    ``keeper`` renews no more. ``close_doors`` is given up after :data:`CLOSE_S`.
    """
    log = structlog.get_logger()
    try:
        await keeper.revoke()
    except MirrorfarmError as failure:
        log.warning("lease.left", error=str(failure))
    try:
        async with time_limit(CLOSE_S):
            await close_doors()
    except TimeoutError:
        # The process ends now, and they with it: who has asked sees the connection end.
        log.warning("calls.left", reason=f"they have not ended within {CLOSE_S:g} s")
