"""A deadline and a name for each external call."""

from collections.abc import Awaitable
from typing import TypeVar

from manager.model.errors import IndefiniteFailure
from manager.time_limit import time_limit

T = TypeVar("T")


async def within(seconds: float, what: str, call: Awaitable[T]) -> T:
    """What ``call`` returns.

    Raises:
        IndefiniteFailure: it took longer than ``seconds``; whether ``what`` happened is not known.
    """
    try:
        async with time_limit(seconds):
            return await call
    except TimeoutError:
        raise IndefiniteFailure(f"{what}: no answer within {seconds:g} s") from None
