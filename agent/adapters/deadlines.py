"""A deadline and a name for each external call."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from manager.model.errors import IndefiniteFailure

T = TypeVar("T")


async def within(seconds: float, what: str, call: Awaitable[T]) -> T:
    """What ``call`` returns.

    Raises:
        IndefiniteFailure: it took longer than ``seconds``; whether ``what`` happened is not known.
    """
    try:
        # Not wait_for: before Python 3.12 it swallows a cancellation that comes together with the answer.
        async with asyncio.timeout(seconds):
            return await call
    except TimeoutError:
        raise IndefiniteFailure(f"{what}: no answer within {seconds:g} s") from None
