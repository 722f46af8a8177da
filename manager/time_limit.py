"""``asyncio.timeout`` as Python 3.11.4 and newer have it, on Debian 12's 3.11.2, too.

There, one that expires while its task cleans up after having been cancelled raises CancelledError instead of
TimeoutError (python/cpython#102780): what was to bound the clean-up ended it half done, and nobody was told.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def time_limit(seconds: float) -> AsyncIterator[asyncio.Timeout]:
    """As ``asyncio.timeout(seconds)``.

    Raises:
        TimeoutError: the time is over, and what was under way is cancelled.
    """
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield limit
    except asyncio.CancelledError:
        if task is None or not limit.expired() or task.cancelling() > before:
            raise
        raise TimeoutError from None
