"""Work that may never come back, as a look at a file system that hangs: in a thread that nobody waits for.

There is one such thread at a time, and it does not keep the process from ending.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

from manager.model.errors import IndefiniteFailure
from manager.time_limit import time_limit

T = TypeVar("T")


class OneThread:
    """Does one piece of work at a time."""

    def __init__(self) -> None:
        self._under_way = False
        self._turn = asyncio.Lock()

    async def run(self, work: Callable[[], T], seconds: float) -> T:
        """What ``work`` gives; who comes while other work is done waits for his turn, likewise for ``seconds``.

        Raises:
            IndefiniteFailure: it has not ended within ``seconds``, or former work has not.
        """
        try:
            async with time_limit(seconds):
                await self._turn.acquire()
        except TimeoutError:
            raise IndefiniteFailure("others had their turn") from None
        try:
            return await self._ran(work, seconds)
        finally:
            self._turn.release()

    async def _ran(self, work: Callable[[], T], seconds: float) -> T:
        if self._under_way:
            raise IndefiniteFailure("a former look has not come back")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: Exception | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)  # type: ignore[arg-type]
            else:
                future.set_exception(error)

        def ran() -> None:
            result, failure = None, None
            try:
                result = work()
            except Exception as error:  # the root of this thread
                failure = error
            self._under_way = False
            with contextlib.suppress(RuntimeError):  # The loop has ended meanwhile.
                loop.call_soon_threadsafe(settle, result, failure)

        self._under_way = True
        threading.Thread(target=ran, name="look", daemon=True).start()
        try:
            async with time_limit(seconds):
                return await future
        except TimeoutError:
            raise IndefiniteFailure(f"no answer within {seconds:g} s") from None
